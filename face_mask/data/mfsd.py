"""MFSD, the masked face segmentation dataset: `face_crop/`, `face_crop_segmentation/` and `dataset.csv`.

A crop `BASE_K.jpg` is the rectangle of one face of the photo BASE, so the face's box is the whole crop. The table's
column `with_mask` tells whether a mask is worn; rows name the crop or the photo it was cut from.

References: github.com/sadjadrz/MFSD; ABANet, Expert Systems (2024), doi 10.1111/exsy.13625.
"""

from __future__ import annotations

import os
from collections import defaultdict
from functools import partial
from pathlib import Path, PurePosixPath

from face_mask.data.masks import read_binary_mask, to_label
from face_mask.data.pairs import LEFT_OUT, Pair, match_pairs, read_pair
from face_mask.data.photos import by_stem, map_files, probe_photo, relative_name, unreadable_image
from face_mask.data.records import Label, LabelledPhoto, Reading
from fetal_hc.errors import DatasetError, ImageError, Problem, raise_if_fatal
from fetal_hc.io.images import find_images
from fetal_hc.io.tables import read_table

CROP_FOLDER = "face_crop"
MASK_FOLDER = "face_crop_segmentation"
TABLE = "dataset.csv"
MFSD_CLASSES = {name: name for name in ("with_mask", "without_mask")}

_TRUTH = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


def read_mfsd(root: str | os.PathLike[str], *, progress: bool = False) -> Reading:
    """Face crops with the pixels of their mask; crops of bare faces have a box only.

    Args:
        root: the folder that holds `face_crop/`, or one above it, such as the archive's MSFD.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: if there is no such folder or not exactly one, or its table cannot be read.
    """
    base = Path(root)
    folders = [path.parent for path in sorted([*base.glob(CROP_FOLDER), *base.glob(f"*/{CROP_FOLDER}")])]
    if len(folders) != 1 or not (folders[0] / MASK_FOLDER).is_dir():
        raise DatasetError(
            f"{base}: {len(folders)} folders hold {CROP_FOLDER}/; expected one, with {MASK_FOLDER}/ and {TABLE} next "
            "to it; give that folder"
        )
    folder = folders[0]
    worn, problems = read_mfsd_table(folder / TABLE)
    crops, crop_problems = by_stem(find_images(folder / CROP_FOLDER), base)
    masks, mask_problems = by_stem(find_images(folder / MASK_FOLDER), base)
    pairs, pair_problems = match_pairs(crops, masks, base)
    problems += crop_problems + mask_problems + pair_problems
    work = partial(_read_crop, worn=worn, root=base)
    results = map_files(work, list(pairs.values()), "reading MFSD", progress=progress)
    photos = tuple(photo for photo, _ in results if photo is not None)
    problems += [problem for _, crop_problems in results for problem in crop_problems]
    return Reading(folder / CROP_FOLDER, photos, tuple(problems), len(pairs), MFSD_CLASSES)


def read_mfsd_table(path: Path) -> tuple[dict[str, set[bool]], list[Problem]]:
    """What the rows of each name say about wearing a mask, by file name without suffix, and rows that say nothing.

    Raises:
        DatasetError: if the file cannot be read or lacks the columns `filename` and `with_mask`.
    """
    table = read_table(path, ("filename", "with_mask"), what="MFSD's table", remedy="restore the table")
    raise_if_fatal(table.problems, f"{path} cannot be used")
    worn: dict[str, set[bool]] = defaultdict(set)
    problems = []
    for row, name, value in table.cells.itertuples(name=None):
        truth = _TRUTH.get(value.lower().removesuffix(".0"))
        if not name or truth is None:
            where, found = f"{path.name}, row {row}", f"filename '{name}', with_mask '{value}'"
            problems.append(Problem.in_file("bad_row", where, found, "expected a name and true or false; row left out"))
        else:
            worn[PurePosixPath(name.replace("\\", "/")).stem].add(truth)
    return dict(worn), problems


def photo_of_crop(crop_stem: str) -> str:
    """Name of the photo a crop BASE_K was cut from: BASE."""
    base, separator, number = crop_stem.rpartition("_")
    return base if separator and number.isdigit() else crop_stem


def _read_crop(pair: Pair, worn: dict[str, set[bool]], root: Path) -> tuple[LabelledPhoto | None, list[Problem]]:
    """One crop with its label."""
    name, stem = relative_name(pair.photo, root), pair.photo.stem
    photo = photo_of_crop(stem)
    answers = worn.get(stem) or worn.get(photo) or set()
    if len(answers) != 1:
        value = f"{TABLE} has no row for it" if not answers else f"rows of {TABLE} say both with and without mask"
        return None, [Problem.in_file("unknown_class", name, value, f"expected one answer; {LEFT_OUT}")]
    if answers == {False}:
        return _read_bare_face(pair, photo, root)
    reading, problems = read_pair(pair, root, read_binary_mask)
    if reading is None:
        return None, problems
    label = to_label("with_mask", reading.masks["mask"], _whole(reading.image_hw))
    return LabelledPhoto(pair.photo.name, reading.image_hw, reading.fingerprint, photo, (label,)), []


def _read_bare_face(pair: Pair, photo: str, root: Path) -> tuple[LabelledPhoto | None, list[Problem]]:
    """A crop without a mask: its mask file is missing or black."""
    name = relative_name(pair.photo, root)
    try:
        image_hw, fingerprint = probe_photo(pair.photo)
        if pair.mask is not None:
            name = relative_name(pair.mask, root)
            masks, fault = read_binary_mask(pair.mask)
            if fault or masks["mask"].any():
                value = fault or f"has {int(masks['mask'].sum())} mask pixels, but {TABLE} says without mask"
                return None, [Problem.in_file("contradiction", name, value, f"expected a black mask; {LEFT_OUT}")]
    except ImageError as error:
        return None, [unreadable_image(name, error)]
    label = Label("without_mask", _whole(image_hw))
    return LabelledPhoto(pair.photo.name, image_hw, fingerprint, photo, (label,)), []


def _whole(image_hw: tuple[int, int]) -> tuple[float, float, float, float]:
    """The box of a whole crop."""
    return 0.0, 0.0, float(image_hw[1]), float(image_hw[0])
