"""The intervals of a training whose errors are not known, from those of similar trainings with images left out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from hc18.measurement.interval_model import IntervalModel
from hc18.uncertainty.calibration import (
    LabelledMeasurement,
    check_count,
    feature_matrix,
    fit_interval_model,
    scale_to_errors,
)
from hc18.uncertainty.validation import ValidatedInterval, cross_validate, without_groups

# Features that mean the same in every training of a network; all others are compared with their usual values.
_SAME_IN_ALL_TRAININGS = frozenset({"log_hc"})


def fit_reference_run(
    of_folds: Sequence[LabelledMeasurement],
    of_reference: Sequence[LabelledMeasurement],
    reference_features: Sequence[Mapping[str, float]],
    folds_features: Sequence[Mapping[str, float]],
) -> IntervalModel:
    """The interval model of a training that was measured in fewer images than the folds.

    Args:
        of_folds: measurements of the folds: they say what the error grows with.
        of_reference: measurements of the reference run, at least `MIN_IMAGES`: they say how large the error is.
        reference_features: features of the reference run, for `transfer_calibration`.
        folds_features: features of the folds on the same images.

    Raises:
        DatasetError: if there are too few measurements or images.
    """
    check_count(len(of_reference))
    return scale_to_errors(
        transfer_calibration(fit_interval_model(of_folds), reference_features, folds_features), of_reference
    )


def transfer_calibration(
    model: IntervalModel, own: Sequence[Mapping[str, float]], others: Sequence[Mapping[str, float]]
) -> IntervalModel:
    """The interval model for another training of the network than those whose errors it was fitted to.

    A longer training leaves less entropy in its masks and smoother contours. Read as if they came from the others,
    these would promise smaller errors than it makes. So its features are standardised: each is taken as many standard
    deviations above the mean as the others' feature was. That needs the same images in both, but no labels.

    Args:
        model: fitted to `others`' errors.
        own: features of the training that the result is for; at least `MIN_IMAGES`, that neither was trained
            on.
        others: features of the trainings whose errors were fitted, on the same images.

    Raises:
        DatasetError: if there are too few images.
    """
    check_count(min(len(own), len(others)))
    names = [name for name in model.weights if name not in _SAME_IN_ALL_TRAININGS]
    own_values, other_values = feature_matrix(own, names), feature_matrix(others, names)
    scale = (other_values.std(axis=0) + 1e-9) / (own_values.std(axis=0) + 1e-9)
    shift = other_values.mean(axis=0) - scale * own_values.mean(axis=0)
    weights, intercept = dict(model.weights), model.intercept
    for name, factor, offset in zip(names, scale.tolist(), shift.tolist(), strict=True):
        intercept += model.weights[name] * offset
        weights[name] *= factor
    return replace(model, intercept=intercept, weights=weights)


def validate_reference_run(
    of_folds: Sequence[LabelledMeasurement],
    of_reference: Sequence[LabelledMeasurement],
    reference_features: Sequence[Mapping[str, float]],
    folds_features: Sequence[Mapping[str, float]],
) -> list[ValidatedInterval]:
    """The interval of every measurement of the reference run from a `fit_reference_run` without its group.

    Raises:
        DatasetError: if there are too few measurements or groups.
    """
    return cross_validate(
        of_reference,
        lambda groups: fit_reference_run(
            without_groups(of_folds, groups), without_groups(of_reference, groups), reference_features, folds_features
        ),
    )
