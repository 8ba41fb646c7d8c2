"""Reviewed cases as tables: a CSV for spreadsheets and the challenge's submission."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from functools import partial

from fetal_hc import DISCLAIMER
from fetal_hc.io.tables import to_csv_text, to_safe_cell
from hc18.dataset.submission import to_submission_text
from hc18.geometry.ellipse import Ellipse
from hc18.reports.case import Report
from hc18.reviews.models import Decision
from hc18.reviews.validation import to_single_line

_ELLIPSE_FIELDS = {"center_x_px": 4, "center_y_px": 4, "semi_axis_a_px": 4, "semi_axis_b_px": 4, "angle_rad": 8}

_EllipseOf = Callable[[Report], Ellipse | None]


def to_csv(cases: Iterable[Report]) -> str:
    """One row per case under a header, for spreadsheets: byte-order mark, CRLF, decimal points.

    What does not apply is empty, never 0. Text that a spreadsheet would take for a formula begins with an apostrophe.
    """
    rows = ([value(case) for value in _COLUMNS.values()] for case in cases)
    return to_csv_text(CSV_COLUMNS, rows, for_spreadsheets=True)


def to_submission(cases: Mapping[str, Report], filenames: Sequence[str]) -> str:
    """The challenge's CSV with a row for every case that a reviewer accepted or corrected.

    Args:
        cases: by the file name of their image in the challenge.
        filenames: all images of the challenge's table, in its order.

    Raises:
        DatasetError: if a case is not among `filenames`, or a name is listed twice.
    """
    ellipses_mm = {name: _reviewed_ellipse_mm(case) for name, case in cases.items()}
    return to_submission_text(ellipses_mm, filenames)[0]


def to_line_cell(text: str) -> str:
    """Text on one line, in single spaces, that no spreadsheet takes for a formula."""
    return to_safe_cell(to_single_line(text))


def _reviewed_ellipse_mm(case: Report) -> Ellipse | None:
    pixel_size, ellipse_px = case.calibration.pixel_size_xy_mm, case.ellipse_px
    if case.decision is Decision.UNREVIEWED or pixel_size is None or ellipse_px is None:
        return None
    return ellipse_px.to_mm(*pixel_size)


def _number(value: float | None, decimals: int) -> str:
    return "" if value is None else f"{value:.{decimals}f}"


def _moment(value: datetime | None) -> str:
    return "" if value is None else f"{value:%Y-%m-%dT%H:%M:%SZ}"


def _interval(case: Report, end: int) -> str:
    return "" if case.hc_interval_mm is None else _number(case.hc_interval_mm[end], 2)


def _pixel_size(case: Report, axis: int) -> str:
    size_xy = case.calibration.pixel_size_xy_mm
    return "" if size_xy is None else repr(float(size_xy[axis]))


def _ellipse_value(ellipse_of: _EllipseOf, field: str, case: Report) -> str:
    ellipse_px = ellipse_of(case)
    if ellipse_px is None:
        return ""
    return _number(getattr(ellipse_px, field.removesuffix("_px")), _ELLIPSE_FIELDS[field])


def _age_value(case: Report, index: int) -> str:
    return _number(case.ages[index].days, 2) if case.ages else ""


def _shape_value(case: Report, name: str) -> str:
    shape = case.shape
    return "" if shape is None else _number(getattr(shape, name), 2)


def _ellipse_columns(prefix: str, ellipse_of: _EllipseOf) -> dict[str, Callable[[Report], str]]:
    """Columns of the five numbers of an ellipse, centre convention."""
    return {f"{prefix}{field}": partial(_ellipse_value, ellipse_of, field) for field in _ELLIPSE_FIELDS}


# Column -> text of its cell. Columns are only ever added at the end.
_COLUMNS: dict[str, Callable[[Report], str]] = {
    "case": lambda case: to_line_cell(case.case_label),
    "status": lambda case: case.status.value,
    "decision": lambda case: case.decision.value,
    "hc_mm": lambda case: _number(case.hc_mm, 2),
    "model_hc_mm": lambda case: _number(case.model_hc_mm, 2),
    "model_hc_low_mm": lambda case: _interval(case, 0),
    "model_hc_high_mm": lambda case: _interval(case, 1),
    "model_hc_interval_level": lambda case: "" if case.hc_interval_level is None else f"{case.hc_interval_level:g}",
    "confidence": lambda case: _number(case.confidence, 4),
    "flags": lambda case: to_line_cell(";".join(case.flags)),
    "ga_hadlock_1984_days": lambda case: _age_value(case, 0),
    "ga_intergrowth_2016_days": lambda case: _age_value(case, 1),
    "independent_ga_days": lambda case: _number(case.independent_ga_days, 0),
    "independent_ga_source": lambda case: to_line_cell(case.ga_source),
    "percentile": lambda case: _number(case.growth.percentile, 2),
    "z_score": lambda case: _number(case.growth.z_score, 3),
    "percentile_standard": lambda case: case.growth.standard.name if case.growth else "",
    "calibration_source": lambda case: case.calibration.source.value,
    "pixel_size_x_mm": lambda case: _pixel_size(case, 0),
    "pixel_size_y_mm": lambda case: _pixel_size(case, 1),
    "calibration": lambda case: to_line_cell(" ".join([case.calibration.detail, *case.calibration.warnings])),
    "reason": lambda case: to_line_cell(case.reason),
    "reviewer": lambda case: to_line_cell(case.reviewer),
    "signed_by": lambda case: to_line_cell(case.signer),
    "signed_at_utc": lambda case: _moment(case.signed_at_utc if case.is_signed else None),
    "measured_at_utc": lambda case: _moment(case.measured_at_utc),
    **_ellipse_columns("", lambda case: case.ellipse_px),
    **_ellipse_columns("model_", lambda case: case.model_ellipse_px),
    "image_sha256": lambda case: case.image_sha256,
    "model": lambda case: to_line_cell(case.model_name),
    "model_version": lambda case: to_line_cell(case.model_version),
    "model_sha256": lambda case: case.model_sha256,
    "note": lambda _case: DISCLAIMER,
    "bpd_outer_outer_mm": lambda case: _shape_value(case, "bpd_outer_outer_mm"),
    "bpd_outer_inner_mm": lambda case: _shape_value(case, "bpd_outer_inner_mm"),
    "ofd_outer_outer_mm": lambda case: _shape_value(case, "ofd_outer_outer_mm"),
    "cephalic_index_percent": lambda case: _shape_value(case, "cephalic_index_percent"),
}
CSV_COLUMNS = tuple(_COLUMNS)
