"""Pixel sizes in mm: where each came from, which one counts, and whether it is believable."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from fetal_hc.errors import MeasurementError

USUAL_PIXEL_SIZE_MM = (0.049, 0.394)  # HC18 has 0.0494 to 0.3933
POSSIBLE_PIXEL_SIZE_MM = (0.01, 2.0)  # beyond, no transducer resolves a pixel or 200 px show a whole torso
USUAL_ASPECT_RATIO = 1.25  # larger / smaller pixel side
SAME_SIZE = 0.01  # relative difference up to which two pixel sizes give the same circumference for a clinician


class CalibrationSource(StrEnum):
    """Where a pixel size came from."""

    CSV = "csv"
    DICOM_REGION = "dicom_region"
    DICOM_PIXEL_SPACING = "dicom_pixel_spacing"
    USER = "user"
    NONE = "none"


# The first of these that a frame has counts; `choose_pixel_size`.
PRECEDENCE = (
    CalibrationSource.DICOM_REGION,
    CalibrationSource.CSV,
    CalibrationSource.USER,
    CalibrationSource.DICOM_PIXEL_SPACING,
    CalibrationSource.NONE,
)
_SOURCE_PHRASES = {
    CalibrationSource.CSV: "The table of pixel sizes gives",
    CalibrationSource.DICOM_REGION: "The ultrasound region of the DICOM file gives",
    CalibrationSource.DICOM_PIXEL_SPACING: "The DICOM file states a second pixel size,",
    CalibrationSource.USER: "The pixel size that was typed is",
    CalibrationSource.NONE: "Another source gives",
}


@dataclass(frozen=True, slots=True)
class Calibration:
    """The pixel size of one frame, or why it has none.

    Attributes:
        pixel_size_xy_mm: mm per px along x and y; None if and only if `source` is `NONE`.
        source: where it came from.
        detail: one sentence for a clinician: which region, attribute or table row, or why there are no millimetres.
        warnings: sentences to show with every value in millimetres.
        other_sizes_xy_mm: pixel sizes that other sources give and that differ by more than `SAME_SIZE`; each has a
            sentence in `warnings`.
    """

    pixel_size_xy_mm: tuple[float, float] | None
    source: CalibrationSource
    detail: str
    warnings: tuple[str, ...] = ()
    other_sizes_xy_mm: tuple[tuple[float, float], ...] = ()

    def __post_init__(self) -> None:
        """Refuses a pixel size without a source, a source without one, and impossible values.

        Raises:
            MeasurementError: naming the value, what was expected and what to do.
        """
        if (self.pixel_size_xy_mm is None) != (self.source is CalibrationSource.NONE):
            raise MeasurementError(
                f"a calibration with source {self.source.value!r} has the pixel size {self.pixel_size_xy_mm}; expected "
                "one exactly when the source is not 'none'"
            )
        if self.pixel_size_xy_mm is not None:
            problem = pixel_size_problem(self.pixel_size_xy_mm)
            if problem:
                raise MeasurementError(problem)


def from_table(pixel_size_mm: float | tuple[float, float], row: int | None = None) -> Calibration:
    """The pixel size of a table row.

    Args:
        pixel_size_mm: mm per px, or mm per px along x and y.
        row: line of the table, the header being line 1; None if unknown.

    Raises:
        MeasurementError: if the value cannot be a pixel size.
    """
    size_xy = pixel_size_mm if isinstance(pixel_size_mm, tuple) else (pixel_size_mm, pixel_size_mm)
    return _calibration(
        size_xy,
        CalibrationSource.CSV,
        "From the table of pixel sizes" + ("" if row is None else f", line {row}"),
    )


def from_user(pixel_size_mm: float | tuple[float, float], reviewer: str = "") -> Calibration:
    """A pixel size that somebody typed.

    Args:
        pixel_size_mm: mm per px, or mm per px along x and y.
        reviewer: who typed it, for the record; empty if unknown.

    Raises:
        MeasurementError: if the value cannot be a pixel size.
    """
    size_xy = pixel_size_mm if isinstance(pixel_size_mm, tuple) else (pixel_size_mm, pixel_size_mm)
    return _calibration(size_xy, CalibrationSource.USER, f"Typed by {reviewer}" if reviewer else "Typed by hand")


def from_region(pixel_size_xy_mm: tuple[float, float], where: str, warnings: tuple[str, ...] = ()) -> Calibration:
    """The pixel size of a DICOM ultrasound region; `where` names the region.

    Raises:
        MeasurementError: if the value cannot be a pixel size.
    """
    return _calibration(pixel_size_xy_mm, CalibrationSource.DICOM_REGION, f"From the DICOM file, {where}", warnings)


def from_pixel_spacing(pixel_size_xy_mm: tuple[float, float]) -> Calibration:
    """The DICOM attribute Pixel Spacing, always with a warning.

    Raises:
        MeasurementError: if the value cannot be a pixel size.
    """
    warning = (
        "The DICOM file has no calibrated ultrasound region; its attribute Pixel Spacing was used, which ultrasound "
        "systems do not have to keep right. Compare with a caliper or the depth scale of the image."
    )
    return _calibration(
        pixel_size_xy_mm,
        CalibrationSource.DICOM_PIXEL_SPACING,
        "From the DICOM file, attribute Pixel Spacing",
        (warning,),
    )


def choose_pixel_size(candidates: Sequence[Calibration]) -> Calibration:
    """The pixel size that counts: the DICOM region that holds the ellipse, then a table, then a person.

    Pixel Spacing of a DICOM file counts where there is nothing else. A candidate that differs from the chosen one by
    more than 1 % is named in its warnings and `other_sizes_xy_mm`, which raises the flag `pixel_sizes_disagree`.

    Args:
        candidates: what each source gives for this frame and ellipse, in any order, or why it gives nothing.
    """
    ranked = sorted(candidates, key=lambda candidate: PRECEDENCE.index(candidate.source))
    if not ranked:
        return uncalibrated("No millimetres: nothing says how large a pixel is. Type the pixel size.")
    if ranked[0].pixel_size_xy_mm is None:
        return uncalibrated(" ".join(dict.fromkeys(candidate.detail for candidate in candidates)))
    return name_other_sizes(ranked[0], ranked[1:])


def name_other_sizes(chosen: Calibration, candidates: Sequence[Calibration]) -> Calibration:
    """A calibration with a warning for each candidate that gives another size."""
    for other in candidates:
        if other.pixel_size_xy_mm is not None and other.pixel_size_xy_mm not in chosen.other_sizes_xy_mm:
            chosen = warn_of_other_size(chosen, other.pixel_size_xy_mm, other.source)
    return chosen


def differing_sizes(in_force: Calibration, candidates: Sequence[Calibration]) -> tuple[Calibration, ...]:
    """What a person may choose in place of the pixel size in force, best first; empty if nothing contradicts it.

    Where the size in force comes from a DICOM file and the file at hand gives none, having none is a choice too.

    Args:
        in_force: as recorded.
        candidates: what each source gives now, or why it gives nothing.
    """
    if not candidates:
        return ()
    best = choose_pixel_size(candidates)
    if best.pixel_size_xy_mm is None:
        is_of_file = in_force.source in (CalibrationSource.DICOM_REGION, CalibrationSource.DICOM_PIXEL_SPACING)
        return (best,) if is_of_file else ()
    ranked = sorted(candidates, key=lambda candidate: PRECEDENCE.index(candidate.source))
    found: list[Calibration] = []
    for item in ranked:
        known = (in_force.pixel_size_xy_mm, *(other.pixel_size_xy_mm for other in found))
        if item.pixel_size_xy_mm is not None and not any(is_same_size(item.pixel_size_xy_mm, size) for size in known):
            found.append(item)
    return tuple(name_other_sizes(item, ranked) for item in found)


def warn_of_other_size(
    calibration: Calibration,
    other_xy_mm: tuple[float, float],
    source: CalibrationSource = CalibrationSource.DICOM_PIXEL_SPACING,
) -> Calibration:
    """The calibration, with a warning if another source gives a different pixel size.

    Args:
        calibration: the one that counts.
        other_xy_mm: mm per px along x and y.
        source: where the other one comes from.
    """
    used = calibration.pixel_size_xy_mm
    if used is None or is_same_size(used, other_xy_mm):
        return calibration
    warning = (
        f"{_SOURCE_PHRASES[source]} {format_pixel_size(other_xy_mm)}, which was not used. "
        "Compare with a caliper or the depth scale of the image."
    )
    others = (*calibration.other_sizes_xy_mm, other_xy_mm)
    return replace(calibration, warnings=(*calibration.warnings, warning), other_sizes_xy_mm=others)


def is_same_size(size_xy_mm: tuple[float, float] | None, other_xy_mm: tuple[float, float] | None) -> bool:
    """Whether two pixel sizes, mm per px along x and y, differ by at most `SAME_SIZE`; None equals only None."""
    if size_xy_mm is None or other_xy_mm is None:
        return size_xy_mm is other_xy_mm
    return all(abs(other - size) <= SAME_SIZE * size for other, size in zip(other_xy_mm, size_xy_mm, strict=True))


def candidate(make: Callable[..., Calibration], *values: object) -> Calibration:
    """`make(*values)`, or the reason why there are no millimetres where it refuses an impossible value."""
    try:
        return make(*values)
    except MeasurementError as error:
        return uncalibrated(f"No millimetres: {error}")


def uncalibrated(reason: str) -> Calibration:
    """No millimetres, with the reason as a sentence."""
    return Calibration(None, CalibrationSource.NONE, reason)


def pixel_size_problem(pixel_size_xy_mm: tuple[float, float]) -> str:
    """Why these cannot be mm per px along x and y, as a sentence; empty if they can."""
    low, high = POSSIBLE_PIXEL_SIZE_MM
    for axis, size in zip("xy", pixel_size_xy_mm, strict=True):
        if not (math.isfinite(size) and low <= size <= high):
            return (
                f"The pixel size along {axis} is {size:g} mm; expected millimetres per pixel between {low:g} and "
                f"{high:g}. Check the number and its unit{_unit_hint(size)}."
            )
    return ""


def pixel_size_warnings(pixel_size_xy_mm: tuple[float, float]) -> tuple[str, ...]:
    """What is unusual about mm per px along x and y that are possible; empty if nothing is."""
    warnings = []
    low, high = USUAL_PIXEL_SIZE_MM
    odd = next((size for size in pixel_size_xy_mm if not low <= size <= high), None)
    if odd is not None:
        warnings.append(
            f"The pixel size {odd:.4g} mm is unusual for a fetal head; the HC18 images have 0.049 to 0.393 mm. "
            f"Check the number and its unit{_unit_hint(odd)}."
        )
    if max(pixel_size_xy_mm) > USUAL_ASPECT_RATIO * min(pixel_size_xy_mm):
        warnings.append(
            f"The pixel size is {pixel_size_xy_mm[0]:.4g} mm across and {pixel_size_xy_mm[1]:.4g} mm down; so large a "
            "difference is unusual. Check that the image is not stretched."
        )
    return tuple(warnings)


def format_pixel_size(pixel_size_xy_mm: tuple[float, float]) -> str:
    """Mm per px in words, one number if x and y agree to the digits shown."""
    across, down = (f"{size:.4g}" for size in pixel_size_xy_mm)
    return f"{across} mm per pixel" if across == down else f"{across} mm across and {down} mm down per pixel"


def _calibration(
    pixel_size_xy_mm: tuple[float, float], source: CalibrationSource, origin: str, warnings: tuple[str, ...] = ()
) -> Calibration:
    """A calibration with the value in its sentence and the warnings that the value deserves.

    Raises:
        MeasurementError: if the value cannot be a pixel size.
    """
    size_xy = (float(pixel_size_xy_mm[0]), float(pixel_size_xy_mm[1]))
    problem = pixel_size_problem(size_xy)
    if problem:
        raise MeasurementError(problem)
    detail = f"{origin}: {format_pixel_size(size_xy)}."
    return Calibration(size_xy, source, detail, (*warnings, *pixel_size_warnings(size_xy)))


def _unit_hint(size: float) -> str:
    """What the number would be in a unit in which it is usual, to append to a sentence; empty if there is none."""
    low, high = USUAL_PIXEL_SIZE_MM
    for unit, factor in (("centimetres", 10.0), ("micrometres", 1e-3)):
        if low <= size * factor <= high:
            return f"; {size:g} {unit} would be {size * factor:.4g} mm"
    return ""
