"""Reports are read back with pypdf."""

import functools
import io
import re
from collections.abc import Callable

import numpy as np
import pytest
from pypdf import PdfReader

from fetal_hc import DISCLAIMER
from hc18.geometry.pixel_size import from_user
from hc18.reports.case import Report
from hc18.reports.pdf import to_pdf
from tests.hc18.reports import reported

MAKERS = [
    reported.unreviewed,
    reported.accepted,
    reported.corrected,
    reported.rejected,
    reported.uncalibrated,
]


def read_pages(case: Report) -> list[str]:
    """Text of every page, white space collapsed."""
    return [" ".join(page.extract_text().split()) for page in PdfReader(io.BytesIO(to_pdf(case))).pages]


def read_text(case: Report) -> str:
    return " ".join(read_pages(case))


def test_signed_report_has_everything_that_a_reader_needs() -> None:
    text = read_text(reported.accepted(hc_interval_mm=(161.0, 170.2), hc_interval_level=0.95))
    for expected in (
        f"{reported.hc_mm(reported.MODEL_ELLIPSE_PX):.1f} mm",
        "161.0 to 170.2 mm (95 %)",
        "19+2 weeks",
        "Hadlock 1984; ±2 SD 17+5 to 20+5",
        "INTERGROWTH-21st dating 2016",
        "Percentile 32, z-score -0.48 (INTERGROWTH-21st fetal HC 2014) at 19+5 weeks",
        "Source of this age: estimated due date.",
        "Source: table of pixel sizes.",
        "line 18",
        "hc18 Mask R-CNN, version 0.1.0",
        reported.MODEL_SHA256,
        reported.IMAGE_SHA256,
        "Reviewer M. Okafor",
        "2026-05-04 09:41:02 UTC by M. Okafor",
        "FINAL: signed",
        "Accepted as measured by the model",
        "The head leaves the field of view",
        "Lancet 2014",
    ):
        assert expected in text, expected
    assert "PRELIMINARY" not in text


@functools.cache
def pages_of(make: Callable[[], Report]) -> list[str]:
    return read_pages(make())


@pytest.mark.parametrize("make", MAKERS)
def test_research_use_stands_on_every_page(make: Callable[[], Report]) -> None:
    assert all(DISCLAIMER in page for page in pages_of(make))


@pytest.mark.parametrize("make", [reported.unreviewed, reported.uncalibrated])
def test_unsigned_report_is_preliminary_on_every_page(make: Callable[[], Report]) -> None:
    pages = pages_of(make)
    assert all(page.count("PRELIMINARY") >= 2 for page in pages)  # header and watermark
    assert not any("FINAL" in page for page in pages)


def test_reopened_report_says_so_and_is_preliminary() -> None:
    assert "an earlier signed version was reopened" in read_text(reported.rejected(is_signed=False, was_amended=True))


def test_signer_may_be_another_person() -> None:
    assert "Reviewer M. Okafor Signed 2026-05-04 09:41:02 UTC by Dr Tan" in read_text(
        reported.rejected(signed_by="Dr Tan")
    )


def test_report_signed_again_is_amended() -> None:
    assert "AMENDED: signed again" in read_text(reported.rejected(was_amended=True))


def test_corrected_report_shows_before_and_after() -> None:
    text = " ".join(pages_of(reported.corrected))
    before, after = reported.hc_mm(reported.MODEL_ELLIPSE_PX), reported.hc_mm(reported.FINAL_ELLIPSE_PX)
    assert f"Of the model {before:.1f} mm" in text
    assert f"Head circumference {after:.1f} mm" in text
    assert f"{after - before:+.1f} mm" in text
    assert "Before: model" in text
    assert "After: reviewer" in text
    assert "The outline ran inside the skull" in text


def test_rejected_report_has_no_value_age_or_percentile() -> None:
    text = " ".join(pages_of(reported.rejected))
    assert "No value" in text
    assert "Not the plane of the thalami." in text
    assert f"{reported.hc_mm(reported.MODEL_ELLIPSE_PX):.1f} mm, rejected" in text
    assert "weeks" not in text
    assert "Percentile" not in text


def test_report_without_calibration_has_no_length_in_millimetres() -> None:
    text = " ".join(pages_of(reported.uncalibrated))
    assert not re.search(r"\d\s*mm", text)
    assert reported.UNCALIBRATED.detail in text
    assert f"{reported.MODEL_ELLIPSE_PX.circumference():.0f} pixels" in text


def test_black_margins_are_not_printed() -> None:
    image_rgb = np.zeros((400, 500, 3), np.uint8)
    image_rgb[:240, :320] = reported.ring_image()
    pages = PdfReader(io.BytesIO(to_pdf(reported.rejected(image_rgb=image_rgb)))).pages
    assert [image.image.size for image in pages[0].images] == [(320, 240)]


def test_report_without_a_head_says_so() -> None:
    assert "No head was found" in read_text(reported.unreviewed(model_ellipse_px=None, model_hc_mm=None))


def test_no_percentile_without_an_independent_age() -> None:
    text = " ".join(pages_of(reported.unreviewed))
    assert "needs an age from the last menstrual period" in text
    assert "z-score" not in text


def test_names_in_other_scripts_and_markup_are_kept_as_text() -> None:
    name = "Zoë Müller-Żółć Ελένη Жанна <script>alert(1)</script> & <b>x"
    assert name in read_text(reported.rejected(reviewer=name))


def test_chinese_japanese_and_korean_are_kept_as_text() -> None:
    text = read_text(reported.rejected(reviewer="北京", case_label="さくら病院", calibration=from_user(0.2, "한국")))
    assert all(part in text for part in ("北京", "さくら病院", "한국"))


def test_all_fonts_are_embedded() -> None:
    for page in PdfReader(io.BytesIO(to_pdf(reported.rejected(reviewer="Zoë Ελένη Жанна")))).pages:
        for font in page["/Resources"]["/Font"].values():
            assert "/FontFile2" in font.get_object()["/FontDescriptor"]


def test_text_longer_than_a_page_is_printed_in_full() -> None:
    reason = " ".join(f"word{number}" for number in range(1500))
    text = read_text(reported.rejected(reason=reason, case_label="x" * 2000))
    assert all(f"word{number}" in text for number in (0, 750, 1499))


def test_footer_counts_the_pages() -> None:
    pages = pages_of(reported.accepted)
    assert [f"Page {number} of {len(pages)}" in page for number, page in enumerate(pages, 1)] == [True] * len(pages)
