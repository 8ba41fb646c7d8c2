"""Events as canonical JSON, and the hash chain over it.

The hash of an event is the SHA-256 of its JSON text as stored: UTF-8 (ASCII only), keys sorted, no spaces, numbers as
Python prints them. The text contains the hash of the previous event.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from fetal_hc.errors import FetalHCError
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, CalibrationSource
from hc18.measure.interval_model import IntervalModel
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews.models import ModelMeasurement, ModelVersion, Outline, ReviewAction, ReviewEvent

FORMAT = 1
GENESIS_HASH = "0" * 64  # `prev_hash` of the first event
_EVIDENCE = ("residual_percent", "disagreement_percent", "mask_entropy", "hc_interval_level", "expected_error_mm")
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
        }
    )


def from_body(body: str) -> ReviewEvent:
    """The event that `to_body` wrote.

    Raises:
        ValueError: if the text is anything else; the message says what.
    """
    try:
        fields = json.loads(body)
        event = _to_event(fields)
    except (KeyError, TypeError, AttributeError, RecursionError, FetalHCError) as error:
        raise ValueError(f"is not an event of this program ({type(error).__name__}: {error})") from error
    if fields.get("format") != FORMAT or to_body(event) != body:
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


def _to_event(fields: Mapping[str, Any]) -> ReviewEvent:
    height, width = fields["image_hw"]
    return ReviewEvent(
        seq=fields["seq"],
        image_sha256=fields["image_sha256"],
        image_hw=(height, width),
        revision=fields["revision"],
        action=ReviewAction(fields["action"]),
        at_utc=from_utc_text(fields["at_utc"]),
        reviewer=fields["reviewer"],
        reason=fields["reason"],
        measurement=None if fields["measurement"] is None else _to_measurement(fields["measurement"]),
        model=ModelVersion(**fields["model"]),
        calibration=_to_calibration(fields["calibration"]),
        age=None if fields["age"] is None else IndependentAge(**fields["age"]),
        before=_to_outline(fields["before"]),
        after=_to_outline(fields["after"]),
        mask_sha256=fields["mask_sha256"],
        app_version=fields["app_version"],
        prev_hash=fields["prev_hash"],
    )


def _from_ellipse(ellipse: Ellipse | None) -> dict[str, float] | None:
    return None if ellipse is None else asdict(ellipse)


def _to_ellipse(fields: Mapping[str, float] | None) -> Ellipse | None:
    """The ellipse.

    Raises:
        ValueError: if the numbers are none.
    """
    return None if fields is None else Ellipse(**fields)


def _from_outline(outline: Outline) -> dict[str, Any]:
    return {"ellipse_px": _from_ellipse(outline.ellipse_px), "hc_mm": outline.hc_mm}


def _to_outline(fields: Mapping[str, Any]) -> Outline:
    return Outline(_to_ellipse(fields["ellipse_px"]), fields["hc_mm"])


def _from_calibration(calibration: Calibration) -> dict[str, Any]:
    size, others = calibration.pixel_size_xy_mm, calibration.other_sizes_xy_mm
    return {
        "pixel_size_xy_mm": None if size is None else [float(side) for side in size],
        "source": calibration.source.value,
        "detail": calibration.detail,
        "warnings": list(calibration.warnings),
        **({"other_sizes_xy_mm": [list(size) for size in others]} if others else {}),  # absent in earlier versions
    }


def _to_calibration(fields: Mapping[str, Any]) -> Calibration:
    size = fields["pixel_size_xy_mm"]
    return Calibration(
        pixel_size_xy_mm=None if size is None else (size[0], size[1]),
        source=CalibrationSource(fields["source"]),
        detail=fields["detail"],
        warnings=tuple(fields["warnings"]),
        other_sizes_xy_mm=tuple((across, down) for across, down in fields.get("other_sizes_xy_mm", ())),
    )


def _from_measurement(measurement: ModelMeasurement) -> dict[str, Any]:
    model = measurement.interval_model
    return {
        "model": asdict(measurement.model),
        "status": str(measurement.status),
        "reason": measurement.reason,
        "ellipse_px": _from_ellipse(measurement.ellipse_px),
        "confidence": measurement.confidence,
        "flags": [str(flag) for flag in measurement.flags],
        **{name: getattr(measurement, name) for name in _EVIDENCE},
        "hc_interval_mm": None if measurement.hc_interval_mm is None else list(measurement.hc_interval_mm),
        **({} if model is None else {"interval_model": model.to_section()}),  # absent in earlier versions
    }


def _to_measurement(fields: Mapping[str, Any]) -> ModelMeasurement:
    interval, model = fields["hc_interval_mm"], fields.get("interval_model")
    return ModelMeasurement(
        model=ModelVersion(**fields["model"]),
        status=fields["status"],
        reason=fields["reason"],
        ellipse_px=_to_ellipse(fields["ellipse_px"]),
        confidence=fields["confidence"],
        flags=tuple(fields["flags"]),
        **{name: fields[name] for name in _EVIDENCE},
        hc_interval_mm=None if interval is None else (interval[0], interval[1]),
        interval_model=None if model is None else IntervalModel.from_section(model, "the record"),
    )
