"""Every flag, status and decision has words for a reader."""

from hc18.geometry.pixel_size import CalibrationSource
from hc18.measure.measurement import Flag
from hc18.reports.case import Decision, ReportStatus
from hc18.reports.wording import CALIBRATION_TEXTS, DECISION_TEXTS, FLAG_TEXTS, STATUS_TEXTS, flag_text


def test_everything_has_words() -> None:
    assert set(FLAG_TEXTS) == {flag.value for flag in Flag}
    assert set(STATUS_TEXTS) == set(ReportStatus)
    assert set(DECISION_TEXTS) == set(Decision)
    assert set(CALIBRATION_TEXTS) == set(CalibrationSource)


def test_unknown_flag_keeps_its_name() -> None:
    assert flag_text("from_the_future") == "from_the_future"
