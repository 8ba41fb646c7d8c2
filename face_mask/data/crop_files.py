"""Single-face crops as files, with the rarest class doubled by mirrored copies."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from face_mask.data.crops import FaceCrop, flipped_box, single_face_crops
from face_mask.data.photos import map_files
from face_mask.data.records import Label, LabelledPhoto
from face_mask.data.splits import TRAIN
from fetal_hc.errors import DatasetError, FetalHCError, Problem
from fetal_hc.io.images import read_image

CROP_FOLDER = "crops"

_JPEG_QUALITY = 95


class CropSet(NamedTuple):
    """Crops as photos with one label each, the part of each, and the faces without a crop."""

    photos: list[LabelledPhoto]
    parts: dict[str, str]
    problems: list[Problem]


class _Cut(NamedTuple):
    """A crop to write."""

    photo: LabelledPhoto
    crop: FaceCrop
    is_mirrored: bool


def faces_with_crops(photos: Sequence[LabelledPhoto], min_area_px: int) -> list[LabelledPhoto]:
    """Photos with only those faces whose crop is large enough; photos without any are left out.

    Parts that are drawn from these have the wanted shares of crops.

    Args:
        photos: with boxes.
        min_area_px: least area of a crop.
    """
    kept = []
    for photo in photos:
        boxes = [label.box_xyxy for label in photo.labels if label.box_xyxy]
        crops = single_face_crops(boxes, photo.image_hw, min_area_px=min_area_px)
        if crops:
            kept.append(replace(photo, labels=tuple(photo.labels[crop.box_index] for crop in crops)))
    return kept


def write_single_face_crops(
    photos: Sequence[LabelledPhoto],
    parts: Mapping[str, str],
    image_root: Path,
    folder: Path,
    *,
    min_area_px: int,
    mirrors_all_parts: bool = False,
    progress: bool = False,
) -> CropSet:
    """Writes `NAME_K.jpg`, face K of each photo, and for the rarest training class also `NAME_K_flip.jpg`.

    Crops inherit the part of their photo.

    Args:
        photos: with boxes; masks are not carried over.
        parts: part of each photo that has a crop, see `faces_with_crops`.
        image_root: folder of the photos.
        folder: for the crops; created if needed.
        min_area_px: least area of a crop.
        mirrors_all_parts: mirror the rarest class in every part, as the first report did, not in training alone.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: if no crop is left, or a photo has become unreadable.
        FetalHCError: if a crop cannot be written.
    """
    cuts_of: dict[str, list[_Cut]] = {}
    problems: list[Problem] = []
    for photo in photos:
        boxes = [label.box_xyxy for label in photo.labels if label.box_xyxy]
        crops = single_face_crops(boxes, photo.image_hw, min_area_px=min_area_px)
        cuts_of[photo.file_name] = [_Cut(photo, crop, False) for crop in crops]
        for index in sorted(set(range(len(boxes))) - {crop.box_index for crop in crops}):
            where, value = f"{photo.file_name}, face {index + 1}", f"its crop has fewer than {min_area_px} px"
            problems.append(Problem.in_file("small_crop", where, value, "face left out"))
    cuts_of = {name: cuts for name, cuts in cuts_of.items() if cuts}
    counts = Counter(_category(cut) for name, cuts in cuts_of.items() if parts[name] == TRAIN for cut in cuts)
    if not cuts_of:
        raise DatasetError(f"{image_root}: no face has a crop of {min_area_px} px or more; lower the least area")
    rarest = min(counts, key=lambda name: (counts[name], name)) if len(counts) > 1 else None
    for name, cuts in cuts_of.items():
        if mirrors_all_parts or parts[name] == TRAIN:
            cuts += [cut._replace(is_mirrored=True) for cut in cuts if _category(cut) == rarest]
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise FetalHCError(f"{folder}: cannot be created ({error.strerror}); choose another output folder") from error
    work = partial(_write_cuts, image_root=image_root, folder=folder)
    written = map_files(work, list(cuts_of.values()), "cropping faces", progress=progress)
    part_of_crop = {_crop_name(cut): parts[name] for name, cuts in cuts_of.items() for cut in cuts}
    return CropSet([crop for crops in written for crop in crops], part_of_crop, problems)


def _write_cuts(cuts: Sequence[_Cut], image_root: Path, folder: Path) -> list[LabelledPhoto]:
    """Writes the crops of one photo.

    Raises:
        FetalHCError: if the photo cannot be read or a crop not be written.
    """
    image = read_image(image_root / cuts[0].photo.file_name)
    written = []
    for cut in cuts:
        left, top, right, bottom = cut.crop.crop_xyxy
        pixels: NDArray[np.uint8] = image[top:bottom, left:right]
        box = cut.crop.box_xyxy
        if cut.is_mirrored:
            pixels, box = pixels[:, ::-1], flipped_box(box, right - left)
        name = _crop_name(cut)
        try:
            Image.fromarray(np.ascontiguousarray(pixels)).save(folder / name, quality=_JPEG_QUALITY)
        except OSError as error:
            raise FetalHCError(
                f"{folder / name}: cannot be written ({error}); expected a writable folder with free space; choose "
                "another output folder"
            ) from error
        written.append(
            replace(
                cut.photo, file_name=name, image_hw=(bottom - top, right - left), labels=(Label(_category(cut), box),)
            )
        )
    return written


def _category(cut: _Cut) -> str:
    """Class of the crop's face."""
    return cut.photo.labels[cut.crop.box_index].category


def _crop_name(cut: _Cut) -> str:
    """File name of a crop; folders of the photo's name become part of it."""
    stem = "_".join(PurePosixPath(cut.photo.file_name).with_suffix("").parts)
    return f"{stem}_{cut.crop.box_index + 1}{'_flip' if cut.is_mirrored else ''}.jpg"
