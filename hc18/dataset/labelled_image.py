"""One labelled HC18 image with its annotation: what it holds and how it is read and checked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from fetal_hc.errors import Problem, fatal_problems
from hc18.dataset.annotation import AnnotationFit, fit_annotation
from hc18.dataset.pixel_size_table import PixelSizeRow
from hc18.geometry.ellipse import Ellipse

RING_HC_TOLERANCE_MM = 0.2  # the published outlines reproduce the table within 0.05 mm
DISC_HC_TOLERANCE_PERCENT = 3.0  # a filled copy may end at either edge of the outline
_ANNOTATION_ENDING = "_Annotation.png"
_RESTORE = "restore it from the original archive"

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class LabelledImage:
    """One labelled image.

    Attributes:
        filename: bare name of the image, unique in the set.
        image_path: the image.
        annotation_path: its annotation picture.
        image_hw: height and width in px, equal for both pictures.
        pixel_size_mm: mm per pixel, both directions.
        hc_mm: reference head circumference of the table, in mm.
        annotation: what was fitted to the annotation; its ellipse is never None.
        ellipse_px: that ellipse, in px, pixel centres at integers.
    """

    filename: str
    image_path: Path
    annotation_path: Path
    image_hw: tuple[int, int]
    pixel_size_mm: float
    hc_mm: float
    annotation: AnnotationFit
    ellipse_px: Ellipse

    @property
    def examination(self) -> str:
        """Examination the image belongs to."""
        return examination_of(self.filename)

    @property
    def fitted_hc_mm(self) -> float:
        """Circumference of the fitted ellipse, in mm."""
        return self.ellipse_px.circumference() * self.pixel_size_mm


def examination_of(filename: str) -> str:
    """Examination number of an HC18 file name: `010` for `010_HC.png` and `010_2HC.png`."""
    return Path(filename).stem.split("_", maxsplit=1)[0]


def annotation_name(filename: str) -> str:
    """Name of the annotation that belongs to an image: `010_HC_Annotation.png` for `010_HC.png`."""
    return f"{Path(filename).stem}{_ANNOTATION_ENDING}"


def is_annotation(filename: str) -> bool:
    """Whether a file is named like the annotation of an image, in any case."""
    return filename.lower().endswith(_ANNOTATION_ENDING.lower())


def read_case(folder: Path, row: PixelSizeRow) -> tuple[LabelledImage | None, list[Problem]]:
    """The case of one table row, or None, and the problems of its files (those of the row are the table's).

    Args:
        folder: holds the image and its annotation.
        row: of the training table.
    """
    image_path, annotation_path = folder / row.filename, folder / annotation_name(row.filename)
    image_hw, annotation = _read(image_path, _checked_size), _read(annotation_path, _grey_values)
    problems = [result for result in (image_hw, annotation) if isinstance(result, Problem)]
    if isinstance(annotation, Problem):
        return None, problems
    fit = fit_annotation(annotation)
    problems += _fit_problems(annotation_path, fit)
    if isinstance(image_hw, Problem):
        return None, problems
    if annotation.shape != image_hw:
        (height, width), (image_height, image_width) = annotation.shape, image_hw
        sizes = f"is {width} x {height} px, its image {image_width} x {image_height}"
        problems.append(Problem("size_mismatch", f"{annotation_path}: {sizes}; expected equal sizes; {_RESTORE}"))
    if fit.ellipse is None or row.pixel_size_mm is None or row.hc_mm is None or fatal_problems(problems):
        return None, problems
    case = LabelledImage(
        row.filename, image_path, annotation_path, image_hw, row.pixel_size_mm, row.hc_mm, fit, fit.ellipse
    )
    return case, problems + _circumference_problems(case)


def check_image(path: Path) -> list[Problem]:
    """Why a file that a table names cannot be used as an image; empty if it can."""
    result = _read(path, _checked_size)
    return [result] if isinstance(result, Problem) else []


def _read(path: Path, reader: Callable[[Image.Image], T]) -> T | Problem:
    """What `reader` takes from the picture at `path`, or why there is none."""
    try:
        with Image.open(path) as picture:
            return reader(picture)
    except FileNotFoundError:
        remedy = f"does not exist although a table names its image; {_RESTORE} or delete the row"
        return Problem("missing_file", f"{path}: {remedy}")
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:  # all that Pillow raises
        reason = "not an image" if isinstance(error, UnidentifiedImageError) else str(error)
        return Problem("unreadable_image", f"{path}: cannot be read ({reason}); expected a complete PNG; {_RESTORE}")


def _checked_size(picture: Image.Image) -> tuple[int, int]:
    """Height and width of a picture after its data was verified: PNG by its checksums, else by decoding."""
    size_hw = (picture.height, picture.width)
    if picture.format == "PNG":
        picture.verify()
    else:
        picture.load()
    return size_hw


def _grey_values(picture: Image.Image) -> NDArray[np.uint8]:
    """The picture as uint8 (H, W)."""
    return np.asarray(picture if picture.mode == "L" else picture.convert("L"))


def _fit_problems(path: Path, fit: AnnotationFit) -> list[Problem]:
    """What the annotation itself shows: nothing to fit (fatal), a filled disc or a gap (warnings)."""
    if fit.ellipse is None:
        finding = f"no ellipse fits ({fit.reason}); expected the outline of one head; {_RESTORE}"
        return [Problem("no_ellipse", f"{path}: {finding}")]
    if fit.kind == "disc":
        finding = (
            "holds a filled disc; expected an outline, whose centre line defines HC; the disc's edge was used, which "
            "may lie half a line width next to it; use the original archive"
        )
        return [Problem("filled_disc", f"{path}: {finding}", fatal=False)]
    if not fit.is_closed:
        where = ", the head leaves the image" if fit.touches_border else ""
        finding = f"the outline is not closed{where}; the ellipse was fitted to the drawn part; check it by eye"
        return [Problem("unclosed_outline", f"{path}: {finding}", fatal=False)]
    return []


def _circumference_problems(case: LabelledImage) -> list[Problem]:
    """A warning if the fitted circumference contradicts the table."""
    is_disc = case.annotation.kind == "disc"
    tolerance_mm = DISC_HC_TOLERANCE_PERCENT / 100 * case.hc_mm if is_disc else RING_HC_TOLERANCE_MM
    if abs(case.fitted_hc_mm - case.hc_mm) <= tolerance_mm:
        return []
    finding = (
        f"its ellipse measures {case.fitted_hc_mm:.2f} mm, the table says {case.hc_mm:.2f} mm; expected a difference "
        f"of at most {tolerance_mm:.2f} mm; compare pixel size and annotation with the original archive"
    )
    return [Problem("hc_mismatch", f"{case.annotation_path}: {finding}", fatal=False)]
