"""The pictures in an image file, one at a time, and what the file itself says about their pixel size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import ImageError
from fetal_hc.io.images import read_image
from hc18.dicom import is_dicom
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration

MIN_SIDE_PX = 64


@dataclass(frozen=True, slots=True)
class ImageFrames:
    """The pictures of one file.

    Attributes:
        n_frames: how many there are, at least 1.
        frame_rgb: the pixels to measure of the frame with a 0-based index, uint8 (H, W, 3) RGB; raises `ImageError` if
            it cannot be decoded. It may show a name: use it for numbers alone.
        visible_rgb: the pixels of that frame which may be shown and stored, same form and size; raises `NeedsRegion`
            where a person has to choose them first.
        calibrate: pixel size where an ellipse (px, pixel centres at integers) lies in the frame with a 0-based index;
            None for kinds of files that do not know it.
    """

    n_frames: int
    frame_rgb: Callable[[int], NDArray[np.uint8]]
    visible_rgb: Callable[[int], NDArray[np.uint8]]
    calibrate: Callable[[Ellipse | None, int], Calibration] | None = None


def open_frames(data: bytes, name: str) -> ImageFrames:
    """The pictures in the content of a PNG, JPEG, TIFF, BMP or DICOM file; the first bytes decide, not its name.

    The frames of DICOM are decoded when they are asked for, other pictures here. What lies outside the tissue regions
    of a DICOM frame is black, as in the review app, so that banners and menus do not influence a measurement.

    Args:
        data: content of the file.
        name: what to call it in messages.

    Raises:
        ImageError: if it is none of these, damaged, too large or too small.
    """
    if is_dicom(data):
        from hc18.dicom import read_dicom  # loads a library that batches of pictures do not need

        dicom = read_dicom(data)
        check_side(dicom.image_hw)
        return ImageFrames(dicom.n_frames, dicom.measured_rgb, dicom.visible_rgb, dicom.calibrate)
    image_rgb = read_image(data, name=name)
    check_side((image_rgb.shape[0], image_rgb.shape[1]))
    return ImageFrames(1, lambda _index: image_rgb, lambda _index: image_rgb)


def check_side(image_hw: tuple[int, int]) -> None:
    """Refuses a picture in which no head can be measured.

    Raises:
        ImageError: if a side has fewer than `MIN_SIDE_PX`.
    """
    height, width = image_hw
    if min(image_hw) < MIN_SIDE_PX:
        raise ImageError(
            f"The image has only {width} x {height} pixels; a head cannot be measured with fewer than {MIN_SIDE_PX} "
            "along each side. Export it at its original size."
        )
