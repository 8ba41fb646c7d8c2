"""Small datasets in each layout, drawn with known boxes and masks."""

from pathlib import Path

import pytest

from tests.synthetic_face_mask import write_class_folders, write_colour_masks, write_isic, write_mfsd, write_voc


@pytest.fixture
def voc_root(tmp_path: Path) -> Path:
    return write_voc(tmp_path / "voc")


@pytest.fixture
def colour_root(tmp_path: Path) -> Path:
    return write_colour_masks(tmp_path / "colour")


@pytest.fixture
def mfsd_root(tmp_path: Path) -> Path:
    return write_mfsd(tmp_path / "MSFD")


@pytest.fixture
def isic_root(tmp_path: Path) -> Path:
    return write_isic(tmp_path / "isic")


@pytest.fixture
def folders_root(tmp_path: Path) -> Path:
    return write_class_folders(tmp_path / "folders")
