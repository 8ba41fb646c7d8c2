"""Reading of class folders."""

import shutil
from pathlib import Path

import pytest

from face_mask.data.folders import read_class_folders
from fetal_hc.errors import DatasetError


def test_folder_is_the_class(folders_root: Path) -> None:
    reading = read_class_folders(folders_root)
    assert len(reading.photos) == 10
    assert {photo.file_name.split("/")[0] for photo in reading.photos} == set(reading.default_classes)
    assert all(photo.labels[0].category == photo.file_name.split("/")[0] for photo in reading.photos)


def test_copy_in_one_class_is_used_once(folders_root: Path) -> None:
    shutil.copy(folders_root / "with_mask" / "with_mask_0.jpg", folders_root / "with_mask" / "z.jpg")
    reading = read_class_folders(folders_root)
    assert len(reading.photos) == 10
    assert [(problem.kind, problem.file) for problem in reading.problems] == [("duplicate_image", "with_mask/z.jpg")]


def test_copy_in_another_class_is_not_used_at_all(folders_root: Path) -> None:
    shutil.copy(folders_root / "with_mask" / "with_mask_0.jpg", folders_root / "without_mask" / "z.jpg")
    reading = read_class_folders(folders_root)
    assert len(reading.photos) == 9
    assert [problem.kind for problem in reading.problems] == ["contradiction", "contradiction"]


def test_file_that_is_no_image_is_reported(folders_root: Path) -> None:
    (folders_root / "with_mask" / "with_mask_0.jpg").write_bytes(b"text")
    (problem,) = read_class_folders(folders_root).problems
    assert "with_mask/with_mask_0.jpg" in str(problem)


def test_empty_folder_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="one folder per class"):
        read_class_folders(tmp_path)


def test_folder_of_boxes_is_refused(voc_root: Path) -> None:
    with pytest.raises(DatasetError, match=r"PASCAL VOC annotations.*--format voc"):
        read_class_folders(voc_root)


def test_folder_of_masks_is_refused(colour_root: Path) -> None:
    with pytest.raises(DatasetError, match=r"CWM/masks holds masks.*--format color-mask"):
        read_class_folders(colour_root)
