"""What a reported case says about itself, and the contradictions it refuses."""

import math
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest

from fetal_hc.errors import MeasurementError
from hc18.geometry.pixel_size import CalibrationSource
from hc18.reports.case import CALIBRATION_TEXTS, DECISION_TEXTS, STATUS_TEXTS, ReportStatus, utc_text
from hc18.reviews.models import Decision
from hc18.reviews.validation import to_single_line
from tests.hc18.reports import reported


def test_unreviewed_case_reports_the_model_as_preliminary() -> None:
    case = reported.unreviewed()
    assert case.status is ReportStatus.PRELIMINARY
    assert case.ellipse_px == reported.MODEL_ELLIPSE_PX
    assert case.hc_mm == pytest.approx(reported.hc_mm(reported.MODEL_ELLIPSE_PX))


def test_corrected_case_reports_the_reviewer() -> None:
    case = reported.corrected()
    assert case.status is ReportStatus.FINAL
    assert case.ellipse_px == reported.FINAL_ELLIPSE_PX
    assert case.hc_mm == pytest.approx(reported.hc_mm(reported.FINAL_ELLIPSE_PX))


def test_rejected_case_reports_no_value_and_says_why() -> None:
    case = reported.rejected()
    assert (case.ellipse_px, case.hc_mm, case.ages) == (None, None, ())
    assert case.growth.percentile is None
    assert case.no_value_reason == "The reviewer rejected the measurement."


def test_uncalibrated_case_reports_an_ellipse_without_millimetres() -> None:
    case = reported.uncalibrated()
    assert (case.ellipse_px, case.hc_mm, case.ages) == (reported.MODEL_ELLIPSE_PX, None, ())
    assert case.no_value_reason == reported.UNCALIBRATED.detail


def test_case_without_a_head_says_so() -> None:
    case = reported.unreviewed(model_ellipse_px=None, model_hc_mm=None)
    assert case.no_value_reason == "No head was found in this image."


@pytest.mark.parametrize(
    ("is_signed", "was_amended", "status"),
    [
        (False, False, ReportStatus.PRELIMINARY),
        (True, False, ReportStatus.FINAL),
        (False, True, ReportStatus.PRELIMINARY),
        (True, True, ReportStatus.AMENDED),
    ],
)
def test_status_follows_signature_and_reopening(is_signed: bool, was_amended: bool, status: ReportStatus) -> None:
    assert reported.accepted(is_signed=is_signed, was_amended=was_amended).status is status


def test_percentile_needs_an_independent_age() -> None:
    assert reported.accepted(independent_ga_days=None).growth.percentile is None
    growth = reported.accepted(independent_ga_days=138).growth
    assert growth.z_score is not None


def test_decision_may_be_given_as_text() -> None:
    assert reported.accepted(decision="accepted").decision is Decision.ACCEPTED


def test_text_is_kept_on_one_line() -> None:
    case = reported.accepted(reviewer="Ana\r\nMaria\t\x00O'Neil", flags=("odd\nflag",))
    assert case.reviewer == "Ana Maria O'Neil"
    assert case.flags == ("odd flag",)


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"calibration": reported.UNCALIBRATED}, "no calibration"),
        ({"model_hc_mm": 150.0}, "its ellipse has"),
        ({"model_hc_mm": math.nan}, "finite"),
        ({"model_ellipse_px": None}, "no model_ellipse_px"),
        ({"confidence": 1.2}, "confidence"),
        ({"independent_ga_days": math.inf}, "independent_ga_days"),
        ({"hc_interval_mm": (180.0, 170.0)}, r"hc_interval_mm\[0\]"),
        ({"decision": "corrected"}, "final_ellipse_px"),
        ({"is_signed": True}, "a signed case needs"),
        ({"measured_at_utc": datetime(2026, 5, 4)}, "measured_at_utc"),
        ({"measured_at_utc": datetime(2026, 5, 4, tzinfo=timezone(timedelta(hours=2)))}, "UTC"),
        ({"image_sha256": "0f9e"}, "image_sha256"),
        ({"model_sha256": ""}, "model_sha256"),
        ({"image_rgb": np.zeros((4, 4), np.uint8)}, "image_rgb"),
        ({"image_rgb": np.zeros((4, 4, 3), np.float32)}, "image_rgb"),
    ],
)
def test_contradictions_are_refused(changes: dict[str, Any], expected: str) -> None:
    with pytest.raises(MeasurementError, match=expected):
        reported.unreviewed(**changes)


def test_all_contradictions_are_listed() -> None:
    with pytest.raises(MeasurementError) as caught:
        reported.unreviewed(confidence=-1.0, is_signed=True)
    assert len(caught.value.problems) == 2


def test_single_line_collapses_white_space() -> None:
    assert to_single_line("  a \n\u2028 b\x1b[0m ") == "a b [0m"


def test_times_say_utc() -> None:
    assert utc_text(datetime(2026, 5, 4, 9, 30, 15, tzinfo=UTC)) == "2026-05-04 09:30:15 UTC"


def test_every_status_decision_and_calibration_source_has_words() -> None:
    assert set(STATUS_TEXTS) == set(ReportStatus)
    assert set(DECISION_TEXTS) == set(Decision)
    assert set(CALIBRATION_TEXTS) == set(CalibrationSource)
