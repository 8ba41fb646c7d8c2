"""Cases for the tests of the exports: a bright ring on grey noise with a known circumference."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fetal_hc.io.drawing import draw_outline
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, CalibrationSource, from_table
from hc18.reports.case import Report
from hc18.reviews.models import Decision

PIXEL_SIZE_MM = 0.2
MODEL_ELLIPSE_PX = Ellipse(160.0, 118.0, 150.0, 112.0, 0.35)
FINAL_ELLIPSE_PX = Ellipse(163.0, 121.0, 146.0, 115.0, 0.30)
MODEL_SHA256 = "ab12" * 16
IMAGE_SHA256 = "0f9e" * 16
MEASURED_AT = datetime(2026, 5, 4, 9, 30, 15, tzinfo=UTC)
SIGNED_AT = datetime(2026, 5, 4, 9, 41, 2, tzinfo=UTC)
UNCALIBRATED = Calibration(None, CalibrationSource.NONE, "The file carries no pixel size.")


def ring_image(ellipse_px: Ellipse = MODEL_ELLIPSE_PX, image_hw: tuple[int, int] = (240, 320)) -> NDArray[np.uint8]:
    """Grey noise with a bright ring, uint8 (H, W, 3)."""
    noise = np.random.default_rng(7).integers(20, 70, image_hw, dtype=np.uint8)
    return draw_outline(np.repeat(noise[:, :, None], 3, axis=2), ellipse_px.outline(360), (225, 225, 225))


def hc_mm(ellipse_px: Ellipse) -> float:
    """Circumference at the pixel size of these cases."""
    return PIXEL_SIZE_MM * ellipse_px.circumference()


def unreviewed(**changes: Any) -> Report:
    """A measured case that nobody has reviewed, with `changes`."""
    values: dict[str, Any] = {
        "case_label": "Case 17",
        "image_sha256": IMAGE_SHA256,
        "image_rgb": ring_image(),
        "calibration": from_table(PIXEL_SIZE_MM, 18),
        "model_name": "hc18 Mask R-CNN",
        "model_version": "0.1.0",
        "model_sha256": MODEL_SHA256,
        "measured_at_utc": MEASURED_AT,
        "model_ellipse_px": MODEL_ELLIPSE_PX,
        "model_hc_mm": hc_mm(MODEL_ELLIPSE_PX),
        "confidence": 0.987,
    }
    return Report(**(values | changes))


def accepted(**changes: Any) -> Report:
    """A case accepted and signed, with an age from the due date and one flag."""
    values: dict[str, Any] = {
        "decision": Decision.ACCEPTED,
        "is_signed": True,
        "reviewer": "M. Okafor",
        "signed_at_utc": SIGNED_AT,
        "flags": ("touches_border",),
        "independent_ga_days": 138,
        "ga_source": "estimated due date",
    }
    return unreviewed(**(values | changes))


def corrected(**changes: Any) -> Report:
    """A case corrected and signed."""
    values: dict[str, Any] = {
        "decision": Decision.CORRECTED,
        "final_ellipse_px": FINAL_ELLIPSE_PX,
        "final_hc_mm": hc_mm(FINAL_ELLIPSE_PX),
        "reason": "The outline ran inside the skull on the left.",
    }
    return accepted(**(values | changes))


def rejected(**changes: Any) -> Report:
    """A case rejected and signed."""
    return accepted(**({"decision": Decision.REJECTED, "reason": "Not the plane of the thalami."} | changes))


def uncalibrated(**changes: Any) -> Report:
    """A case without a pixel size, not reviewed."""
    return unreviewed(**({"calibration": UNCALIBRATED, "model_hc_mm": None} | changes))
