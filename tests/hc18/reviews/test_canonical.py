import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, CalibrationSource, uncalibrated
from hc18.measurement.interval_model import Interval
from hc18.measurement.outline import Quality
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews.canonical import GENESIS_HASH, body_sha256, from_body, from_utc_text, to_body, to_utc_text
from hc18.reviews.models import ModelMeasurement, ModelVersion, Outline, ReviewAction, ReviewEvent

MODEL = ModelVersion("hc18", "1", "ab" * 32)
EVENT = ReviewEvent(
    seq=2,
    image_sha256="0f" * 32,
    image_hw=(540, 800),
    revision=1,
    action=ReviewAction.MEASURED,
    at_utc=datetime(2026, 1, 31, 12, 30, 15, 250000, tzinfo=UTC),
    reviewer="Änne",
    reason="",
    measurement=ModelMeasurement(
        model=MODEL,
        status="ok",
        ellipse_px=Ellipse(400.5, 270.25, 200.0, 150.0, 0.5),
        confidence=0.75,
        flags=("low_score",),
        quality=Quality(1.5, 0.5, 0.0625),
        interval=Interval(400.0, 429.0, 2.5, 0.9),
    ),
    model=MODEL,
    calibration=Calibration((0.25, 0.5), CalibrationSource.DICOM_REGION, "from region 1", ("odd",)),
    age=IndependentAge(150.0, "crown-rump length"),
    before=Outline(),
    after=Outline(Ellipse(400.5, 270.25, 200.0, 150.0, 0.5), 414.5),
    mask_sha256="",
    app_version="0.1.0",
    prev_hash=GENESIS_HASH,
)


def test_format_of_an_event_never_changes() -> None:
    # a new value here would break every record that exists: raise `FORMAT` and keep reading the old one instead
    assert body_sha256(to_body(EVENT)) == "79ddcdf763746c6abe51dc90812bd5bd9ada4c96153ed3227dd6cd0f43c6ffa0"


def test_event_survives_the_journey() -> None:
    assert from_body(to_body(EVENT)) == EVENT


def test_text_is_canonical() -> None:
    body = to_body(EVENT)
    assert body.isascii()
    assert body == json.dumps(json.loads(body), sort_keys=True, separators=(",", ":"))


@given(
    reviewer=st.text(),
    reason=st.text(),
    numbers=st.tuples(*[st.floats(-1e9, 1e9)] * 2, *[st.floats(1e-3, 1e6)] * 2, st.floats(-9, 9)),
    hc_mm=st.floats(0, 1e9),
)
def test_any_event_survives_the_journey(
    reviewer: str, reason: str, numbers: tuple[float, float, float, float, float], hc_mm: float
) -> None:
    outline = Outline(Ellipse.from_axes(*numbers), hc_mm)
    event = replace(EVENT, reviewer=reviewer, reason=reason, after=outline, measurement=None)
    assert from_body(to_body(event)) == event


def test_missing_values_survive_the_journey() -> None:
    event = replace(EVENT, calibration=uncalibrated("no table"), age=None, after=Outline(), measurement=None)
    assert from_body(to_body(event)) == event


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ('"seq":2', '"seq": 2'),
        ('"format":1', '"format":2'),
        ('"action":"measured"', '"action":"guessed"'),
        ('"semi_axis_a":200.0', '"semi_axis_a":-200.0'),
        ('"source":"dicom_region"', '"source":"none"'),
        ('"at_utc":"2026-01-31T12:30:15.250000Z"', '"at_utc":5'),
        ('"image_hw":[540,800]', '"image_hw":540'),
        ('"seq":2', '"seq":2,"extra":1'),
        ('"revision":1', '"revision":NaN'),
        ("{", "["),
        ("{", '{"seq":9,'),
    ],
)
def test_anything_else_is_no_event(old: str, new: str) -> None:
    body = to_body(EVENT)
    assert old in body
    with pytest.raises(ValueError, match=r"."):
        from_body(body.replace(old, new))


@pytest.mark.parametrize("body", ["", "null", "[]", "5", "{}", '"text"', "[" * 10_000])
def test_other_json_is_no_event(body: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_body(body)


def test_times_are_utc_to_the_microsecond() -> None:
    moment = datetime(2026, 1, 31, 14, 0, 0, 7, tzinfo=timezone(timedelta(hours=2)))
    assert to_utc_text(moment) == "2026-01-31T12:00:00.000007Z"
    assert from_utc_text("2026-01-31T12:00:00.000007Z") == moment


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(ValueError, match="no time zone"):
        to_utc_text(datetime(2026, 1, 31))
