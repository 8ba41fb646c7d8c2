"""Reading of colour-mask folders."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_mask.data.color_mask import read_color_mask
from fetal_hc.errors import DatasetError
from fetal_hc.io.masks import rle_to_mask
from tests.synthetic_face_mask import colour_mask, write_photo


def test_face_is_boxed_and_its_mask_is_the_worn_one(colour_root: Path) -> None:
    reading = read_color_mask(colour_root)
    assert len(reading.photos) == reading.n_found == 8
    (label,) = reading.photos[0].labels
    assert label.category == "with_mask"
    assert label.box_xyxy == (10.0, 5.0, 50.0, 45.0)
    assert label.mask_rle is not None
    assert np.flatnonzero(rle_to_mask(label.mask_rle).any(axis=1)).tolist() == list(range(25, 45))
    assert reading.photos[-1].labels[0].category == "mask_weared_incorrect"
    assert reading.problems == ()


def test_parts_are_two_objects(colour_root: Path) -> None:
    face, mask = read_color_mask(colour_root, parts=True).photos[0].labels
    assert (face.category, face.box_xyxy) == ("face", (10.0, 5.0, 50.0, 25.0))
    assert (mask.category, mask.box_xyxy) == ("mask", (10.0, 25.0, 50.0, 45.0))


@pytest.mark.parametrize(
    ("mask", "kind", "value"),
    [
        (np.zeros((60, 80, 3), np.uint8), "empty_mask", "no labelled pixel"),
        (np.full((60, 80, 3), 7, np.uint8), "unexpected_colours", "RGB (7, 7, 7) on 4800 px"),
        (colour_mask((61, 80)), "size_mismatch", "80 x 61 px, its photo 80 x 60"),
        (np.where(colour_mask() == (0, 128, 0), 0, colour_mask()).astype(np.uint8), "empty_mask", "RGB (0, 128, 0)"),
    ],
)
def test_faulty_mask_is_reported_with_file_and_value(
    colour_root: Path, mask: np.ndarray, kind: str, value: str
) -> None:
    Image.fromarray(mask).save(colour_root / "CWM" / "masks" / "00000_gt.png")
    reading = read_color_mask(colour_root)
    (problem,) = reading.problems
    assert (problem.kind, problem.file) == (kind, "CWM/masks/00000_gt.png")
    assert value in problem.message
    assert len(reading.photos) == 7


def test_lonely_files_and_unknown_folders_are_reported(colour_root: Path) -> None:
    (colour_root / "CWM" / "masks" / "00000_gt.png").unlink()
    (colour_root / "CWM" / "images" / "00001.jpg").unlink()
    write_photo(colour_root / "CWM" / "images" / "00002.png", 5)
    (colour_root / "XYZ" / "masks").mkdir(parents=True)
    (colour_root / "XYZ" / "images").mkdir()
    kinds = sorted(problem.kind for problem in read_color_mask(colour_root).problems)
    assert kinds == ["duplicate_name", "missing_image", "missing_mask", "unknown_class"]


def test_folder_of_another_layout_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="expected CWM and IWM"):
        read_color_mask(tmp_path)


def test_real_photos_read_without_problems(real_data_root: Path) -> None:
    root = real_data_root / "masked_face_segmentation"
    if not root.is_dir():
        pytest.skip("no masked_face_segmentation/ among the real data")
    reading = read_color_mask(root)
    assert len(reading.photos) == reading.n_found > 0
    assert reading.problems == ()
