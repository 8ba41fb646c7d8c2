"""Events as canonical JSON, and the hash chain over it.

The hash of an event is the SHA-256 of its JSON text as stored: UTF-8 (ASCII only), keys sorted, no spaces, numbers as
Python prints them. The text contains the hash of the previous event.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, fields
from datetime import UTC, datetime
from typing import Any

from fetal_hc.errors import FetalHCError
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, CalibrationSource
from hc18.measurement.interval_model import Interval, IntervalModel
from hc18.measurement.outline import Quality
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews.models import ModelMeasurement, ModelVersion, Outline, ReviewAction, ReviewEvent

FORMAT = 1
GENESIS_HASH = "0" * 64  # `prev_hash` of the first event
_TIME_FORMAT = "%Y-%m-%dT%H:%M:%S.%fZ"


def to_body(event: ReviewEvent) -> str:
    """The canonical JSON text of an event."""
    return _to_canonical(
        {
            "format": FORMAT,
            "seq": event.seq,
            "image_sha256": event.image_sha256,
            "image_hw": list(event.image_hw),
            "revision": event.revision,
            "action": event.action.value,
            "at_utc": to_utc_text(event.at_utc),
            "reviewer": event.reviewer,
            "reason": event.reason,
            "measurement": None if event.measurement is None else _from_measurement(event.measurement),
            "model": asdict(event.model),
            "calibration": _from_calibration(event.calibration),
            "age": None if event.age is None else asdict(event.age),
            "before": _from_outline(event.before),
            "after": _from_outline(event.after),
            "mask_sha256": event.mask_sha256,
            "app_version": event.app_version,
            "prev_hash": event.prev_hash,
            **(
                {} if event.reading is None else {"reading": _from_outline(event.reading)}
            ),  # absent in earlier versions
        }
    )


def from_body(body: str) -> ReviewEvent:
    """The event that `to_body` wrote.

    Raises:
        ValueError: if the text is anything else; the message says what.
    """
    try:
        values = json.loads(body)
        event = _to_event(values)
    except (KeyError, TypeError, AttributeError, RecursionError, FetalHCError) as error:
        raise ValueError(f"is not an event of this program ({type(error).__name__}: {error})") from error
    if values.get("format") != FORMAT or to_body(event) != body:
        raise ValueError("is not written the way this program writes events")
    return event


def body_sha256(body: str) -> str:
    """Hex SHA-256 of an event's JSON text: the link of the chain."""
    return hashlib.sha256(body.encode("utf-8")).hexdigest()


def to_utc_text(moment: datetime) -> str:
    """A time as ISO 8601 in UTC with microseconds, `2026-01-31T12:00:00.000000Z`.

    Raises:
        ValueError: if it has no time zone.
    """
    if moment.tzinfo is None:
        raise ValueError(f"{moment} has no time zone; expected a time in UTC")
    return moment.astimezone(UTC).strftime(_TIME_FORMAT)


def from_utc_text(text: str) -> datetime:
    """The time that `to_utc_text` wrote.

    Raises:
        ValueError: if the text is anything else.
    """
    return datetime.strptime(text, _TIME_FORMAT).replace(tzinfo=UTC)


def _to_canonical(value: Mapping[str, Any]) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)


def _to_event(values: Mapping[str, Any]) -> ReviewEvent:
    height, width = values["image_hw"]
    return ReviewEvent(
        seq=values["seq"],
        image_sha256=values["image_sha256"],
        image_hw=(height, width),
        revision=values["revision"],
        action=ReviewAction(values["action"]),
        at_utc=from_utc_text(values["at_utc"]),
        reviewer=values["reviewer"],
        reason=values["reason"],
        measurement=None if values["measurement"] is None else _to_measurement(values["measurement"]),
        model=ModelVersion(**values["model"]),
        calibration=_to_calibration(values["calibration"]),
        age=None if values["age"] is None else IndependentAge(**values["age"]),
        before=_to_outline(values["before"]),
        after=_to_outline(values["after"]),
        mask_sha256=values["mask_sha256"],
        app_version=values["app_version"],
        prev_hash=values["prev_hash"],
        reading=_to_outline(values["reading"]) if "reading" in values else None,
    )


def _from_ellipse(ellipse: Ellipse | None) -> dict[str, float] | None:
    return None if ellipse is None else asdict(ellipse)


def _to_ellipse(values: Mapping[str, float] | None) -> Ellipse | None:
    """The ellipse.

    Raises:
        ValueError: if the numbers are none.
    """
    return None if values is None else Ellipse(**values)


def _from_outline(outline: Outline) -> dict[str, Any]:
    return {"ellipse_px": _from_ellipse(outline.ellipse_px), "hc_mm": outline.hc_mm}


def _to_outline(values: Mapping[str, Any]) -> Outline:
    return Outline(_to_ellipse(values["ellipse_px"]), values["hc_mm"])


def _from_calibration(calibration: Calibration) -> dict[str, Any]:
    size, others = calibration.pixel_size_xy_mm, calibration.other_sizes_xy_mm
    return {
        "pixel_size_xy_mm": None if size is None else [float(side) for side in size],
        "source": calibration.source.value,
        "detail": calibration.detail,
        "warnings": list(calibration.warnings),
        **({"other_sizes_xy_mm": [list(size) for size in others]} if others else {}),  # absent in earlier versions
    }


def _to_calibration(values: Mapping[str, Any]) -> Calibration:
    size = values["pixel_size_xy_mm"]
    return Calibration(
        pixel_size_xy_mm=None if size is None else (size[0], size[1]),
        source=CalibrationSource(values["source"]),
        detail=values["detail"],
        warnings=tuple(values["warnings"]),
        other_sizes_xy_mm=tuple((across, down) for across, down in values.get("other_sizes_xy_mm", ())),
    )


def from_quality(quality: Quality) -> dict[str, float]:
    """The quality figures; one that was added later is left out where it is not known, as in earlier records."""
    values = ((item, getattr(quality, item.name)) for item in fields(quality))
    return {item.name: value for item, value in values if item.metadata["is_original"] or value is not None}


def _to_interval(values: Mapping[str, Any]) -> Interval | None:
    limits_mm = values["hc_interval_mm"]
    if limits_mm is None:
        return None
    return Interval(limits_mm[0], limits_mm[1], values["expected_error_mm"], values["hc_interval_level"])


def _from_measurement(measurement: ModelMeasurement) -> dict[str, Any]:
    interval, model = measurement.interval, measurement.interval_model
    return {
        "model": asdict(measurement.model),
        "status": str(measurement.status),
        "reason": measurement.reason,
        "ellipse_px": _from_ellipse(measurement.ellipse_px),
        "confidence": measurement.confidence,
        "flags": [str(flag) for flag in measurement.flags],
        **from_quality(measurement.quality),
        "hc_interval_mm": None if interval is None else [interval.low_mm, interval.high_mm],
        "hc_interval_level": None if interval is None else interval.coverage,
        "expected_error_mm": None if interval is None else interval.expected_error_mm,
        **({} if model is None else {"interval_model": model.to_section()}),  # absent in earlier versions
    }


def _to_measurement(values: Mapping[str, Any]) -> ModelMeasurement:
    model = values.get("interval_model")
    return ModelMeasurement(
        model=ModelVersion(**values["model"]),
        status=values["status"],
        reason=values["reason"],
        ellipse_px=_to_ellipse(values["ellipse_px"]),
        confidence=values["confidence"],
        flags=tuple(values["flags"]),
        quality=Quality.from_values(values),
        interval=_to_interval(values),
        interval_model=None if model is None else IntervalModel.from_section(model, "the record"),
    )
