import pytest

from fetal_hc.errors import MeasurementError
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import CalibrationSource
from hc18.measure.measurement import Flag, HeadMeasurement, Status
from hc18.measure.rows import MeasurementRow, RowStatus
from hc18.reviews.measured import calibration_of_row, from_head_measurement, from_score_row
from hc18.reviews.records import ReviewAction
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import MODEL, MODEL_ELLIPSE, new_case

FOUND = HeadMeasurement(
    status=Status.OK,
    ellipse_px=MODEL_ELLIPSE,
    hc_px=110.0,
    hc_mm=165.0,
    score=0.9,
    disagreement_percent=0.25,
    residual_percent=1.5,
    mask_entropy=0.0625,
    hc_interval_mm=(160.0, 170.0),
    expected_error_mm=2.5,
    flags=(Flag.LOW_SCORE, Flag.UNCERTAIN),
)


def test_measurement_just_made_keeps_its_evidence(sqlite_store: ReviewStore) -> None:
    found = from_head_measurement(MODEL, FOUND, 0.9)
    assert (found.status, found.confidence, found.flags) == ("ok", 0.9, ("low_score", "uncertain"))
    assert (found.hc_interval_mm, found.hc_interval_level, found.expected_error_mm) == ((160.0, 170.0), 0.9, 2.5)
    sqlite_store.register_case(new_case(1, found=found), "ann")
    assert sqlite_store.state(1).measurement == found


def test_model_without_intervals_has_no_level() -> None:
    assert from_head_measurement(MODEL, HeadMeasurement(Status.NO_HEAD, "nothing"), 0.9).hc_interval_level is None


def test_interval_ends_with_its_pixel_size(sqlite_store: ReviewStore) -> None:
    sqlite_store.register_case(new_case(1, found=from_head_measurement(MODEL, FOUND, 0.9)), "ann")
    assert sqlite_store.state(1).hc_interval_mm == (160.0, 170.0)
    from hc18.geometry.pixel_size import from_user

    same = sqlite_store.append(1, 1, ReviewAction.CALIBRATE, "ann", calibration=from_user(1.5, "ann"))
    assert same.hc_interval_mm == (160.0, 170.0)
    other = sqlite_store.append(1, 2, ReviewAction.CALIBRATE, "ann", calibration=from_user(1.4, "ann"))
    assert other.hc_interval_mm is None


@pytest.mark.parametrize("status", [RowStatus.NO_PIXEL_SIZE, RowStatus.NO_HEAD, RowStatus.FIT_FAILED])
def test_reason_of_a_row_is_worded_anew_because_rows_name_paths(status: RowStatus) -> None:
    row = MeasurementRow("a.png", status, "/home/jane doe/table.csv, row 3: no pixel size")
    found = from_score_row(MODEL, row)
    assert found.reason
    assert "jane" not in found.reason


def test_path_in_a_reason_does_not_reach_the_store(sqlite_store: ReviewStore) -> None:
    reason = "C:\\scans\\doe.png and /home/doe/x.png cannot be used"
    found = from_head_measurement(MODEL, HeadMeasurement(Status.NO_HEAD, reason))
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
        hc_interval_mm=(1.0, 2.0),
        expected_error_mm=0.5,
        mask_entropy=0.1,
    )
    found = from_score_row(MODEL, row)
    assert (found.ellipse_px, found.confidence, found.flags) == (ellipse, 0.5, ("low_score",))
    assert (found.hc_interval_mm, found.expected_error_mm, found.mask_entropy) == ((1.0, 2.0), 0.5, 0.1)
