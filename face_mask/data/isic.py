"""Pairs as ISIC 2016 Task 1 names them: `X.jpg` and a black-and-white `X_Segmentation.png`, in one folder or two.

References: D. Gutman et al., Skin lesion analysis toward melanoma detection, arXiv:1605.01397 (2016).
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from face_mask.data.masks import mask_box, read_binary_mask, to_label
from face_mask.data.pairs import Pair, match_pairs, read_pair
from face_mask.data.photos import by_stem, map_files, relative_name
from face_mask.data.records import LabelledPhoto, Reading
from fetal_hc.errors import DatasetError, Problem
from fetal_hc.io.images import is_image_file

MASK_SUFFIX = "_Segmentation"
ISIC_CLASSES = {"lesion": "lesion"}


def read_isic(root: str | os.PathLike[str], *, progress: bool = False) -> Reading:
    """Photos with one object, class "lesion", whose pixels are the white ones of the mask.

    Args:
        root: folder with the pairs, at any depth.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: if there is no mask file.
    """
    base = Path(root)
    files = [path for path in sorted(base.rglob("*")) if is_image_file(str(path))]
    photos, photo_problems = by_stem((path for path in files if not path.stem.endswith(MASK_SUFFIX)), base)
    found, mask_problems = by_stem((path for path in files if path.stem.endswith(MASK_SUFFIX)), base)
    masks = {name.removesuffix(MASK_SUFFIX): path for name, path in found.items()}
    if not masks:
        raise DatasetError(f"{base}: holds no X{MASK_SUFFIX}.png; expected pairs of photos and masks; correct the path")
    pairs, pair_problems = match_pairs(photos, masks, base)
    results = map_files(partial(_read_photo, root=base), list(pairs.values()), "reading pairs", progress=progress)
    problems = [*photo_problems, *mask_problems, *pair_problems]
    problems += [problem for _, photo_problems in results for problem in photo_problems]
    usable = tuple(photo for photo, _ in results if photo is not None)
    return Reading(base, usable, tuple(problems), len(pairs), ISIC_CLASSES)


def _read_photo(pair: Pair, root: Path) -> tuple[LabelledPhoto | None, list[Problem]]:
    """One photo with its object."""
    reading, problems = read_pair(pair, root, read_binary_mask)
    if reading is None:
        return None, problems
    mask = reading.masks["mask"]
    box = mask_box([mask])
    labels = (to_label("lesion", mask, box),) if box else ()
    return (
        LabelledPhoto(relative_name(pair.photo, root), reading.image_hw, reading.fingerprint, pair.photo.stem, labels),
        [],
    )
