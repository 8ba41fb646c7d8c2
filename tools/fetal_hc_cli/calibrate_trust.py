"""Fit how far a model errs, from images it was not trained on, and store that in its file.

    python tools/calibrate_trust.py --out-of-fold fold0_details.csv datasets/hc18_val.json \
        --model model.onnx --output hc18/shipped/hc18.onnx --report output/trust

Give --out-of-fold once per fold: the details of the model that was not trained on the images of the JSON file. Prints
coverage and width of the 90 % interval and what the review mark catches, each image judged by a fit without its
examination.

A model that was trained on all images has none to be calibrated on. --longer takes the results of a training like it
that had some left: the errors of --out-of-fold say what the error grows with, those of --longer how large it is. What
each of the networks shows of itself on images without labels (--unlabelled) makes their evidence comparable: the longer
a training, the surer it is of itself.

Exit code: 0 done; 1 the overall coverage is outside 88 to 92 %; 2 bad input, nothing written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.errors import FetalHCError
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc.model.checksum import file_sha256
from hc18.measure.interval_model import IntervalModel
from hc18.reports.interval_figure import trust_figure
from hc18.training.interval_metadata import write_trusted_model
from hc18.uncertainty.calibration import (
    COVERAGE,
    LARGE_ERROR_MM,
    REVIEW_BUDGET,
    CalibrationCase,
    fit_longer_training,
    fit_trust_model,
    match_network,
)
from hc18.uncertainty.calibration_cases import out_of_fold_table, read_calibration_cases, read_common_evidence
from hc18.uncertainty.validation import (
    CheckedCase,
    TrustReport,
    check_longer_training,
    check_trust_model,
    report_trust,
)

COVERAGE_BOUNDS = (0.88, 0.92)


def build_parser() -> argparse.ArgumentParser:
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--out-of-fold",
        nargs=2,
        type=Path,
        action="append",
        required=True,
        metavar=("DETAILS.csv", "LABELLED.json"),
        help="results of a model and the labelled images it was not trained on",
    )
    parser.add_argument(
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
        metavar=("OUT_OF_FOLD.csv", "LONGER.csv", "MODEL.csv"),
        help="with --longer: what the three show on images that none was trained on; the first has a row of each fold",
    )
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="model to store the calibration in")
    parser.add_argument("--output", type=Path, metavar="FILE.onnx", help="where to write that model")
    parser.add_argument(
        "--rows", type=Path, metavar="FILE.csv", help="also write the rows used, of all folds, as one details file"
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder for trust.csv and trust.png")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    options = parser.parse_args(argv)
    if (options.model is None) != (options.output is None):
        parser.error("--model and --output belong together")
    if (options.longer is None) != (options.unlabelled is None):
        parser.error("--longer and --unlabelled belong together")
    try:
        cases, unmeasured = [], []
        for details, labelled in options.out_of_fold:
            found, without = read_calibration_cases(details, labelled)
            cases += found
            unmeasured += without
        rows = out_of_fold_table(options.out_of_fold) if options.rows is not None else ""
        checked = check_trust_model(cases)
        report = report_trust(checked)
        if options.longer is None:
            model, longer = fit_trust_model(cases), ""
        else:
            model, longer = _fit_longer(cases, options.longer, options.unlabelled)
        if options.output is not None:
            write_trusted_model(options.model, options.output, model)
        if options.rows is not None:
            write_text_atomic(options.rows, rows)
        if options.report is not None:
            options.report.mkdir(parents=True, exist_ok=True)
            write_text_atomic(options.report / "trust.csv", _table(checked))
            trust_figure(checked, report, COVERAGE).savefig(options.report / "trust.png", dpi=110)
    except FetalHCError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(_summary(report, len(unmeasured)))
    if longer:
        print(f"{options.longer[0]}, judged by its own errors and those of the others:\n{longer}")
    print(
        f"expected error: exp({model.intercept:.3f} + "
        + " + ".join(f"{w:.3f} {n}" for n, w in model.weights.items())
        + ")"
    )
    if options.output is not None:
        print(f"{options.output}: SHA-256 {file_sha256(options.output)}")
    low, high = COVERAGE_BOUNDS
    return 0 if low <= report.groups["all"][1] <= high else 1


def _fit_longer(
    cases: Sequence[CalibrationCase], longer: tuple[Path, Path], unlabelled: tuple[Path, Path, Path]
) -> tuple[IntervalModel, str]:
    """The calibration for the model that was trained on all images, and how it holds for the one like it."""
    longer_cases, unmeasured = read_calibration_cases(*longer)
    of_folds, of_longer, of_model = read_common_evidence(*unlabelled)
    report = report_trust(check_longer_training(cases, longer_cases, of_longer, of_folds))
    model = match_network(fit_longer_training(cases, longer_cases, of_longer, of_folds), of_model, of_longer)
    _, share, width_mm = report_trust(check_trust_model(cases, judged=longer_cases)).groups["all"]
    remark = f"read as if it were one of the others: {share:.1%} inside, mean width {width_mm:.1f} mm"
    return model, f"{_summary(report, len(unmeasured))}\n{remark}"


def _summary(report: TrustReport, n_unmeasured: int) -> str:
    lines = [f"{'group':<8}{'images':>7}{'inside':>9}{'mean width':>12}"]
    for name, (n_images, share, width_mm) in report.groups.items():
        lines.append(f"{name:<8}{n_images:>7}{share:>9.1%}{width_mm:>9.1f} mm")
    lines.append(
        f"review mark: {report.sensitivity:.0%} of the {report.n_large} errors above {LARGE_ERROR_MM:g} mm, "
        f"{report.false_review:.0%} of the others; ADF {report.adf_all_mm:.2f} mm, of those not marked "
        f"{report.adf_kept_mm:.2f} mm; {n_unmeasured} images without a measurement"
    )
    lines.append(
        f"were errors normal and of exactly the expected size, no mark could catch more than {report.attainable:.0%} "
        f"of those above {LARGE_ERROR_MM:g} mm at {REVIEW_BUDGET:.0%} of the others"
    )
    return "\n".join(lines)


def _table(checked: Sequence[CheckedCase]) -> str:
    lines = ["filename,reference_hc_mm,hc_mm,error_mm,expected_error_mm,hc_low_mm,hc_high_mm,covered,review"]
    for item in checked:
        case, (low_mm, high_mm) = item.case, item.interval_mm
        numbers = (case.reference_hc_mm, case.evidence.hc_mm, case.error_mm, item.expected_error_mm, low_mm, high_mm)
        text = ",".join(f"{number:.4f}" for number in numbers)
        lines.append(f"{case.filename},{text},{int(item.is_covered)},{int(item.needs_review)}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    sys.exit(main())
