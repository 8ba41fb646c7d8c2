"""The uncertainty of a measurement: its expected error, its interval, and when a person should look at it.

A model predicts the expected error from quality features of the measurement (`FEATURES`). The interval reaches
`interval_factor` expected errors to both sides. The factor was chosen on images that the network had not been trained
on, so that a given share of the references lies inside (split conformal prediction with a scaled residual).

References: Lei, G'Sell, Rinaldo, Tibshirani, Wasserman: Distribution-free predictive inference for regression, JASA
113(523), 2018, section 5.2 (locally weighted conformal inference). `hc18.uncertainty.calibration` makes these models.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from fetal_hc.errors import ModelError
from fetal_hc.model.bundle import check_section
from hc18.measurement.outline import Quality

# Smallest and largest expected error, in mm: an interval is never narrower than the ruler and never without end.
EXPECTED_ERROR_LIMITS_MM = (0.3, 60.0)


@dataclass(frozen=True, slots=True)
class Feature:
    """A number that the expected error grows with.

    Attributes:
        figure: what it follows from, given circumference (mm) and quality of the outline; None if that is not known.
        transform: from that figure to the feature, which lies between 0 and 3 for good images, so that weights
            compare.
    """

    figure: Callable[[float, Quality], float | None]
    transform: Callable[[float], float]


# The error grows with each of them. Only models with `image_checks` know the last one.
FEATURES: dict[str, Feature] = {
    "log_hc": Feature(lambda hc_mm, _: hc_mm, lambda hc_mm: math.log(hc_mm / 180.0)),
    "residual": Feature(lambda _, quality: quality.residual_percent, math.log1p),
    "disagreement": Feature(lambda _, quality: quality.disagreement_percent, math.log1p),
    "entropy": Feature(lambda _, quality: quality.mask_entropy, lambda entropy: math.log(max(entropy, 1e-3) / 0.05)),
    "unfamiliarity": Feature(lambda _, quality: quality.unfamiliarity, float),
}
UNFAMILIARITY = "unfamiliarity"
COMMON_FEATURES = tuple(name for name in FEATURES if name != UNFAMILIARITY)


def find_features(hc_mm: float, quality: Quality, names: Iterable[str] = COMMON_FEATURES) -> dict[str, float] | None:
    """The features of one measurement by name; None if a figure is not known, as where fits could not be compared.

    Args:
        hc_mm: circumference, mm.
        quality: of the outline.
        names: which of `FEATURES`.
    """
    found: dict[str, float] = {}
    for name in names:
        figure = FEATURES[name].figure(hc_mm, quality)
        if figure is None:
            return None
        found[name] = FEATURES[name].transform(figure)
    return found


@dataclass(frozen=True, slots=True)
class Interval:
    """Expected error and predictive interval of one measurement.

    Attributes:
        low_mm: lower bound of the predictive interval for the reference HC, mm.
        high_mm: upper bound, mm.
        expected_error_mm: expected |error|, mm; None in results of earlier versions that did not state it.
        coverage: share of references that such intervals contain, 0 to 1; None in results of earlier versions.
    """

    low_mm: float
    high_mm: float
    expected_error_mm: float | None = None
    coverage: float | None = None


@dataclass(frozen=True, slots=True)
class IntervalModel:
    """Predicts expected error and interval from quality features; calibrated for one pair of networks.

    Attributes:
        intercept: logarithm of the expected error in mm where all features are 0.
        weights: growth of that logarithm per unit of a feature, by the name of the feature.
        interval_factor: half width of the interval divided by the expected error.
        coverage: share of the references that lie inside the interval, as calibrated, 0 to 1.
        review_above_mm: expected error above which a person should review the measurement, mm.
        n_images: images it was calibrated on.
        unfamiliar_above: unfamiliarity above which `unfamiliar_factor` counts; None if one factor serves all images.
        unfamiliar_factor: half width of the interval of an unfamiliar image divided by the expected error.
    """

    intercept: float
    weights: Mapping[str, float]
    interval_factor: float
    coverage: float
    review_above_mm: float
    n_images: int
    unfamiliar_above: float | None = None
    unfamiliar_factor: float | None = None

    def __post_init__(self) -> None:
        unknown = sorted(set(self.weights) - set(FEATURES))
        numbers = (self.intercept, *self.weights.values(), self.interval_factor, self.review_above_mm)
        if (self.unfamiliar_above is None) != (self.unfamiliar_factor is None):
            raise ModelError("unfamiliar_above and unfamiliar_factor belong together")
        if self.unfamiliar_factor is not None and not 0.0 < self.unfamiliar_factor < math.inf:
            raise ModelError(f"unfamiliar_factor is {self.unfamiliar_factor}; expected a number above 0")
        if unknown or not all(math.isfinite(number) for number in numbers):
            raise ModelError(f"unknown features {unknown} or numbers that are not finite: {numbers}")
        if self.interval_factor <= 0 or not 0 < self.coverage < 1:
            raise ModelError(f"interval_factor is {self.interval_factor} (> 0), coverage is {self.coverage} (0 to 1)")

    def expected_error_mm(self, features: Mapping[str, float]) -> float:
        """Expected |error| in mm of a measurement with these features, within `EXPECTED_ERROR_LIMITS_MM`."""
        low, high = EXPECTED_ERROR_LIMITS_MM
        total = sum(weight * features[name] for name, weight in self.weights.items())
        return min(max(math.exp(min(self.intercept + total, 50.0)), low), high)

    def assess(self, hc_mm: float, features: Mapping[str, float]) -> Interval:
        """The interval of a measurement, from its circumference and its `find_features`."""
        expected_mm = self.expected_error_mm(features)
        half_mm = self.factor(features) * expected_mm
        low_mm, high_mm = max(hc_mm - half_mm, 0.0), hc_mm + half_mm
        return Interval(low_mm, high_mm, expected_mm, self.coverage)

    def factor(self, features: Mapping[str, float]) -> float:
        """Half width of the interval divided by the expected error, for a measurement with these features."""
        if self.unfamiliar_above is None or self.unfamiliar_factor is None:
            return self.interval_factor
        is_unfamiliar = features[UNFAMILIARITY] > self.unfamiliar_above
        return self.unfamiliar_factor if is_unfamiliar else self.interval_factor

    def feature_names(self) -> tuple[str, ...]:
        """The features that an interval needs."""
        return tuple(self.weights if self.unfamiliar_above is None else dict.fromkeys([*self.weights, UNFAMILIARITY]))

    def needs_review(self, interval: Interval) -> bool:
        """Whether the expected error of a measurement is above the model's limit."""
        return interval.expected_error_mm is not None and interval.expected_error_mm > self.review_above_mm

    def to_section(self) -> dict[str, Any]:
        """The section `intervals` of a model bundle."""
        known = {
            name: value for name, value in asdict(self).items() if value is not None
        }  # as earlier releases wrote it
        return {**known, "weights": dict(self.weights)}

    @classmethod
    def from_section(cls, section: Mapping[str, Any], source: str) -> IntervalModel:
        """The model that `to_section` gave.

        Args:
            section: `intervals` of a bundle.
            source: name of the file, for messages.

        Raises:
            ModelError: naming the field that is missing or wrong.
        """
        check_section("intervals", section, cls, source)
        try:
            weights = {str(name): float(value) for name, value in section["weights"].items()}
            numbers = {name: float(section[name]) for name in section if name not in ("weights", "n_images")}
            return cls(weights=weights, n_images=int(section["n_images"]), **numbers)
        except (ValueError, TypeError, AttributeError, ModelError) as error:
            raise ModelError(f"{source}: model.json: intervals: {error}") from error
