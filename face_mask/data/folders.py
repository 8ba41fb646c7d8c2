"""Photos sorted into one folder per class."""

from __future__ import annotations

import os
from collections import defaultdict
from functools import partial
from pathlib import Path

from face_mask.data.photos import map_files, probe_photo, relative_name, unreadable_image
from face_mask.data.records import Label, LabelledPhoto, Reading
from face_mask.data.voc import ANNOTATION_FOLDERS
from fetal_hc.errors import DatasetError, ImageError, Problem
from fetal_hc.io.images import find_images


def read_class_folders(root: str | os.PathLike[str], *, progress: bool = False) -> Reading:
    """Photos with the name of their folder as class.

    A photo that lies in one folder twice is used once; one that lies in folders of different classes is not used.

    Args:
        root: folder of the class folders.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: if there is no folder with images, or the folder is one of boxes or masks.
    """
    base = Path(root)
    _refuse_annotated(base)
    folders = [path for path in sorted(base.glob("*")) if path.is_dir() and not path.name.startswith(".")]
    files_of = {folder.name: files for folder in folders if (files := find_images(folder))}
    files = [path for class_files in files_of.values() for path in class_files]
    if not files:
        raise DatasetError(f"{base}: holds no folder with images; expected one folder per class; correct the path")
    results = map_files(partial(_read_photo, root=base), files, "reading photos", progress=progress)
    problems = [problem for _, photo_problems in results for problem in photo_problems]
    photos = [photo for photo, _ in results if photo is not None]
    repeated, repeated_problems = _repeated(photos, base)
    used = tuple(photo for photo in photos if photo.file_name not in repeated)
    classes = {name: name for name in files_of}
    return Reading(base, used, (*problems, *repeated_problems), len(files), classes)


def _refuse_annotated(base: Path) -> None:
    """Returns unless a folder looks like a dataset of boxes or masks, whose folders are not classes.

    Raises:
        DatasetError: if it does.
    """
    if any(next((base / name).glob("*.xml"), None) for name in (*ANNOTATION_FOLDERS, ".")):
        raise DatasetError(
            f"{base}: holds PASCAL VOC annotations, so its folders are not classes; expected one folder per class; "
            "convert it with --format voc"
        )
    masks = next((path for path in sorted(base.glob("*/masks")) if (path.parent / "images").is_dir()), None)
    if masks is not None:
        raise DatasetError(
            f"{base}: {masks.relative_to(base)} holds masks, so its folders are not classes; expected one folder per "
            "class; convert it with --format color-mask"
        )


def _read_photo(path: Path, root: Path) -> tuple[LabelledPhoto | None, list[Problem]]:
    """One photo with its class."""
    name = relative_name(path, root)
    try:
        image_hw, fingerprint = probe_photo(path)
    except ImageError as error:
        return None, [unreadable_image(name, error)]
    return LabelledPhoto(name, image_hw, fingerprint, name, (Label(path.parent.name),)), []


def _repeated(photos: list[LabelledPhoto], root: Path) -> tuple[set[str], list[Problem]]:
    """File names not to use because their bytes occur elsewhere, with the problems that say so."""
    alike: dict[int, list[LabelledPhoto]] = defaultdict(list)
    for photo in photos:
        alike[photo.fingerprint].append(photo)
    copies: dict[bytes, list[LabelledPhoto]] = defaultdict(list)
    for candidates in alike.values():
        for photo in candidates if len(candidates) > 1 else []:
            copies[(root / photo.file_name).read_bytes()].append(photo)
    problems = []
    for same in copies.values():
        first, *others = same
        if len({photo.labels[0].category for photo in same}) > 1:
            for photo in same:
                others_named = ", ".join(other.file_name for other in same if other is not photo)
                outcome = "one photo in two classes; left out"
                problems.append(
                    Problem.in_file("contradiction", photo.file_name, f"is the same as {others_named}", outcome)
                )
        else:
            for photo in others:
                value = f"is the same as {first.file_name}"
                problems.append(Problem.in_file("duplicate_image", photo.file_name, value, "used once"))
    return {problem.file for problem in problems}, problems
