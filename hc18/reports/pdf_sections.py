"""The sections of the PDF report, each a list of ReportLab flowables."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from reportlab.lib.colors import HexColor
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, Image, KeepTogether, Paragraph, Spacer, Table, TableStyle

from hc18.measurement.flags import flag_text
from hc18.obstetrics.gestational_age import age_text
from hc18.obstetrics.growth import percentile_text
from hc18.reports.case import (
    CALIBRATION_TEXTS,
    DECISION_TEXTS,
    Report,
    interval_text,
    shape_texts,
    status_text,
    utc_text,
)
from hc18.reports.charts import growth_chart, to_png
from hc18.reports.pdf_image import DrawnEllipse, OutlinedImage
from hc18.reports.pdf_text import BOLD, MONOSPACED, REGULAR, markup_paragraph, paragraph, to_markup
from hc18.reviews.models import Decision

CONTENT_WIDTH_PT = 174.0 * mm
MODEL_COLOR = "#E69F00"  # Okabe and Ito: orange and sky blue
REVIEWER_COLOR = "#56B4E9"

_LABEL_WIDTH_PT = 46.0 * mm
_GAP_PT = 3.0 * mm
_CHART_INCH = (6.4, 3.5)
_FONT = ("FONTNAME", (0, 0), (-1, -1), REGULAR)  # or every table names Helvetica, which is not embedded
_RULE = ("LINEBELOW", (0, 0), (-1, -2), 0.3, HexColor("#cccccc"))
_GREY = "#555555"


def summary(case: Report) -> list[Flowable]:
    """Label and status, then circumference, age and percentile side by side."""
    boxes = Table([[_circumference_box(case), _age_box(case), _percentile_box(case)]], [CONTENT_WIDTH_PT / 3.0] * 3)
    boxes.setStyle(
        TableStyle(
            [
                _FONT,
                ("VALIGN", (0, 0), (-1, -1), "TOP"),
                ("BACKGROUND", (0, 0), (-1, -1), HexColor("#f3f5f7")),
                ("LINEAFTER", (0, 0), (1, 0), 0.5, HexColor("#cccccc")),
            ]
        )
    )
    status = markup_paragraph(f'<font name="{BOLD}">Status:</font> {to_markup(status_text(case))}', size_pt=9.5)
    return [paragraph(case.case_label or "Case", size_pt=14.0, font=BOLD), status, Spacer(0, _GAP_PT), boxes]


def images(case: Report) -> list[Flowable]:
    """The image with the ellipse; two of them, before and after, when the reviewer corrected it."""
    model, reviewer = case.model_ellipse_px, case.final_ellipse_px
    shown_rgb, origin_xy = _visible_part(case)
    if case.decision is not Decision.CORRECTED or reviewer is None:
        rejected = case.decision is Decision.REJECTED
        outlines = [] if model is None else [DrawnEllipse(model, MODEL_COLOR, is_dashed=rejected)]
        text = "Ellipse of the model" + (", rejected by the reviewer (dashed)" if rejected else "")
        caption = _caption(text, MODEL_COLOR) if outlines else paragraph("No head was found.", centered=True)
        picture = OutlinedImage(shown_rgb, origin_xy, outlines, (CONTENT_WIDTH_PT, 84.0 * mm))
        cells: list[list[Flowable]] = [[picture], [caption]]
        widths = [CONTENT_WIDTH_PT]
    else:
        largest = (CONTENT_WIDTH_PT / 2.0 - _GAP_PT, 76.0 * mm)
        before = [] if model is None else [DrawnEllipse(model, MODEL_COLOR)]
        after = [DrawnEllipse(outline.ellipse_px, outline.color, is_dashed=True) for outline in before]
        after.append(DrawnEllipse(reviewer, REVIEWER_COLOR))
        cells = [
            [OutlinedImage(shown_rgb, origin_xy, outlines, largest) for outlines in (before, after)],
            [_caption("Before: model", MODEL_COLOR), _caption("After: reviewer (model dashed)", REVIEWER_COLOR)],
        ]
        widths = [CONTENT_WIDTH_PT / 2.0] * 2
    table = Table(cells, widths)
    table.setStyle(TableStyle([_FONT, ("ALIGN", (0, 0), (-1, -1), "CENTER"), ("BOTTOMPADDING", (0, 0), (-1, -1), 1)]))
    return [Spacer(0, _GAP_PT), table]


def review(case: Report) -> list[Flowable]:
    """Decision, reason, reviewer and signature."""
    rows = [("Decision", DECISION_TEXTS[case.decision])]
    rows += [("Reason", case.reason)] if case.reason else []
    rows += [("Reviewer", case.reviewer)] if case.reviewer else []
    signed = "not signed"
    if case.is_signed and case.signed_at_utc is not None:
        signed = f"{utc_text(case.signed_at_utc)} by {case.signer}"
    return _section("Review", _rows([*rows, ("Signed", signed)]))


def measurement(case: Report) -> list[Flowable]:
    """Circumference before and after, interval, confidence, flags, calibration."""
    rows = [("Head circumference", _circumference_text(case))]
    if case.model_hc_mm is not None:
        rejected = ", rejected" if case.decision is Decision.REJECTED else ""
        rows.append(("Of the model", f"{case.model_hc_mm:.1f} mm{rejected}"))
        if case.decision is Decision.CORRECTED and case.final_hc_mm is not None:
            change = case.final_hc_mm - case.model_hc_mm
            percent = 100.0 * change / case.model_hc_mm
            rows.append(("Reviewer minus model", f"{change:+.1f} mm ({percent:+.1f} %)"))
    if interval_text(case):
        rows.append(("Interval of the model", interval_text(case)))
    if case.shape is not None:
        rows += list(shape_texts(case.shape).items())
    if case.confidence is not None:
        rows.append(("Confidence of the model", f"{case.confidence:.3f}"))
    rows.append(("Quality flags", " ".join(flag_text(flag).sentence for flag in case.flags) or "none"))
    source = CALIBRATION_TEXTS[case.calibration.source]
    rows.append(("Calibration", " ".join([f"Source: {source}.", case.calibration.detail, *case.calibration.warnings])))
    return _section("Measurement", _rows(rows))


def ages(case: Report) -> list[Flowable]:
    """Age from the circumference by every standard."""
    if not case.ages:
        return []
    table = [["Standard", "Age (weeks+days)", "Interval (±2 SD)", "Remarks"]]
    for age in case.ages:
        interval = "–" if age.interval_days is None else " to ".join(age_text(max(day, 0)) for day in age.interval_days)
        value = "–" if age.days is None else age_text(age.days)
        table.append([f"{age.standard}", value, interval, " ".join(age.warnings) or age.reason])
    cells = [[paragraph(text, font=BOLD if row == 0 else REGULAR) for text in line] for row, line in enumerate(table)]
    widths = [54.0 * mm, 34.0 * mm, 34.0 * mm, 52.0 * mm]
    return _section("Gestational age from the head circumference", _table(cells, widths))


def growth(case: Report) -> list[Flowable]:
    """Percentile with its standard and the growth chart, or why there is none."""
    result, hc_mm, ga_days = case.growth, case.hc_mm, case.independent_ga_days
    if hc_mm is None:
        return []
    if result.percentile is None or result.z_score is None or ga_days is None:
        return _section("Size for age", _rows([("Percentile", result.reason)]))
    text = (
        f"Percentile {percentile_text(result.percentile)}, z-score {result.z_score:+.2f} ({result.standard}) at "
        f"{age_text(ga_days)} weeks. Source of this age: {case.ga_source or 'not stated'}."
    )
    width, height = _CHART_INCH
    chart_width_pt = 0.9 * CONTENT_WIDTH_PT
    png = to_png(growth_chart(hc_mm, ga_days, size_inch=_CHART_INCH))
    chart = Image(io.BytesIO(png), chart_width_pt, chart_width_pt * height / width)
    return _section("Size for age", _rows([("Percentile", text)]), chart)


def origin(case: Report) -> list[Flowable]:
    """Identity of the image and the model."""
    rows = [
        ("Image, SHA-256", case.image_sha256),
        ("Measured", utc_text(case.measured_at_utc)),
        ("Model", f"{case.model_name}, version {case.model_version}"),
        ("Model, SHA-256", case.model_sha256),
    ]
    return _section("Image and model", _rows(rows))


def references(case: Report) -> list[Flowable]:
    """Publications of the equations used."""
    standards = [age.standard for age in case.ages]
    standards += [case.growth.standard] if case.growth else []
    if not standards:
        return []
    lines = [paragraph(f"{standard}: {standard.citation}", size_pt=7.0, color=_GREY) for standard in standards]
    return _section("References", *lines)


def _circumference_box(case: Report) -> list[Paragraph]:
    title = paragraph("Head circumference", color=_GREY)
    if case.hc_mm is None:
        return [title, paragraph("No value", size_pt=15.0, font=BOLD), paragraph(case.no_value_reason, size_pt=7.5)]
    by_whom = (
        DECISION_TEXTS[case.decision] if case.decision is not Decision.UNREVIEWED else "By the model, not reviewed"
    )
    return [title, paragraph(f"{case.hc_mm:.1f} mm", size_pt=15.0, font=BOLD), paragraph(by_whom, size_pt=7.5)]


def _age_box(case: Report) -> list[Paragraph]:
    title = paragraph("Gestational age from it", color=_GREY)
    age = case.ages[0] if case.ages else None
    if age is None or age.days is None:
        return [title, paragraph("–", size_pt=15.0, font=BOLD), paragraph(age.reason if age else "", size_pt=7.5)]
    low, high = age.interval_days or (age.days, age.days)
    detail = f"{age.standard}; ±2 SD {age_text(low)} to {age_text(high)}"
    return [title, paragraph(f"{age_text(age.days)} weeks", size_pt=15.0, font=BOLD), paragraph(detail, size_pt=7.5)]


def _percentile_box(case: Report) -> list[Paragraph]:
    title, result = paragraph("Size for age", color=_GREY), case.growth
    if result.percentile is None or case.independent_ga_days is None:
        reason = result.reason if case.hc_mm is not None else ""
        return [title, paragraph("–", size_pt=15.0, font=BOLD), paragraph(reason, size_pt=7.5)]
    value = f"Percentile {percentile_text(result.percentile)}"
    detail = f"{result.standard} at {age_text(case.independent_ga_days)} weeks"
    return [title, paragraph(value, size_pt=15.0, font=BOLD), paragraph(detail, size_pt=7.5)]


def _circumference_text(case: Report) -> str:
    """The reported circumference, in pixels when there are no millimetres."""
    if case.hc_mm is not None:
        return f"{case.hc_mm:.1f} mm"
    length = "" if case.ellipse_px is None else f" {case.ellipse_px.circumference():.0f} pixels of the image."
    return f"No value in millimetres.{length} {case.no_value_reason}"


def _visible_part(case: Report) -> tuple[NDArray[np.uint8], tuple[int, int]]:
    """The image without its black margins but with all of its ellipses, and the pixel at its top-left corner."""
    image_hw = case.image_rgb.shape[:2]
    inside: NDArray[np.bool_] = case.image_rgb.max(axis=2) > 0
    for ellipse in (case.model_ellipse_px, case.final_ellipse_px):
        if ellipse is not None:
            inside |= ellipse.mask(image_hw)
    rows, columns = np.flatnonzero(inside.any(axis=1)), np.flatnonzero(inside.any(axis=0))
    if not rows.size:
        return case.image_rgb, (0, 0)
    top, left = int(rows[0]), int(columns[0])
    return case.image_rgb[top : rows[-1] + 1, left : columns[-1] + 1], (left, top)


def _caption(text: str, color: str) -> Paragraph:
    return markup_paragraph(f'<font color="{color}">\u25a0</font> {to_markup(text)}', centered=True)


def _rows(rows: Sequence[tuple[str, str]]) -> Table:
    """Labels and values; hashes in a monospaced font."""
    cells = [
        [paragraph(label, color=_GREY), paragraph(value, font=MONOSPACED if "SHA-256" in label else REGULAR)]
        for label, value in rows
    ]
    return _table(cells, [_LABEL_WIDTH_PT, CONTENT_WIDTH_PT - _LABEL_WIDTH_PT])


def _table(cells: Sequence[list[Paragraph]], widths: Sequence[float]) -> Table:
    table = Table(cells, widths, splitInRow=1)  # a reason may be longer than a page
    padding = [("TOPPADDING", (0, 0), (-1, -1), 1.5), ("BOTTOMPADDING", (0, 0), (-1, -1), 2.5)]
    table.setStyle(TableStyle([_FONT, _RULE, ("VALIGN", (0, 0), (-1, -1), "TOP"), *padding]))
    return table


def _section(title: str, *content: Flowable) -> list[Flowable]:
    """Content under a heading, on one page."""
    return [KeepTogether([Spacer(0, _GAP_PT), paragraph(title, size_pt=10.5, font=BOLD), Spacer(0, 2), *content])]
