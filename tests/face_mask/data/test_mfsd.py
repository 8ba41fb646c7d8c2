"""Reading of the MFSD layout."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from face_mask.data.mfsd import photo_of_crop, read_mfsd
from fetal_hc.errors import DatasetError


def test_crops_are_boxed_as_a_whole_and_grouped_by_photo(mfsd_root: Path) -> None:
    reading = read_mfsd(mfsd_root)
    first, second = reading.photos[:2]
    assert (first.file_name, second.file_name) == ("000000_1.jpg", "000000_2.jpg")
    assert first.group == second.group == "000000"
    assert first.labels[0].category == "with_mask"
    assert first.labels[0].box_xyxy == (0.0, 0.0, 80.0, 60.0)
    assert first.labels[0].mask_area_px == 30 * 40
    assert reading.problems == ()


def test_bare_face_has_a_box_and_no_mask(mfsd_root: Path) -> None:
    label = read_mfsd(mfsd_root / "1").photos[1].labels[0]
    assert (label.category, label.mask_rle) == ("without_mask", None)
    assert label.box_xyxy is not None


def test_row_of_the_photo_serves_its_crops(mfsd_root: Path) -> None:
    table = mfsd_root / "1" / "dataset.csv"
    table.write_text("filename , with_mask\r\n" + "".join(f"{i:06}.jpg,1\r\n" for i in range(4)), encoding="utf-8-sig")
    reading = read_mfsd(mfsd_root)
    assert len(reading.photos) == 4
    assert {problem.kind for problem in reading.problems} == {"missing_mask"}


def test_unclear_rows_are_reported(mfsd_root: Path) -> None:
    table = mfsd_root / "1" / "dataset.csv"
    text = table.read_text(encoding="utf-8").replace("000000_1.jpg,True\n", "")
    table.write_text(text.replace("000001_1.jpg,True", "000001_1.jpg,maybe"), encoding="utf-8")
    problems = [str(problem) for problem in read_mfsd(mfsd_root).problems]
    assert len(problems) == 3
    assert "dataset.csv, row 3: filename '000001_1.jpg', with_mask 'maybe'" in problems[0]
    assert "face_crop/000000_1.jpg: dataset.csv has no row for it" in problems[1]


def test_mask_on_a_bare_face_is_a_contradiction(mfsd_root: Path) -> None:
    Image.fromarray(np.full((60, 80), 255, np.uint8)).save(mfsd_root / "1" / "face_crop_segmentation" / "000000_2.png")
    (problem,) = read_mfsd(mfsd_root).problems
    assert problem.kind == "contradiction"
    assert "has 4800 mask pixels" in problem.message


def test_missing_column_is_an_error(mfsd_root: Path) -> None:
    (mfsd_root / "1" / "dataset.csv").write_text("name,mask\n", encoding="utf-8")
    with pytest.raises(DatasetError, match=r"(?s)no column 'filename'.*no column 'with_mask'.*restore the table"):
        read_mfsd(mfsd_root)


@pytest.mark.parametrize(
    ("crop", "photo"), [("000012_3", "000012"), ("a_b_1", "a_b"), ("plain", "plain"), ("a_b", "a_b")]
)
def test_crop_names_its_photo(crop: str, photo: str) -> None:
    assert photo_of_crop(crop) == photo
