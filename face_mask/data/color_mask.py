"""Three-colour masks of MaskedFace-Net photos: folders such as CWM and IWM, each with `images/` and `masks/`.

RGB (128, 0, 0) is face, (0, 128, 0) mask, black background; `masks/NNNNN_gt.png` belongs to `images/NNNNN.jpg`.

References: A. Cabani et al., MaskedFace-Net, Smart Health 19:100144 (2021).
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from face_mask.data.masks import mask_box, read_colour_mask, to_label
from face_mask.data.pairs import LEFT_OUT, Pair, match_pairs, read_pair
from face_mask.data.photos import by_stem, map_files, relative_name
from face_mask.data.records import Label, LabelledPhoto, Reading
from fetal_hc.errors import DatasetError, Problem
from fetal_hc.io.images import find_images

MASK_SUFFIX = "_gt"
FOLDER_CLASSES = {
    "CWM": "with_mask",
    "IWM": "mask_weared_incorrect",
    "without_mask": "without_mask",
}
# One order with the VOC classes, so that both sets can be trained on together.
WORN_CLASSES = {name: name for name in ("with_mask", "without_mask", "mask_weared_incorrect")}
PART_CLASSES = {name: name for name in ("face", "mask")}


def read_color_mask(root: str | os.PathLike[str], *, parts: bool = False, progress: bool = False) -> Reading:
    """Faces with the pixels of their mask.

    By default a photo holds one face: its class tells how the mask is worn, its box surrounds face and mask, its mask
    is the worn mask's pixels. With `parts`, face and mask are two objects with their own boxes and pixels.

    Args:
        root: folder that holds CWM and IWM, at any depth; other folders with `images/` and `masks/` are reported.
        parts: two objects per photo instead of one.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: if there is no folder with `images/` and `masks/`.
    """
    base = Path(root)
    folders = [path.parent for path in sorted(base.rglob("masks")) if (path.parent / "images").is_dir()]
    if not folders:
        raise DatasetError(
            f"{base}: no folder below it holds images/ and masks/; expected CWM and IWM; correct the path"
        )
    problems: list[Problem] = []
    pairs: list[tuple[str, Pair]] = []
    for folder in folders:
        if not parts and folder.name not in FOLDER_CLASSES:
            value, outcome = "is not a known folder", f"expected one of {', '.join(FOLDER_CLASSES)}; folder left out"
            problems.append(Problem.in_file("unknown_class", relative_name(folder, base), value, outcome))
            continue
        found, folder_problems = _folder_pairs(folder, base)
        problems += folder_problems
        pairs += [(folder.name, pair) for pair in found.values()]
    results = map_files(partial(_read_photo, root=base, parts=parts), pairs, "reading masks", progress=progress)
    photos = [photo for photo, _ in results if photo is not None]
    problems += [problem for _, photo_problems in results for problem in photo_problems]
    classes = PART_CLASSES if parts else WORN_CLASSES
    return Reading(base, tuple(photos), tuple(problems), len(pairs), classes)


def _folder_pairs(folder: Path, root: Path) -> tuple[dict[str, Pair], list[Problem]]:
    """Photos of one folder with their masks."""
    photos, photo_problems = by_stem(find_images(folder / "images"), root)
    files, mask_problems = by_stem(find_images(folder / "masks"), root)
    masks = {name.removesuffix(MASK_SUFFIX): path for name, path in files.items()}
    pairs, pair_problems = match_pairs(photos, masks, root)
    return pairs, photo_problems + mask_problems + pair_problems


def _read_photo(item: tuple[str, Pair], root: Path, parts: bool) -> tuple[LabelledPhoto | None, list[Problem]]:
    """One photo with its labels."""
    folder_name, pair = item
    reading, problems = read_pair(pair, root, read_colour_mask)
    if reading is None:
        return None, problems
    labels: list[Label] = []
    if parts:
        for name, mask in reading.masks.items():
            box = mask_box([mask])
            labels += [to_label(name, mask, box)] if box else []
    else:
        box = mask_box(list(reading.masks.values()))
        category = FOLDER_CLASSES[folder_name]
        if category != "without_mask" and not reading.masks["mask"].any():
            name = relative_name(pair.mask or pair.photo, root)
            return None, [Problem.in_file("empty_mask", name, "has no pixel of the mask RGB (0, 128, 0)", LEFT_OUT)]
        labels += [to_label(category, reading.masks["mask"], box)] if box else []
    file_name = relative_name(pair.photo, root)
    return LabelledPhoto(file_name, reading.image_hw, reading.fingerprint, pair.photo.stem, tuple(labels)), []
