"""Calibrate a model that was trained on all images, with the errors of models that had some left.

    fetal-hc recalibrate --out-of-fold folds.csv datasets/hc18_train.json \
        --reference-run reference.csv datasets/hc18_val.json \
        --unlabelled folds_unlabelled.csv reference_unlabelled.csv model_unlabelled.csv \
        --model model.zip --output calibrated.zip

A model that was trained on every labelled image has no held-out error of its own. Three sources replace it. The errors
of the folds (--out-of-fold) say what the error grows with. A reference run (--reference-run) is a training like that of
the model which had some images left: its errors say how large the error is. The quality features of all three on images
without labels (--unlabelled) make them comparable, because the longer a training, the more confident its masks.
Without --reference-run this is `fetal-hc calibrate` for folds alone; --longer is the earlier name of the option.

Exit code: 0 done; 1 the overall coverage is outside 88 to 92 %; 2 bad input, nothing written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from fetal_hc_cli import check_together, reports_bad_input
from fetal_hc_cli.training import calibrate
from hc18.measurement.interval_model import IntervalModel
from hc18.uncertainty.calibration import (
    LabelledMeasurement,
    check_count,
    feature_matrix,
    fit_interval_model,
    scale_to_errors,
)
from hc18.uncertainty.labelled_measurements import read_common_features, read_labelled_measurements
from hc18.uncertainty.validation import ValidatedInterval, cross_validate, report_validation, without_groups

# Features that mean the same in every training of a network; all others are compared with their usual values.
_SAME_IN_ALL_TRAININGS = frozenset({"log_hc"})


def build_parser() -> argparse.ArgumentParser:
    parser = calibrate.build_parser(__doc__ or "")
    parser.add_argument(
        "--reference-run",
        "--longer",
        nargs=2,
        type=Path,
        metavar=("DETAILS.csv", "LABELLED.json"),
        help="results of a training like that of --model, and labelled images it was not trained on",
    )
    parser.add_argument(
        "--unlabelled",
        nargs=3,
        type=Path,
        metavar=("OUT_OF_FOLD.csv", "REFERENCE.csv", "MODEL.csv"),
        help="with --reference-run: details of the folds, of the reference run and of the model, of images that none "
        "was trained on; the first has a row of each fold",
    )
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    options = parser.parse_args(argv)
    check_together(parser, options, "reference-run", "unlabelled")

    def fit(of_folds: Sequence[LabelledMeasurement]) -> tuple[IntervalModel, str]:
        if options.reference_run is None:
            return fit_interval_model(of_folds), ""
        return _fit_from_reference(of_folds, options.reference_run, options.unlabelled)

    return calibrate.run(parser, options, fit)


def _fit_from_reference(
    of_folds: Sequence[LabelledMeasurement], reference_run: tuple[Path, Path], unlabelled: tuple[Path, Path, Path]
) -> tuple[IntervalModel, str]:
    """The calibration of the model, and how well the same procedure holds for the reference run."""
    of_reference, unmeasured = read_labelled_measurements(*reference_run)
    folds_features, reference_features, model_features = read_common_features(*unlabelled)
    validated = validate_reference_run(of_folds, of_reference, reference_features, folds_features)
    fitted = fit_reference_run(of_folds, of_reference, reference_features, folds_features)
    model = transfer_calibration(fitted, model_features, reference_features)
    as_a_fold = cross_validate(of_reference, lambda groups: fit_interval_model(without_groups(of_folds, groups)))
    _, share, width_mm = report_validation(as_a_fold).groups["all"]
    remark = (
        f"{reference_run[0]}, judged by its own errors and those of the others:\n"
        f"{calibrate.summary(report_validation(validated), len(unmeasured))}\n"
        f"read as if it were one of the others: {share:.1%} inside, mean width {width_mm:.1f} mm"
    )
    return model, remark


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


if __name__ == "__main__":
    sys.exit(main())
