"""Small cases with known values."""

import numpy as np

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, from_table
from hc18.reviews.models import ModelMeasurement, ModelVersion, NewCase, SoftMask

MODEL = ModelVersion("hc18", "1", "ab" * 32)
IMAGE_HW = (64, 80)  # the smallest side that is measured
MODEL_ELLIPSE = Ellipse(40.0, 30.0, 20.0, 15.0, 0.25)
CORRECTED = Ellipse(41.0, 30.5, 21.0, 15.5, 0.5)
PIXEL_SIZE_MM = 1.5


def image_of(number: int) -> np.ndarray:
    """Pixels that differ from case to case, (64, 80, 3) uint8."""
    return np.random.default_rng(number).integers(0, 256, (*IMAGE_HW, 3)).astype(np.uint8)


def measurement(ellipse_px: Ellipse | None = MODEL_ELLIPSE, **values: object) -> ModelMeasurement:
    """A measurement by the test's model."""
    status = "no_head" if ellipse_px is None else "ok"
    defaults: dict[str, object] = {"model": MODEL, "status": status, "confidence": 0.75}
    return ModelMeasurement(**{**defaults, "ellipse_px": ellipse_px, **values})  # type: ignore[arg-type]


def new_case(
    number: int,
    *,
    found: ModelMeasurement | None = None,
    calibration: Calibration | None = None,
    label: str = "",
    soft_mask: SoftMask | None = None,
) -> NewCase:
    """A case with its own pixels."""
    return NewCase(
        image_rgb=image_of(number),
        calibration=calibration or from_table(PIXEL_SIZE_MM),
        measurement=found or measurement(),
        label=label,
        soft_mask=soft_mask,
    )
