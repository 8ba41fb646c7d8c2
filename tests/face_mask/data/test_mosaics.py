"""Crowds put together from photos of single faces."""

from pathlib import Path

import numpy as np
import pytest

from face_mask.data.mosaics import MOSAIC_WH, write_mosaics
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.images import read_image
from fetal_hc.io.masks import rle_to_mask
from tests.face_mask.toy_faces import write_faces


@pytest.fixture
def source(tmp_path: Path) -> Path:
    return write_faces(tmp_path / "photos", count=20)


def test_faces_keep_class_box_and_mask(source: Path, tmp_path: Path) -> None:
    path = write_mosaics(source, tmp_path / "crowd", 2, seed=1)
    dataset = read_coco(path)
    assert [category.name for category in dataset.categories] == [c.name for c in read_coco(source).categories]
    for image in dataset.images:
        pixels = read_image(resolve_image_path(path, dataset, image))
        assert pixels.shape == (MOSAIC_WH[1], MOSAIC_WH[0], 3)
        faces = [annotation for annotation in dataset.annotations if annotation.image_id == image.id]
        assert len(faces) in (4, 6, 12, 20)
        for face in faces:
            left, top, width, height = face.bbox_xywh
            forehead = pixels[round(top + 0.2 * height), round(left + 0.5 * width)]
            assert forehead == pytest.approx(np.array([220, 170, 140]), abs=40)
            assert (face.segmentation is not None) == (face.category_id == 1)
            if isinstance(face.segmentation, dict):
                rows, columns = np.nonzero(rle_to_mask(face.segmentation))
                assert columns.min() == pytest.approx(left, abs=2)
                assert rows.max() + 1 == pytest.approx(top + height, abs=2)


def test_equal_seeds_give_equal_pictures(source: Path, tmp_path: Path) -> None:
    first, second = (write_mosaics(source, tmp_path / place / "crowd", 1, seed=5) for place in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
    assert (first.with_suffix("") / "0001.jpg").read_bytes() == (second.with_suffix("") / "0001.jpg").read_bytes()


def test_class_can_come_from_the_folder_of_the_photo(source: Path, tmp_path: Path) -> None:
    source.parent.rename(tmp_path / "without_mask")
    path = write_mosaics(tmp_path / "without_mask" / source.name, tmp_path / "crowd", 1, class_of_folder=True)
    assert {(item.category_id, item.segmentation) for item in read_coco(path).annotations} == {(2, None)}


def test_folder_that_is_no_class_is_an_error(source: Path, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="lies in the folder 'photos'; expected one of with_mask, without_mask"):
        write_mosaics(source, tmp_path / "crowd", 1, class_of_folder=True)


def test_too_few_faces_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="6 photos show exactly one face; expected 20 or more"):
        write_mosaics(write_faces(tmp_path, count=6), tmp_path / "crowd", 1)
    with pytest.raises(ConfigError, match="0 asked for"):
        write_mosaics(write_faces(tmp_path, count=6), tmp_path / "crowd", 0)
