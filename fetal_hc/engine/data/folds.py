"""Datasets divided into folds for cross-validation: grouped, balanced in size, seeded."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc.io.coco import IMAGE_ROOT_KEY, read_coco, write_coco
from fetal_hc.io.records import CocoAnnotation, CocoDataset, CocoImage, draw_key


@dataclass(frozen=True)
class Fold:
    """Names of the two datasets of one fold, in the folder they were written to."""

    train: str
    val: str


def write_folds(
    sources: Sequence[Path], folder: Path, name: str, n_folds: int, *, group_key: str = "group", seed: int = 0
) -> list[Fold]:
    """Writes NAME_fold0_train.json, NAME_fold0_val.json, ... from the union of COCO files.

    Images that share the extra field `group_key` (an examination, a photo) stay in one fold. Groups are dealt, in an
    order that is a hash of the seed, to the fold with fewest images.

    Args:
        sources: COCO files with the same categories, such as NAME_train.json and NAME_val.json; no image twice.
        folder: for the new files.
        name: start of their names.
        n_folds: at least 2.
        group_key: extra field of the images; an image without it is a group of its own.
        seed: another seed gives other folds.

    Raises:
        ConfigError: if there are fewer than 2 folds, or fewer groups than folds.
        DatasetError: if a file is faulty, categories differ, or an image occurs twice.
    """
    union = _read_union(sources, folder)
    groups: dict[str, list[CocoImage]] = defaultdict(list)
    for image in union.images:
        groups[str(image.extra.get(group_key, image.file_name))].append(image)
    if not 2 <= n_folds <= len(groups):
        raise ConfigError(f"{n_folds} folds of {len(groups)} groups of images: expected 2 to {len(groups)} folds")
    members: list[set[int]] = [set() for _ in range(n_folds)]
    for group in sorted(groups, key=lambda key: draw_key(seed, key)):
        smallest = min(range(n_folds), key=lambda number: len(members[number]))
        members[smallest].update(image.id for image in groups[group])
    folds = []
    for number, held_out in enumerate(members):
        fold = Fold(f"{name}_fold{number}_train", f"{name}_fold{number}_val")
        everything = {image.id for image in union.images}
        for part, ids in ((fold.train, everything - held_out), (fold.val, held_out)):
            write_coco(folder / f"{part}.json", _subset(union, ids))
        folds.append(fold)
    return folds


def copy_datasets(sources: Sequence[Path], folder: Path) -> None:
    """Writes COCO files under their own names to another folder, with paths that find their images from there.

    Raises:
        DatasetError: if a file is faulty.
    """
    for source in sources:
        write_coco(folder / source.name, _read_union([source], folder))


def _read_union(sources: Sequence[Path], folder: Path) -> CocoDataset:
    """All images and annotations with new ids; file names relative to one image root."""
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []
    seen: set[str] = set()
    first = read_coco(sources[0])
    for path in sources:
        dataset = read_coco(path)
        if dataset.categories != first.categories:
            raise DatasetError(f"{path}: its categories differ from those of {sources[0]}; convert them together")
        root = path.parent / str(dataset.info.get(IMAGE_ROOT_KEY, "."))
        new_id = {}
        for image in dataset.images:
            file_name = Path(os.path.relpath(root / image.file_name, folder)).as_posix()
            if file_name in seen:
                raise DatasetError(f"{path}: {image.file_name} is in another of the datasets too; name each part once")
            seen.add(file_name)
            new_id[image.id] = len(images) + 1
            images.append(replace(image, id=new_id[image.id], file_name=file_name))
        for annotation in dataset.annotations:
            number = len(annotations) + 1
            annotations.append(replace(annotation, id=number, image_id=new_id[annotation.image_id]))
    return CocoDataset(tuple(images), tuple(annotations), first.categories, {**first.info, IMAGE_ROOT_KEY: "."})


def _subset(dataset: CocoDataset, image_ids: set[int]) -> CocoDataset:
    return replace(
        dataset,
        images=tuple(image for image in dataset.images if image.id in image_ids),
        annotations=tuple(item for item in dataset.annotations if item.image_id in image_ids),
    )
