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
from collections.abc import Sequence
from pathlib import Path

from fetal_hc_cli import check_together, reports_bad_input
from fetal_hc_cli.training import calibrate
from hc18.measurement.interval_model import IntervalModel
from hc18.uncertainty.calibration import LabelledMeasurement, fit_interval_model
from hc18.uncertainty.labelled_measurements import read_common_features, read_labelled_measurements
from hc18.uncertainty.transfer import fit_reference_run, transfer_calibration, validate_reference_run
from hc18.uncertainty.validation import cross_validate, report_validation, without_groups


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


if __name__ == "__main__":
    sys.exit(main())
