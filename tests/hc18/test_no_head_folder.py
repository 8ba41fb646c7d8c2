"""The dataset of images without a head."""

from __future__ import annotations

from pathlib import Path

from hc18.no_head_folder import KINDS, write_no_head_folder
from segdata.coco import read_coco, resolve_image_path
from segdata.images import read_image


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
