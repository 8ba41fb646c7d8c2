"""How far a measurement may be off: an expected error, the interval that follows from it, and when to look again.

The expected error depends on what the measurement shows of itself (`FEATURES`); the interval is `factor` times as wide
on both sides, where `factor` was chosen on images that the network had not been trained on so that a given share of
the references lies inside (split conformal prediction with a scaled residual).

References: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman: Distribution-free predictive inference for regression, JASA
113(523), 2018, section 5.2 (locally weighted conformal inference). `hc18.uncertainty.calibration` makes these models.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace

from fetal_hc.errors import ModelError
from hc18.measure.measurement import Flag, HeadMeasurement

# Smallest and largest expected error, in mm: an interval is never narrower than the ruler and never without end.
EXPECTED_ERROR_LIMITS_MM = (0.3, 60.0)


@dataclass(frozen=True, slots=True)
class QualityFeatures:
    """What a measurement shows of its own quality.

    Attributes:
        hc_mm: circumference, mm.
        residual_percent: root mean square distance of contour and ellipse in percent of the mean semi-axis.
        disagreement_percent: of contour and moments, in percent of the circumference.
        mask_entropy: mean binary entropy of the soft mask's cells, 0 to ln 2.
    """

    hc_mm: float
    residual_percent: float
    disagreement_percent: float
    mask_entropy: float


# Each grows, or may grow, with the error; all are near 0 to 3 for good images, so that their weights compare.
FEATURES: dict[str, Callable[[QualityFeatures], float]] = {
    "log_hc": lambda evidence: math.log(evidence.hc_mm / 180.0),
    "residual": lambda evidence: math.log1p(evidence.residual_percent),
    "disagreement": lambda evidence: math.log1p(evidence.disagreement_percent),
    "entropy": lambda evidence: math.log(max(evidence.mask_entropy, 1e-3) / 0.05),
}


@dataclass(frozen=True, slots=True)
class Assessment:
    """How far to trust one measurement.

    Attributes:
        interval_mm: lower and upper bound of the predictive interval for the reference HC, mm.
        expected_error_mm: expected |error|, mm.
        needs_review: whether the expected error is above the model's limit.
    """

    interval_mm: tuple[float, float]
    expected_error_mm: float
    needs_review: bool


@dataclass(frozen=True, slots=True)
class IntervalModel:
    """Calibrated link from evidence to expected error and interval; belongs to one network.

    Attributes:
        intercept: of the logarithm of the expected error in mm.
        weights: of the features, by name.
        interval_factor: half width of the interval over the expected error.
        coverage: share of references inside, as calibrated, 0 to 1.
        review_above_mm: expected error from which a measurement is to be reviewed, mm.
        n_images: images it was calibrated on.
    """

    intercept: float
    weights: Mapping[str, float]
    interval_factor: float
    coverage: float
    review_above_mm: float
    n_images: int

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(FEATURES))
        numbers = (self.intercept, *self.weights.values(), self.interval_factor, self.review_above_mm)
        if unknown or not all(math.isfinite(number) for number in numbers):
            raise ModelError(f"trust model has unknown features {unknown} or numbers that are not finite: {numbers}")
        if self.interval_factor <= 0 or not 0 < self.coverage < 1:
            raise ModelError(f"trust model has interval factor {self.interval_factor} and coverage {self.coverage}")

    def expected_error_mm(self, evidence: QualityFeatures) -> float:
        """Expected |error| in mm, within `EXPECTED_ERROR_LIMITS_MM`."""
        low, high = EXPECTED_ERROR_LIMITS_MM
        total = sum(weight * FEATURES[name](evidence) for name, weight in self.weights.items())
        return min(max(math.exp(min(self.intercept + total, 50.0)), low), high)

    def assess(self, evidence: QualityFeatures) -> Assessment:
        """Interval, expected error and whether to review a measurement."""
        expected_mm = self.expected_error_mm(evidence)
        half_mm = self.interval_factor * expected_mm
        interval_mm = (max(evidence.hc_mm - half_mm, 0.0), evidence.hc_mm + half_mm)
        return Assessment(interval_mm, expected_mm, expected_mm > self.review_above_mm)

    def to_json(self) -> str:
        """One line of JSON, to be stored with the network."""
        return json.dumps({**asdict(self), "weights": dict(self.weights)}, sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> IntervalModel:
        """The model that `to_json` wrote.

        Raises:
            ModelError: if the text is something else.
        """
        try:
            fields = json.loads(text)
            weights = {str(name): float(value) for name, value in fields["weights"].items()}
            numbers = {
                name: float(fields[name]) for name in ("intercept", "interval_factor", "coverage", "review_above_mm")
            }
            return cls(weights=weights, n_images=int(fields["n_images"]), **numbers)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise ModelError(f"trust model cannot be read ({type(error).__name__}: {error})") from error


def quality_features_of(measurement: HeadMeasurement) -> QualityFeatures | None:
    """What a measurement shows of its own quality; None without millimetres or where its fits could not be checked."""
    values = (
        measurement.hc_mm,
        measurement.residual_percent,
        measurement.disagreement_percent,
        measurement.mask_entropy,
    )
    hc_mm, residual_percent, disagreement_percent, mask_entropy = values
    if hc_mm is None or residual_percent is None or disagreement_percent is None or mask_entropy is None:
        return None
    return QualityFeatures(hc_mm, residual_percent, disagreement_percent, mask_entropy)


def add_interval(measurement: HeadMeasurement, model: IntervalModel | None) -> HeadMeasurement:
    """The measurement with interval, expected error and, if that is large, the flag `uncertain`.

    One whose fits could not be checked is flagged and has no interval.

    Args:
        measurement: of one image.
        model: of the network that made it; without one the measurement is returned as it is.
    """
    if model is None or measurement.hc_mm is None:
        return measurement
    evidence = quality_features_of(measurement)
    found = None if evidence is None else model.assess(evidence)
    flags = measurement.flags
    if (found is None or found.needs_review) and Flag.UNCERTAIN not in flags:
        flags = (*flags, Flag.UNCERTAIN)
    if found is None:
        return replace(measurement, flags=flags)
    return replace(
        measurement, hc_interval_mm=found.interval_mm, expected_error_mm=found.expected_error_mm, flags=flags
    )
