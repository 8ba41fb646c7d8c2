"""The report of one case as a PDF for printing, A4."""

from __future__ import annotations

import io
from functools import partial
from typing import Any

from reportlab.lib.colors import Color, HexColor
from reportlab.lib.pagesizes import A4
from reportlab.lib.units import mm
from reportlab.pdfgen.canvas import Canvas
from reportlab.platypus import BaseDocTemplate, Frame, PageTemplate

from fetal_hc import DISCLAIMER
from hc18.reports import pdf_sections
from hc18.reports.case import STATUS_TEXTS, Report
from hc18.reports.pdf_text import BOLD, REGULAR, register_fonts

_MARGIN_PT = 18.0 * mm
_WATERMARK = Color(0.55, 0.1, 0.1, alpha=0.10)
_SECTIONS = (
    pdf_sections.summary,
    pdf_sections.images,
    pdf_sections.review,
    pdf_sections.measurement,
    pdf_sections.ages,
    pdf_sections.growth,
    pdf_sections.origin,
    pdf_sections.references,
)


def to_pdf(case: Report) -> bytes:
    """The report of a case; marked as preliminary on every page until it is signed."""
    register_fonts()
    stream = io.BytesIO()
    document = BaseDocTemplate(
        stream,
        pagesize=A4,
        title=f"Fetal head circumference: {case.case_label}",
        author="",
        subject=DISCLAIMER,
        creator="fetal-hc",
        initialFontName=REGULAR,
    )
    frame = Frame(
        _MARGIN_PT, 20.0 * mm, A4[0] - 2.0 * _MARGIN_PT, A4[1] - 40.0 * mm, leftPadding=0, rightPadding=0, id="body"
    )

    document.addPageTemplates([PageTemplate(id="page", frames=[frame])])
    document.build(
        [flowable for section in _SECTIONS for flowable in section(case)], canvasmaker=partial(_NumberedCanvas, case)
    )
    return stream.getvalue()


class _NumberedCanvas(Canvas):
    """A canvas that draws header, footer and watermark when the number of pages is known.

    ReportLab calls `showPage` at the end of each page and `save` at the end of the document. The state of each page is
    kept and drawn by `save`.
    """

    def __init__(self, case: Report, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._case = case
        self._page_states: list[dict[str, Any]] = []

    def showPage(self) -> None:
        self._page_states.append(dict(self.__dict__))
        self._startPage()  # type: ignore[attr-defined]

    def save(self) -> None:
        for number, page in enumerate(self._page_states, start=1):
            self.__dict__.update(page)
            _draw_header(self, self._case)
            _draw_footer(self, self._case, number, len(self._page_states))
            if not self._case.is_signed:
                _draw_watermark(self)
            super().showPage()
        super().save()


def _draw_header(canvas: Canvas, case: Report) -> None:
    baseline = A4[1] - 13.0 * mm
    canvas.setFillColor(HexColor("#1a1a1a"))
    canvas.setFont(BOLD, 9)
    canvas.drawString(_MARGIN_PT, baseline, "Fetal head circumference")
    canvas.drawRightString(A4[0] - _MARGIN_PT, baseline, STATUS_TEXTS[case.status])
    canvas.setStrokeColor(HexColor("#888888"))
    canvas.setLineWidth(0.5)
    canvas.line(_MARGIN_PT, baseline - 2.0 * mm, A4[0] - _MARGIN_PT, baseline - 2.0 * mm)


def _draw_footer(canvas: Canvas, case: Report, page: int, n_pages: int) -> None:
    baseline = 11.0 * mm
    canvas.setFillColor(HexColor("#1a1a1a"))
    canvas.setFont(BOLD, 8)
    canvas.drawCentredString(A4[0] / 2.0, baseline + 4.0 * mm, DISCLAIMER)
    canvas.setFont(REGULAR, 7)
    canvas.drawString(_MARGIN_PT, baseline, f"Image {case.image_sha256[:12]}, model {case.model_sha256[:12]}")
    canvas.drawRightString(A4[0] - _MARGIN_PT, baseline, f"Page {page} of {n_pages}")


def _draw_watermark(canvas: Canvas) -> None:
    canvas.saveState()
    canvas.translate(A4[0] / 2.0, A4[1] / 2.0)
    canvas.rotate(52)
    canvas.setFillColor(_WATERMARK)
    canvas.setFont(BOLD, 72)
    canvas.drawCentredString(0, -24, "PRELIMINARY")
    canvas.restoreState()
