"""Reading of pairs as ISIC names them."""

from pathlib import Path

import pytest

from face_mask.data.isic import read_isic
from fetal_hc.errors import DatasetError


def test_lesion_is_boxed_tightly(isic_root: Path) -> None:
    reading = read_isic(isic_root)
    assert len(reading.photos) == 4
    (label,) = reading.photos[0].labels
    assert (label.category, label.box_xyxy, label.mask_area_px) == ("lesion", (30.0, 20.0, 70.0, 50.0), 1200)


def test_photo_and_mask_may_lie_in_two_folders(isic_root: Path) -> None:
    for kind, pattern in (("truth", "*_Segmentation.png"), ("data", "*.jpg")):
        (isic_root / kind).mkdir()
        for path in list(isic_root.glob(pattern)):
            path.rename(isic_root / kind / path.name)
    assert [photo.file_name for photo in read_isic(isic_root).photos][:1] == ["data/ISIC_0000000.jpg"]


def test_missing_halves_are_reported(isic_root: Path) -> None:
    (isic_root / "ISIC_0000000.jpg").unlink()
    (isic_root / "ISIC_0000001_Segmentation.png").unlink()
    reading = read_isic(isic_root)
    assert [problem.kind for problem in reading.problems] == ["missing_image", "missing_mask"]
    assert len(reading.photos) == 2


def test_folder_without_masks_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"X_Segmentation\.png"):
        read_isic(tmp_path)
