"""What a model found, on its way into the record."""

import math
from dataclasses import replace

import pytest

from fetal_hc.errors import MeasurementError
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import (
    Calibration,
    CalibrationSource,
    choose_pixel_size,
    from_table,
    from_user,
    uncalibrated,
)
from hc18.measurement.flags import Flag, Status
from hc18.measurement.interval_model import Interval, IntervalModel
from hc18.measurement.measurement import apply_pixel_size
from hc18.measurement.outline import HeadOutline, Quality
from hc18.measurement.rows import MeasurementRow, RowStatus
from hc18.reviews.adapters import calibration_of_row, from_measurement, from_score_row, to_outline_px
from hc18.reviews.models import ReviewAction
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import MODEL, MODEL_ELLIPSE, PIXEL_SIZE_MM, new_case

LEVEL = IntervalModel(math.log(2.0), {"log_hc": 1.0, "entropy": 0.5}, 2.5, 0.9, 1.5, 160)
OUTLINE = HeadOutline(MODEL_ELLIPSE, None, "", 0.9, Quality(1.5, 0.25, 0.0625), (Flag.LOW_SCORE,), 0)
FOUND = apply_pixel_size(OUTLINE, from_table(PIXEL_SIZE_MM), LEVEL)
NOTHING = HeadOutline(failure=Status.NO_HEAD, reason="C:\\scans\\doe.png and /home/doe/x.png cannot be used")


def test_measurement_just_made_keeps_its_evidence(sqlite_store: ReviewStore) -> None:
    found = from_measurement(MODEL, FOUND, LEVEL)
    assert (found.status, found.confidence, found.flags) == ("ok", 0.9, ("low_score", "uncertain"))
    assert (found.quality, found.interval) == (OUTLINE.quality, FOUND.interval)
    assert found.interval is not None
    sqlite_store.register_case(new_case(1, found=found), "ann")
    assert sqlite_store.state(1).measurement == found
    assert sqlite_store.state(1).interval == FOUND.interval


def test_recorded_outline_is_the_measured_one_without_the_flags_of_the_pixel_size() -> None:
    assert to_outline_px(from_measurement(MODEL, FOUND, LEVEL)) == replace(OUTLINE, detection_index=None)


@pytest.mark.parametrize("first", [uncalibrated("No millimetres yet."), from_table(0.5)])
def test_late_pixel_size_gives_what_an_early_one_gives(sqlite_store: ReviewStore, first: Calibration) -> None:
    typed = from_user(PIXEL_SIZE_MM, "ann")
    early = apply_pixel_size(OUTLINE, typed, LEVEL)
    sqlite_store.register_case(new_case(1, found=from_measurement(MODEL, early, LEVEL), calibration=typed), "ann")
    late = apply_pixel_size(OUTLINE, first, LEVEL)
    sqlite_store.register_case(new_case(2, found=from_measurement(MODEL, late, LEVEL), calibration=first), "ann")
    state = sqlite_store.append(2, 1, ReviewAction.CALIBRATE, "ann", calibration=typed)
    expected = sqlite_store.state(1)
    assert (state.interval, state.flags, state.model_outline) == (
        expected.interval,
        expected.flags,
        expected.model_outline,
    )
    assert state.interval == early.interval
    assert "uncertain" in state.flags


def test_record_of_an_earlier_version_loses_its_interval_with_its_pixel_size(sqlite_store: ReviewStore) -> None:
    old = replace(from_measurement(MODEL, FOUND), flags=("fits_disagree", "uncertain"))
    sqlite_store.register_case(new_case(1, found=old), "ann")
    assert sqlite_store.state(1).interval == FOUND.interval
    assert set(sqlite_store.state(1).flags) == {"fits_disagree", "uncertain"}
    same = sqlite_store.append(1, 1, ReviewAction.CALIBRATE, "ann", calibration=from_user(PIXEL_SIZE_MM, "ann"))
    assert same.interval == FOUND.interval
    other = sqlite_store.append(1, 2, ReviewAction.CALIBRATE, "ann", calibration=from_user(1.4, "ann"))
    assert other.interval is None
    assert set(other.flags) == {"fits_disagree", "uncertain"}


def test_flags_of_an_earlier_version_keep_their_order(sqlite_store: ReviewStore) -> None:
    flags = ("several_heads", "fits_disagree", "implausible_hc", "uncertain")
    small = replace(from_measurement(MODEL, FOUND), flags=flags, ellipse_px=Ellipse(40.0, 30.0, 3.0, 2.5, 0.25))
    sqlite_store.register_case(new_case(1, found=small), "ann")
    assert sqlite_store.state(1).flags == ("several_heads", "fits_disagree", "uncertain", "implausible_hc")


def test_second_pixel_size_stays_with_the_record(sqlite_store: ReviewStore) -> None:
    chosen = choose_pixel_size([from_table(PIXEL_SIZE_MM), from_user(1.6, "ann")])
    found = from_measurement(MODEL, apply_pixel_size(OUTLINE, chosen, LEVEL), LEVEL)
    sqlite_store.register_case(new_case(1, found=found, calibration=chosen), "ann")
    state = sqlite_store.state(1)
    assert state.calibration == chosen
    assert "pixel_sizes_disagree" in state.flags
    agreed = sqlite_store.append(1, 1, ReviewAction.CALIBRATE, "ann", calibration=from_table(PIXEL_SIZE_MM))
    assert "pixel_sizes_disagree" not in agreed.flags


@pytest.mark.parametrize("status", [RowStatus.NO_PIXEL_SIZE, RowStatus.NO_HEAD, RowStatus.FIT_FAILED])
def test_reason_of_a_row_is_worded_anew_because_rows_name_paths(status: RowStatus) -> None:
    row = MeasurementRow("a.png", status, "/home/jane doe/table.csv, row 3: no pixel size")
    found = from_score_row(MODEL, row)
    assert found.reason
    assert "jane" not in found.reason


def test_path_in_a_reason_does_not_reach_the_store(sqlite_store: ReviewStore) -> None:
    found = from_measurement(MODEL, apply_pixel_size(NOTHING, from_table(PIXEL_SIZE_MM)))
    sqlite_store.register_case(new_case(1, found=found), "ann")
    sqlite_store.append(1, 1, ReviewAction.MEASURED, "ann", measurement=found)
    reasons = {event.measurement.reason for event in sqlite_store.events(1) if event.measurement}
    assert reasons == {"(a file) and (a file) cannot be used"}


@pytest.mark.parametrize(
    ("size", "source", "expected"),
    [
        ((0.2, 0.2), "csv", CalibrationSource.CSV),
        ((0.2, 0.25), "csv", CalibrationSource.CSV),
        ((0.2, 0.25), "dicom_region", CalibrationSource.DICOM_REGION),
        (None, "none", CalibrationSource.NONE),
    ],
)
def test_calibration_of_a_row_keeps_size_and_source(
    size: tuple[float, float] | None, source: str, expected: CalibrationSource
) -> None:
    row = MeasurementRow("a.png", RowStatus.OK, "", pixel_size_xy_mm=size, pixel_size_source=source)
    calibration = calibration_of_row(row)
    assert (calibration.pixel_size_xy_mm, calibration.source) == (size, expected)


@pytest.mark.parametrize(("size", "source"), [((0.2, 0.2), "guess"), ((90.0, 90.0), "csv"), ((0.2, 0.2), "none")])
def test_impossible_calibration_of_a_row_is_refused(size: tuple[float, float], source: str) -> None:
    row = MeasurementRow("a.png", RowStatus.OK, "", pixel_size_xy_mm=size, pixel_size_source=source)
    with pytest.raises(MeasurementError):
        calibration_of_row(row)


def test_row_keeps_its_ellipse_and_evidence() -> None:
    ellipse = Ellipse(40.0, 30.0, 20.0, 15.0, 0.25)
    row = MeasurementRow(
        "a.png",
        RowStatus.OK,
        "",
        ellipse_px=ellipse,
        confidence=0.5,
        flags=("low_score",),
        interval=Interval(1.0, 2.0, 0.5),
        quality=Quality(mask_entropy=0.1),
    )
    found = from_score_row(MODEL, row)
    assert (found.ellipse_px, found.confidence, found.flags) == (ellipse, 0.5, ("low_score",))
    assert (found.interval, found.quality) == (Interval(1.0, 2.0, 0.5), Quality(mask_entropy=0.1))
