"""The dataset of images without a head."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fetal_hc.errors import DatasetError
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.images import read_image
from hc18.phantoms.negatives import KINDS, write_no_head_folder, write_no_head_json


def test_every_image_is_listed_readable_and_without_annotation(tmp_path: Path) -> None:
    path = write_no_head_folder(tmp_path, len(KINDS), 3, image_hw=(54, 80))
    dataset = read_coco(path)
    assert len(dataset.images) == len(KINDS)
    assert dataset.annotations == ()
    assert [category.name for category in dataset.categories] == ["head"]
    for image in dataset.images:
        assert read_image(resolve_image_path(path, dataset, image)).shape == (54, 80, 3)


def test_same_seed_same_bytes_and_another_seed_other_images(tmp_path: Path) -> None:
    first, again, other = (tmp_path / name for name in ("first", "again", "other"))
    for root, seed in ((first, 3), (again, 3), (other, 4)):
        write_no_head_folder(root, 4, seed, image_hw=(54, 80))
    names = sorted(path.name for path in (first / "no_head").iterdir())
    assert all((first / "no_head" / name).read_bytes() == (again / "no_head" / name).read_bytes() for name in names)
    assert (first / "no_head" / names[1]).read_bytes() != (other / "no_head" / names[1]).read_bytes()


def write_photos(folder: Path, count: int) -> None:
    folder.mkdir(parents=True)
    for index in range(count):
        Image.new("RGB", (30 + index, 20), (200, 30, index)).save(folder / f"photo_{index}.jpg")


def test_listed_images_stay_where_they_are(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 3)
    (tmp_path / "photos" / "readme.txt").write_text("not an image")
    path = tmp_path / "datasets" / "photos.json"
    path.parent.mkdir()
    assert write_no_head_json(tmp_path / "photos", path) == 3
    dataset = read_coco(path)
    assert dataset.annotations == ()
    assert [(image.width, image.height) for image in dataset.images] == [(30, 20), (31, 20), (32, 20)]
    assert resolve_image_path(path, dataset, dataset.images[2]).samefile(tmp_path / "photos" / "photo_2.jpg")


def test_a_draw_depends_on_its_seed_alone(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 9)
    names = []
    for seed in (0, 0, 1):
        write_no_head_json(tmp_path / "photos", tmp_path / "photos.json", max_count=4, seed=seed)
        names.append([image.file_name for image in read_coco(tmp_path / "photos.json").images])
    assert len(names[0]) == 4
    assert names[0] == names[1] != names[2]


def test_unreadable_images_are_all_named_and_nothing_is_written(tmp_path: Path) -> None:
    write_photos(tmp_path / "photos", 1)
    for name in ("torn.png", "empty.jpg"):
        (tmp_path / "photos" / name).write_bytes(b"")
    with pytest.raises(DatasetError, match=r"(?s)empty\.jpg.*torn\.png"):
        write_no_head_json(tmp_path / "photos", tmp_path / "photos.json")
    assert not (tmp_path / "photos.json").exists()


def test_a_folder_without_images_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="missing: cannot be listed"):
        write_no_head_json(tmp_path / "missing", tmp_path / "photos.json")
