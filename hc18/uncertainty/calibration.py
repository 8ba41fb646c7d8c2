"""Fits an `IntervalModel` to errors in images that the networks had not seen."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import expit

from fetal_hc.errors import DatasetError
from hc18.measurement.interval_model import COMMON_FEATURES, UNFAMILIARITY, IntervalModel

COVERAGE = 0.90
LARGE_ERROR_MM = 4.0
# Largest share of the images without a large error that may be marked for review.
REVIEW_BUDGET = 0.12
MIN_IMAGES = 40
_ERROR_FLOOR_MM = 0.01  # smaller errors count as this, because their logarithm is taken
_RIDGE = 3.0  # strength of the pull of all weights to 0, in images
_SMOOTHING = 0.1  # width of the rounded corner of the quantile loss, in units of the logarithm of the error


@dataclass(frozen=True, slots=True)
class LabelledMeasurement:
    """The measurement of an image that the networks had not been trained on, and its reference.

    Attributes:
        filename: name of the image.
        group: images of one group (an examination) stay together when a calibration is validated.
        hc_mm: measured circumference, mm.
        features: those of `FEATURES` that are known, by name; always the common ones.
        reference_hc_mm: reference circumference, mm.
    """

    filename: str
    group: str
    hc_mm: float
    features: Mapping[str, float]
    reference_hc_mm: float

    @property
    def error_mm(self) -> float:
        """|measured - reference|, mm."""
        return abs(self.hc_mm - self.reference_hc_mm)


def fit_interval_model(
    measured: Sequence[LabelledMeasurement], features: Sequence[str] = COMMON_FEATURES, coverage: float = COVERAGE
) -> IntervalModel:
    """The interval model of networks, from their errors on images that they had not seen.

    The logarithm of the expected error is linear in the features. No weight is negative, so that worse quality never
    lowers the expected error, also outside the range of these images. The weights are fitted to the quantile `coverage`
    of the error. The factor of the interval is the conformal quantile of error over expected error.

    Args:
        measured: at least `MIN_IMAGES`.
        features: names of `FEATURES` to use.
        coverage: share of the references that the interval is to contain, 0 to 1.

    Raises:
        DatasetError: if there are too few measurements.
    """
    check_count(len(measured))
    design = feature_matrix([item.features for item in measured], features)
    errors_mm = np.array([item.error_mm for item in measured])
    center, spread = design.mean(axis=0), design.std(axis=0) + 1e-9
    intercept, slopes = _fit_scale((design - center) / spread, errors_mm, coverage)
    weights = slopes / spread
    intercept -= float(weights @ center)
    unscaled = IntervalModel(
        intercept, dict(zip(features, weights.tolist(), strict=True)), 1.0, coverage, 1.0, len(measured)
    )
    return scale_to_errors(unscaled, measured)


def fit_shifted_intervals(
    home: Sequence[LabelledMeasurement],
    away: Sequence[LabelledMeasurement],
    unfamiliar_above: float,
    coverage: float = COVERAGE,
) -> IntervalModel:
    """The interval model of networks that measure images like those with exact references, and others.

    The unfamiliarity of the image is one more feature of the expected error. Two factors scale it to intervals, one for
    familiar and one for unfamiliar images. They are chosen together such that the share `coverage` of the references
    lies inside at home and, separately, elsewhere, whatever the origin that each image is taken for (Mondrian conformal
    prediction, with the groups that the references belong to).

    Args:
        home: measurements with exact references, all with unfamiliarity; at least `MIN_IMAGES`.
        away: measurements of images from elsewhere, alike. Their references' own roughness becomes part of the
            interval.
        unfamiliar_above: unfamiliarity from which an image counts as unfamiliar.
        coverage: share of the references that the interval is to contain, 0 to 1.

    Raises:
        DatasetError: if there are too few measurements.

    References: Vovk, Lindsay, Nouretdinov, Gammerman: Mondrian confidence machine, technical report, 2003.
    """
    check_count(min(len(home), len(away)))
    model = fit_interval_model([*home, *away], (*COMMON_FEATURES, UNFAMILIARITY), coverage)
    model = scale_to_errors(model, home)
    own, far = (_scores(model, group, unfamiliar_above) for group in (home, away))
    factors = [model.interval_factor, model.interval_factor]
    for _ in range(10):  # either factor serves a few images of the other group
        factors = [_factor(own, 0, factors[1], coverage), factors[1]]
        factors = [factors[0], _factor(far, 1, factors[0], coverage)]
    return replace(
        model,
        interval_factor=factors[0],
        unfamiliar_factor=factors[1],
        unfamiliar_above=unfamiliar_above,
        n_images=len(home) + len(away),
    )


def extend_to_unfamiliar(
    model: IntervalModel, away: Sequence[LabelledMeasurement], unfamiliar_above: float
) -> IntervalModel:
    """A model calibrated at home, with a second factor with which its intervals hold elsewhere, too.

    Familiar images keep their intervals. This serves a model whose home calibration rests on other trainings.

    Args:
        model: calibrated at home.
        away: as for `fit_shifted_intervals`.
        unfamiliar_above: as for `fit_shifted_intervals`.

    Raises:
        DatasetError: if there are too few measurements.
    """
    check_count(len(away))
    factor = _factor(_scores(model, away, unfamiliar_above), 1, model.interval_factor, model.coverage)
    return replace(model, unfamiliar_factor=max(factor, model.interval_factor), unfamiliar_above=unfamiliar_above)


def _scores(
    model: IntervalModel, group: Sequence[LabelledMeasurement], unfamiliar_above: float
) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Error over expected error of each measurement, and whether it counts as unfamiliar."""
    ratios = [item.error_mm / model.expected_error_mm(item.features) for item in group]
    return np.array(ratios), np.array([item.features[UNFAMILIARITY] > unfamiliar_above for item in group])


def _factor(
    scores: tuple[NDArray[np.float64], NDArray[np.bool_]], kind: int, other_factor: float, coverage: float
) -> float:
    """The factor of the images of one kind (0 familiar, 1 unfamiliar) with which the whole group is covered."""
    ratios, is_unfamiliar = scores
    own = ratios[is_unfamiliar == bool(kind)]
    if not own.size:
        return other_factor
    rank = math.ceil((len(ratios) + 1) * coverage) - int((ratios[is_unfamiliar != bool(kind)] <= other_factor).sum())
    return float(np.sort(own)[min(max(rank, 1), len(own)) - 1])


def scale_to_errors(model: IntervalModel, measured: Sequence[LabelledMeasurement]) -> IntervalModel:
    """The model with the level of its expected errors, the interval's factor and the review limit set by `measured`.

    The mean expected error becomes the mean error. The weights of the features stay.

    Raises:
        DatasetError: if there are too few measurements.
    """
    check_count(len(measured))
    expected_sum_mm = sum(model.expected_error_mm(item.features) for item in measured)
    ratio = max(sum(item.error_mm for item in measured), _ERROR_FLOOR_MM) / expected_sum_mm
    model = replace(model, intercept=model.intercept + math.log(ratio))
    errors_mm = np.array([item.error_mm for item in measured])
    expected_mm = np.array([model.expected_error_mm(item.features) for item in measured])
    others = expected_mm[errors_mm <= LARGE_ERROR_MM]
    return replace(
        model,
        interval_factor=conformal_quantile(errors_mm / expected_mm, model.coverage),
        review_above_mm=float(np.quantile(others if others.size else expected_mm, 1.0 - REVIEW_BUDGET)),
    )


def check_count(n_images: int) -> None:
    """Returns if there are enough measurements to calibrate with.

    Raises:
        DatasetError: if there are fewer than `MIN_IMAGES`.
    """
    if n_images < MIN_IMAGES:
        raise DatasetError(f"{n_images} measured images; a calibration needs at least {MIN_IMAGES}")


def feature_matrix(measured: Sequence[Mapping[str, float]], names: Sequence[str]) -> NDArray[np.float64]:
    """The named features (n, len(names)) of n measurements."""
    return np.array([[features[name] for name in names] for features in measured])


def _fit_scale(
    design: NDArray[np.float64], errors: NDArray[np.float64], coverage: float
) -> tuple[float, NDArray[np.float64]]:
    """Intercept and non-negative slopes of the logarithm of the error's quantile `coverage`.

    This is quantile regression with a ridge on the slopes; the loss is smooth and convex. The quantile is fitted rather
    than the mean error, because a few large errors of small heads would decide the mean.

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
    """The ceil((n + 1) coverage)-th smallest of n scores; the largest where that rank is more than n.

    References: Vovk, Gammerman, Shafer: Algorithmic Learning in a Random World, 2005.
    """
    rank = min(math.ceil((len(scores) + 1) * coverage), len(scores))
    return float(np.sort(scores)[rank - 1])
