"""One frame to one measurement: the only way from pixels to millimetres, for batches, the review app and Python.

Pixels -> check for photographs -> detection stage -> refinement stage -> ellipse -> check of the plane -> pixel size ->
millimetres -> interval and flags.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import ImageError
from fetal_hc.io.records import InstancePrediction
from fetal_hc.io.storage import read_image_file
from fetal_hc.model.preprocess import to_grey
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, choose_pixel_size, from_user
from hc18.measurement.flags import Status
from hc18.measurement.frames import ImageFrames, check_side, open_frames
from hc18.measurement.groups import ClipTally
from hc18.measurement.head_model import HeadModel
from hc18.measurement.image_checks import rejection_reason
from hc18.measurement.measurement import Measurement, apply_pixel_size
from hc18.measurement.outline import HeadOutline, Refine, find_outline

# What the image file itself says about the pixel size where an ellipse lies (None: no ellipse was found).
CalibrateAt = Callable[[Ellipse | None], Calibration]


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredFrame:
    """A measurement with the detection it comes from.

    Attributes:
        measurement: the head, or why there is none.
        detection: with the soft mask of the head; None without an ellipse.
    """

    measurement: Measurement
    detection: InstancePrediction | None


def measure(
    image: str | os.PathLike[str] | NDArray[np.uint8],
    model: HeadModel,
    pixel_size_mm: float | tuple[float, float] | None = None,
    *,
    min_score: float | None = None,
) -> Measurement | list[Measurement]:
    """The head circumference in an image; a list with one measurement per frame for a file with several frames.

    A warning names a clip most of whose frames are flagged or show no head.

    Args:
        image: a PNG, JPEG, TIFF, BMP or DICOM file, or uint8 pixels, (H, W) or (H, W, 3) RGB.
        model: of `load_model`.
        pixel_size_mm: mm per px, or mm per px along x and y. The calibrated region of a DICOM file goes before it; see
            `hc18.geometry.pixel_size.choose_pixel_size`.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1; the model's own if None.

    Raises:
        ImageError: if the file or the array is not an image.
        MeasurementError: if the pixel size is outside 0.01 to 2 mm.
        ModelError: if the network cannot be run on the image.
    """
    candidates = () if pixel_size_mm is None else (from_user(pixel_size_mm),)
    frames = _open_image(image)
    of_file = frames.calibrate
    found = [
        measure_frame(
            model,
            frames.frame_rgb(index),
            candidates,
            None if of_file is None else partial(_calibrate_frame, of_file, index),
            min_score=min_score,
        ).measurement
        for index in range(frames.n_frames)
    ]
    doubt = _doubt("the array" if isinstance(image, np.ndarray) else os.fspath(image), found)
    if doubt:
        warnings.warn(doubt, stacklevel=2)
    return found if len(found) > 1 else found[0]


def measure_frame(
    model: HeadModel,
    image_rgb: NDArray[np.uint8],
    candidates: Sequence[Calibration] = (),
    calibrate: CalibrateAt | None = None,
    *,
    min_score: float | None = None,
) -> MeasuredFrame:
    """The head circumference in one frame, or why there is none.

    Args:
        model: finds heads.
        image_rgb: uint8 (H, W, 3), original size, everything black that may not be shown.
        candidates: pixel sizes that a table or a person gives.
        calibrate: what the image file itself says; None for kinds of files that do not know it.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1; the model's own if None.

    Raises:
        ModelError: if the network cannot be run on the image.
    """
    outline, detection = detect_outline(model, image_rgb, min_score=min_score)
    of_file = () if calibrate is None else (calibrate(outline.ellipse_px),)
    chosen = choose_pixel_size((*of_file, *candidates))
    return MeasuredFrame(apply_pixel_size(outline, chosen, model.intervals), detection)


def detect_outline(
    model: HeadModel, image_rgb: NDArray[np.uint8], *, min_score: float | None = None
) -> tuple[HeadOutline, InstancePrediction | None]:
    """The head in px after detection and refinement stage, and the detection that it comes from.

    Raises:
        ModelError: if one of the networks cannot be run on the image.
    """
    reason = rejection_reason(image_rgb)
    if reason:
        return HeadOutline(failure=Status.NO_HEAD, reason=reason), None
    instances = model.predict(image_rgb)
    image_hw = (image_rgb.shape[0], image_rgb.shape[1])
    smallest = model.min_score if min_score is None else min_score
    image_grey = to_grey(image_rgb)
    outline = find_outline(
        instances,
        image_hw,
        _refinement(model, image_grey),
        min_score=smallest,
        refinement_share=model.refinement_share,
    )
    if model.checks is not None:
        outline = model.checks.apply(outline, image_grey)
    index = outline.detection_index
    return outline, None if index is None else instances[index]


def _refinement(model: HeadModel, image_grey: NDArray[np.uint8]) -> Refine | None:
    """The refinement stage for one image; None if the model has none."""
    refiner = model.refiner
    if refiner is None:
        return None
    return lambda ellipse_px: refiner.refine(image_grey, ellipse_px)


def _open_image(image: str | os.PathLike[str] | NDArray[np.uint8]) -> ImageFrames:
    """The frames of a file or of an array.

    Raises:
        ImageError: if it is not an image.
    """
    if not isinstance(image, np.ndarray):
        return open_frames(read_image_file(os.fspath(image))[0], os.fspath(image))
    if image.dtype != np.uint8 or image.ndim not in (2, 3) or image.shape[2:] not in ((), (3,)):
        raise ImageError(
            f"the array has type {image.dtype} and shape {image.shape}; expected uint8 (H, W) or (H, W, 3), RGB"
        )
    image_rgb = np.repeat(image[:, :, None], 3, axis=2) if image.ndim == 2 else image
    check_side((image_rgb.shape[0], image_rgb.shape[1]))
    return ImageFrames(1, lambda _index: image_rgb, lambda _index: image_rgb)


def _doubt(name: str, measured: Sequence[Measurement]) -> str:
    """What is to be said about a whole clip, as batches say it; empty for nothing."""
    tally = ClipTally()
    for frame in measured:
        tally.add(frame.flags, has_ellipse=frame.ellipse_px is not None)
    return tally.warning(name)


def _calibrate_frame(
    calibrate: Callable[[Ellipse | None, int], Calibration], index: int, ellipse_px: Ellipse | None
) -> Calibration:
    return calibrate(ellipse_px, index)
