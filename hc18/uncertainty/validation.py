"""How well calibrations hold: every case judged by one that was fitted without its examination."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import erfc

from fetal_hc.errors import DatasetError
from hc18.evaluation.score_summary import TRIMESTERS, trimester_of
from hc18.measure.interval_model import FEATURES, IntervalModel, QualityFeatures
from hc18.uncertainty.calibration import (
    COVERAGE,
    LARGE_ERROR_MM,
    REVIEW_BUDGET,
    CalibrationCase,
    fit_longer_training,
    fit_trust_model,
)


@dataclass(frozen=True, slots=True)
class CheckedCase:
    """A case with what a model fitted without its group says of it."""

    case: CalibrationCase
    interval_mm: tuple[float, float]
    expected_error_mm: float
    needs_review: bool

    @property
    def is_covered(self) -> bool:
        """Whether the reference lies in the interval."""
        return self.interval_mm[0] <= self.case.reference_hc_mm <= self.interval_mm[1]


@dataclass(frozen=True, slots=True)
class TrustReport:
    """How well the calibration held on images it was not fitted on.

    Attributes:
        groups: name ("all" or a trimester) -> (images, share covered, mean width of the interval in mm).
        sensitivity: share of the large errors that are marked for review; NaN without large errors.
        attainable: share that a mark of the same budget would catch if every error were drawn from a normal
            distribution of exactly the expected size; see `attainable_sensitivity`.
        false_review: share of all others that are.
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


def check_trust_model(
    cases: Sequence[CalibrationCase],
    features: Sequence[str] = tuple(FEATURES),
    coverage: float = COVERAGE,
    *,
    judged: Sequence[CalibrationCase] | None = None,
) -> list[CheckedCase]:
    """Every case judged by a model that was fitted without any case of its group, in the order given.

    Args:
        cases: as for `fit_trust_model`.
        features: as for `fit_trust_model`.
        coverage: as for `fit_trust_model`.
        judged: cases of another network, as if it were one of those that `cases` are of; else `cases` themselves.

    Raises:
        DatasetError: if there are too few cases or groups.
    """
    return _cross_check(
        cases if judged is None else judged,
        lambda without: fit_trust_model(_known(cases, without), features, coverage),
    )


def check_longer_training(
    cases: Sequence[CalibrationCase],
    longer: Sequence[CalibrationCase],
    longer_unlabelled: Sequence[QualityFeatures],
    cases_unlabelled: Sequence[QualityFeatures],
) -> list[CheckedCase]:
    """Every case of `longer` judged by a `fit_longer_training` without any case of its group.

    Raises:
        DatasetError: if there are too few cases or groups.
    """
    return _cross_check(
        longer,
        lambda without: fit_longer_training(
            _known(cases, without), _known(longer, without), longer_unlabelled, cases_unlabelled
        ),
    )


def _cross_check(
    cases: Sequence[CalibrationCase], fit: Callable[[Set[str]], IntervalModel], *, n_folds: int = 10, seed: int = 0
) -> list[CheckedCase]:
    """Every case judged by a model that `fit` made without the groups it was given, the case's own among them.

    Raises:
        DatasetError: if there are too few groups, or what `fit` raises.
    """
    groups = sorted({case.group for case in cases})
    if len(groups) < n_folds:
        raise DatasetError(f"{len(groups)} examinations; {n_folds} folds need at least as many")
    order = np.random.default_rng(seed).permutation(len(groups))
    fold_of = {groups[index]: position % n_folds for position, index in enumerate(order)}
    models = [fit({group for group in groups if fold_of[group] == fold}) for fold in range(n_folds)]
    checked = []
    for case in cases:
        found = models[fold_of[case.group]].assess(case.evidence)
        checked.append(CheckedCase(case, found.interval_mm, found.expected_error_mm, found.needs_review))
    return checked


def _known(cases: Sequence[CalibrationCase], without: Set[str]) -> list[CalibrationCase]:
    return [case for case in cases if case.group not in without]


def report_trust(checked: Sequence[CheckedCase]) -> TrustReport:
    """Coverage and width overall and per trimester, and what the review mark catches."""
    members = {"all": list(checked)}
    for name in TRIMESTERS:
        members[name] = [item for item in checked if trimester_of(item.case.reference_hc_mm) == name]
    groups = {}
    for name, items in members.items():
        if items:
            width_mm = float(np.mean([high - low for low, high in (item.interval_mm for item in items)]))
            groups[name] = (len(items), float(np.mean([item.is_covered for item in items])), width_mm)
    errors_mm = np.array([item.case.error_mm for item in checked])
    marked = np.array([item.needs_review for item in checked])
    large = errors_mm > LARGE_ERROR_MM
    return TrustReport(
        groups=groups,
        sensitivity=float(marked[large].mean()) if large.any() else math.nan,
        attainable=attainable_sensitivity(np.array([item.expected_error_mm for item in checked])),
        false_review=float(marked[~large].mean()) if (~large).any() else math.nan,
        adf_all_mm=float(errors_mm.mean()),
        adf_kept_mm=float(errors_mm[~marked].mean()) if (~marked).any() else math.nan,
        n_large=int(large.sum()),
    )


def attainable_sensitivity(expected_mm: NDArray[np.float64], budget: float = REVIEW_BUDGET) -> float:
    """Share of the large errors among the images to review, if nothing were known wrongly and nothing more knowable.

    Errors are taken as normally distributed around 0 with these mean absolute values; those with the largest are
    reviewed, until they hold `budget` of all errors that are not large. No threshold on any evidence does better.

    Args:
        expected_mm: (n,) expected |error| of every image, mm.
        budget: share of the errors up to `LARGE_ERROR_MM` that may be reviewed.
    """
    sd_mm = np.sort(expected_mm)[::-1] * math.sqrt(math.pi / 2.0)
    is_large = erfc(LARGE_ERROR_MM / (sd_mm * math.sqrt(2.0)))
    reviewed = np.cumsum(1.0 - is_large) <= budget * np.sum(1.0 - is_large)
    return float(is_large[reviewed].sum() / is_large.sum())


def risk_coverage(checked: Sequence[CheckedCase]) -> NDArray[np.float64]:
    """Rows (share of images kept, their ADF in mm), keeping those of smallest expected error first; (n, 2)."""
    ordered = sorted(checked, key=lambda item: item.expected_error_mm)
    errors_mm = np.array([item.case.error_mm for item in ordered])
    counts = np.arange(1, len(ordered) + 1)
    return np.stack([counts / len(ordered), np.cumsum(errors_mm) / counts], axis=1)
