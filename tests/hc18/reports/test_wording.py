"""Every status, decision and calibration source has words for a reader."""

from hc18.geometry.pixel_size import CalibrationSource
from hc18.reports.case import ReportStatus
from hc18.reports.wording import CALIBRATION_TEXTS, DECISION_TEXTS, STATUS_TEXTS
from hc18.reviews.models import Decision


def test_everything_has_words() -> None:
    assert set(STATUS_TEXTS) == set(ReportStatus)
    assert set(DECISION_TEXTS) == set(Decision)
    assert set(CALIBRATION_TEXTS) == set(CalibrationSource)
