"""Fits a `IntervalModel` to errors in images the network had not seen; `hc18.uncertainty.validation` checks it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from fetal_hc.errors import DatasetError
from hc18.measure.interval_model import FEATURES, IntervalModel, QualityFeatures

COVERAGE = 0.90
LARGE_ERROR_MM = 4.0
# Review at most this share of the images whose error is not large.
REVIEW_BUDGET = 0.12
_ERROR_FLOOR_MM = 0.01  # smaller errors count as this: their logarithm is taken
# What evidence means the same in every training of a network; the others are compared with their own usual values.
_SAME_IN_ALL_NETWORKS = frozenset({"log_hc"})
_RIDGE = 3.0  # strength of the pull of all weights to 0, in images
_SMOOTHING = 0.1  # of the corner of the quantile's loss, in units of the logarithm of the error
MIN_IMAGES = 40


@dataclass(frozen=True, slots=True)
class CalibrationCase:
    """One image the network had not been trained on.

    Attributes:
        filename: its name.
        group: images of one group (an examination) stay together when the calibration is checked.
        evidence: what its measurement shows.
        reference_hc_mm: the reference.
    """

    filename: str
    group: str
    evidence: QualityFeatures
    reference_hc_mm: float

    @property
    def error_mm(self) -> float:
        """|measured - reference|, mm."""
        return abs(self.evidence.hc_mm - self.reference_hc_mm)


def fit_trust_model(
    cases: Sequence[CalibrationCase], features: Sequence[str] = tuple(FEATURES), coverage: float = COVERAGE
) -> IntervalModel:
    """The trust model of a network from its errors on images it had not seen.

    The logarithm of the expected error is linear in the features with weights of at least 0, so that worse evidence
    never lowers it, also outside the range of these cases. The weights are those of the error that `coverage` of all
    errors stay below; the interval's factor is the conformal quantile of error over expected error.

    Args:
        cases: at least `MIN_IMAGES`.
        features: names of `FEATURES` to use.
        coverage: share of references that the interval is to hold, 0 to 1.

    Raises:
        DatasetError: if there are too few cases.
    """
    if len(cases) < MIN_IMAGES:
        raise DatasetError(f"{len(cases)} measured images; a calibration needs at least {MIN_IMAGES}")
    design = _design([case.evidence for case in cases], features)
    errors_mm = np.array([case.error_mm for case in cases])
    center, spread = design.mean(axis=0), design.std(axis=0) + 1e-9
    intercept, slopes = _fit_scale((design - center) / spread, errors_mm, coverage)
    weights = slopes / spread
    intercept -= float(weights @ center)
    unscaled = IntervalModel(
        intercept, dict(zip(features, weights.tolist(), strict=True)), 1.0, coverage, 1.0, len(cases)
    )
    return _with_limits(_with_mean_error(unscaled, cases), cases)


def _with_mean_error(model: IntervalModel, cases: Sequence[CalibrationCase]) -> IntervalModel:
    """The model whose expected errors of `cases` have the mean of the errors that were made."""
    expected_mm = sum(model.expected_error_mm(case.evidence) for case in cases)
    ratio = max(sum(case.error_mm for case in cases), _ERROR_FLOOR_MM) / expected_mm
    return replace(model, intercept=model.intercept + math.log(ratio))


def _with_limits(model: IntervalModel, cases: Sequence[CalibrationCase]) -> IntervalModel:
    """The model with the interval's factor and the limit for review that its expected errors of `cases` ask for."""
    errors_mm = np.array([case.error_mm for case in cases])
    expected_mm = np.array([model.expected_error_mm(case.evidence) for case in cases])
    others = expected_mm[errors_mm <= LARGE_ERROR_MM]
    return replace(
        model,
        interval_factor=conformal_quantile(errors_mm / expected_mm, model.coverage),
        review_above_mm=float(np.quantile(others if others.size else expected_mm, 1.0 - REVIEW_BUDGET)),
    )


def fit_longer_training(
    cases: Sequence[CalibrationCase],
    longer: Sequence[CalibrationCase],
    longer_unlabelled: Sequence[QualityFeatures],
    cases_unlabelled: Sequence[QualityFeatures],
) -> IntervalModel:
    """The trust model of a longer training that was measured in fewer images than shorter ones.

    The shorter trainings' errors say what the error grows with; the longer one's say how large it is.

    Args:
        cases: errors of the shorter trainings.
        longer: errors of the longer one, at least `MIN_IMAGES`.
        longer_unlabelled: evidence of the longer one for `match_network`.
        cases_unlabelled: evidence of the shorter ones on the same images.

    Raises:
        DatasetError: if there are too few cases or images.
    """
    if len(longer) < MIN_IMAGES:
        raise DatasetError(f"{len(longer)} measured images; a calibration needs at least {MIN_IMAGES}")
    matched = match_network(fit_trust_model(cases), longer_unlabelled, cases_unlabelled)
    return _with_limits(_with_mean_error(matched, longer), longer)


def match_network(
    model: IntervalModel, own: Sequence[QualityFeatures], others: Sequence[QualityFeatures]
) -> IntervalModel:
    """The trust model for another training of the network than those whose errors it was fitted to.

    A longer training leaves less entropy in its masks and smoother contours; read as if they came from the others,
    these would promise smaller errors than it makes. So its evidence is taken in units of its own: as many standard
    deviations above the mean as the others' evidence was. That needs the same images in both, but no labels.

    Args:
        model: fitted to `others`' errors.
        own: evidence of the network that the result is for; at least `MIN_IMAGES`, that neither was trained on.
        others: evidence of the networks whose errors were fitted, on the same images.

    Raises:
        DatasetError: if there are too few images.
    """
    if min(len(own), len(others)) < MIN_IMAGES:
        raise DatasetError(f"{min(len(own), len(others))} images in both networks; at least {MIN_IMAGES} are needed")
    names = [name for name in model.weights if name not in _SAME_IN_ALL_NETWORKS]
    own_values, other_values = _design(own, names), _design(others, names)
    scale = (other_values.std(axis=0) + 1e-9) / (own_values.std(axis=0) + 1e-9)
    shift = other_values.mean(axis=0) - scale * own_values.mean(axis=0)
    weights, intercept = dict(model.weights), model.intercept
    for name, factor, offset in zip(names, scale.tolist(), shift.tolist(), strict=True):
        intercept += model.weights[name] * offset
        weights[name] *= factor
    return replace(model, intercept=intercept, weights=weights)


def _design(evidence: Sequence[QualityFeatures], features: Sequence[str]) -> NDArray[np.float64]:
    """Features (n, len(features)) of n measurements."""
    return np.array([[FEATURES[name](item) for name in features] for item in evidence])


def _fit_scale(
    design: NDArray[np.float64], errors: NDArray[np.float64], coverage: float
) -> tuple[float, NDArray[np.float64]]:
    """Intercept and slopes, all at least 0, of the logarithm of the error below which `coverage` of all errors lie.

    Quantile regression, less a ridge on the slopes; the loss is smooth and convex. What the interval is to hold is
    fitted, and not the mean error, which a few large ones of small heads would decide.

    References: R. Koenker, G. Bassett, Regression quantiles, Econometrica 46, 1978; Y. Romano, E. Patterson, E. Candes,
    Conformalized quantile regression, NeurIPS 2019.
    """
    log_errors = np.log(np.maximum(errors, _ERROR_FLOOR_MM))

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        above = log_errors - values[0] - design @ values[1:]
        below_share = expit(-above / _SMOOTHING)
        pull = below_share - coverage
        total = np.sum(coverage * above + _SMOOTHING * np.logaddexp(0.0, -above / _SMOOTHING))
        gradient = np.concatenate([[np.sum(pull)], design.T @ pull + 2.0 * _RIDGE * values[1:]])
        return float(total + _RIDGE * values[1:] @ values[1:]), gradient

    start = np.zeros(design.shape[1] + 1)
    start[0] = float(np.quantile(log_errors, coverage))
    bounds = [(None, None), *[(0.0, None)] * design.shape[1]]
    found = minimize(loss, start, jac=True, method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), np.asarray(found.x[1:], dtype=np.float64)


def conformal_quantile(scores: NDArray[np.float64], coverage: float) -> float:
    """The ceil((n + 1) coverage)-th smallest of n scores; the largest where that is more than n.

    References: Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World, 2005.
    """
    rank = min(math.ceil((len(scores) + 1) * coverage), len(scores))
    return float(np.sort(scores)[rank - 1])
