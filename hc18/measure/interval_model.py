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
from dataclasses import asdict, dataclass

from fetal_hc.errors import ModelError
from hc18.measure.outline import Quality

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

    @classmethod
    def from_quality(cls, hc_mm: float | None, quality: Quality) -> QualityFeatures | None:
        """The features of one measurement; None without millimetres or where its fits could not be compared."""
        residual, disagreement, entropy = quality.residual_percent, quality.disagreement_percent, quality.mask_entropy
        if hc_mm is None or residual is None or disagreement is None or entropy is None:
            return None
        return cls(hc_mm, residual, disagreement, entropy)


# Each grows, or may grow, with the error; all are near 0 to 3 for good images, so that their weights compare.
FEATURES: dict[str, Callable[[QualityFeatures], float]] = {
    "log_hc": lambda evidence: math.log(evidence.hc_mm / 180.0),
    "residual": lambda evidence: math.log1p(evidence.residual_percent),
    "disagreement": lambda evidence: math.log1p(evidence.disagreement_percent),
    "entropy": lambda evidence: math.log(max(evidence.mask_entropy, 1e-3) / 0.05),
}


@dataclass(frozen=True, slots=True)
class Interval:
    """How far one measurement may be off.

    Attributes:
        low_mm: lower bound of the predictive interval for the reference HC, mm.
        high_mm: upper bound, mm.
        expected_error_mm: expected |error|, mm; None in results of earlier versions that did not state it.
        coverage: share of references that such intervals hold, 0 to 1; None in results of earlier versions.
    """

    low_mm: float
    high_mm: float
    expected_error_mm: float | None = None
    coverage: float | None = None


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

    def assess(self, evidence: QualityFeatures) -> Interval:
        """The interval of a measurement."""
        expected_mm = self.expected_error_mm(evidence)
        half_mm = self.interval_factor * expected_mm
        low_mm, high_mm = max(evidence.hc_mm - half_mm, 0.0), evidence.hc_mm + half_mm
        return Interval(low_mm, high_mm, expected_mm, self.coverage)

    def needs_review(self, interval: Interval) -> bool:
        """Whether the expected error of a measurement is above the model's limit."""
        return interval.expected_error_mm is not None and interval.expected_error_mm > self.review_above_mm

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
