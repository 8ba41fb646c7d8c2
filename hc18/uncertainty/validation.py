"""Cross-validates interval models: each measurement gets the interval of a model fitted without its examination."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from fetal_hc.errors import DatasetError
from hc18.evaluation.score_summary import TRIMESTERS, trimester_of
from hc18.measurement.interval_model import COMMON_FEATURES, IntervalModel
from hc18.uncertainty.calibration import (
    COVERAGE,
    LARGE_ERROR_MM,
    REVIEW_BUDGET,
    LabelledMeasurement,
    fit_interval_model,
    fit_shifted_intervals,
)


@dataclass(frozen=True, slots=True)
class ValidatedInterval:
    """The interval that a model fitted without the measurement's group gives it."""

    measured: LabelledMeasurement
    interval_mm: tuple[float, float]
    expected_error_mm: float
    needs_review: bool

    @property
    def is_covered(self) -> bool:
        """Whether the reference lies in the interval."""
        return self.interval_mm[0] <= self.measured.reference_hc_mm <= self.interval_mm[1]


@dataclass(frozen=True, slots=True)
class ValidationReport:
    """How well intervals held on images that their models were not fitted on.

    Attributes:
        groups: name ("all" or a trimester) -> (images, share covered, mean width of the interval in mm).
        sensitivity: share of the large errors that are marked for review; NaN without large errors.
        attainable: share that a mark of the same budget would catch if every error were drawn from a normal
            distribution of exactly the expected size; see `attainable_sensitivity`.
        false_review: share of all other errors that are marked.
        adf_all_mm: mean error.
        adf_kept_mm: mean error of the images not marked.
        n_large: number of large errors.
    """

    groups: dict[str, tuple[int, float, float]]
    sensitivity: float
    attainable: float
    false_review: float
    adf_all_mm: float
    adf_kept_mm: float
    n_large: int


def validate_intervals(
    measured: Sequence[LabelledMeasurement],
    features: Sequence[str] = COMMON_FEATURES,
    coverage: float = COVERAGE,
) -> list[ValidatedInterval]:
    """The interval of every measurement from a model fitted without its group, in the order given.

    Args:
        measured: as for `fit_interval_model`.
        features: as for `fit_interval_model`.
        coverage: as for `fit_interval_model`.

    Raises:
        DatasetError: if there are too few measurements or groups.
    """
    return cross_validate(
        measured, lambda without: fit_interval_model(without_groups(measured, without), features, coverage)
    )


def validate_shifted_intervals(
    home: Sequence[LabelledMeasurement],
    away: Sequence[LabelledMeasurement],
    unfamiliar_above: float,
    coverage: float = COVERAGE,
) -> list[ValidatedInterval]:
    """As `validate_intervals` for `fit_shifted_intervals`: the measurements at home, then those of other hospitals.

    Raises:
        DatasetError: if there are too few measurements or groups.
    """

    def fit(groups: Set[str]) -> IntervalModel:
        return fit_shifted_intervals(
            without_groups(home, groups), without_groups(away, groups), unfamiliar_above, coverage
        )

    return cross_validate([*home, *away], fit)


def cross_validate(
    measured: Sequence[LabelledMeasurement],
    fit: Callable[[Set[str]], IntervalModel],
    *,
    n_folds: int = 10,
    seed: int = 0,
) -> list[ValidatedInterval]:
    """The interval of every measurement from a model that `fit` made without its group, in the order given.

    Args:
        measured: what to validate on.
        fit: gets the groups to leave out.
        n_folds: number of models.
        seed: decides which groups are left out together.

    Raises:
        DatasetError: if there are too few groups, or what `fit` raises.
    """
    groups = sorted({item.group for item in measured})
    if len(groups) < n_folds:
        raise DatasetError(f"{len(groups)} examinations; {n_folds} folds need at least as many")
    order = np.random.default_rng(seed).permutation(len(groups))
    fold_of = {groups[index]: position % n_folds for position, index in enumerate(order)}
    models = [fit({group for group in groups if fold_of[group] == fold}) for fold in range(n_folds)]
    validated = []
    for item in measured:
        model = models[fold_of[item.group]]
        found, expected_mm = model.assess(item.hc_mm, item.features), model.expected_error_mm(item.features)
        limits_mm = (found.low_mm, found.high_mm)
        validated.append(ValidatedInterval(item, limits_mm, expected_mm, model.needs_review(found)))
    return validated


def without_groups(measured: Sequence[LabelledMeasurement], groups: Set[str]) -> list[LabelledMeasurement]:
    """The measurements of all other groups."""
    return [item for item in measured if item.group not in groups]


def report_validation(validated: Sequence[ValidatedInterval]) -> ValidationReport:
    """Coverage and width overall and per trimester, and what the review mark catches."""
    members = {"all": list(validated)}
    for name in TRIMESTERS:
        members[name] = [item for item in validated if trimester_of(item.measured.reference_hc_mm) == name]
    groups = {}
    for name, items in members.items():
        if items:
            width_mm = float(np.mean([high - low for low, high in (item.interval_mm for item in items)]))
            groups[name] = (len(items), float(np.mean([item.is_covered for item in items])), width_mm)
    errors_mm = np.array([item.measured.error_mm for item in validated])
    marked = np.array([item.needs_review for item in validated])
    large = errors_mm > LARGE_ERROR_MM
    return ValidationReport(
        groups=groups,
        sensitivity=float(marked[large].mean()) if large.any() else math.nan,
        attainable=attainable_sensitivity(np.array([item.expected_error_mm for item in validated])),
        false_review=float(marked[~large].mean()) if (~large).any() else math.nan,
        adf_all_mm=float(errors_mm.mean()),
        adf_kept_mm=float(errors_mm[~marked].mean()) if (~marked).any() else math.nan,
        n_large=int(large.sum()),
    )


def attainable_sensitivity(expected_mm: NDArray[np.float64], budget: float = REVIEW_BUDGET) -> float:
    """Largest share of the large errors that a review mark can catch if all expected errors are right.

    Errors are taken as normally distributed around 0 with these mean absolute values. The images of largest expected
    error are reviewed, until `budget` of all errors that are not large is among them. No threshold does better.

    Args:
        expected_mm: (n,) expected |error| of every image, mm.
        budget: share of the errors up to `LARGE_ERROR_MM` that may be reviewed.
    """
    sd_mm = np.sort(expected_mm)[::-1] * math.sqrt(math.pi / 2.0)
    is_large = erfc(LARGE_ERROR_MM / (sd_mm * math.sqrt(2.0)))
    reviewed = np.cumsum(1.0 - is_large) <= budget * np.sum(1.0 - is_large)
    return float(is_large[reviewed].sum() / is_large.sum())


def risk_coverage(validated: Sequence[ValidatedInterval], *, relative: bool = False) -> NDArray[np.float64]:
    """Rows (share of images kept, their mean |error|), keeping those of smallest expected error first; (n, 2).

    Args:
        validated: at least one.
        relative: take errors and expected errors as shares of the circumference instead of in mm.
    """
    sizes_mm = np.array([item.measured.hc_mm if relative else 1.0 for item in validated])
    expected = np.array([item.expected_error_mm for item in validated]) / sizes_mm
    errors = (np.array([item.measured.error_mm for item in validated]) / sizes_mm)[np.argsort(expected, kind="stable")]
    counts = np.arange(1, len(validated) + 1)
    return np.stack([counts / len(validated), np.cumsum(errors) / counts], axis=1)
