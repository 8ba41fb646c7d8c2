"""Calibrate the intervals of a model, from measurements of images it was not trained on, and store them in its bundle.

    fetal-hc calibrate --out-of-fold fold0_details.csv datasets/hc18_val.json \
        --model model.zip --output calibrated.zip --report output/intervals

Give --out-of-fold once per fold: the details of the model that was not trained on the images of the JSON file. Prints
coverage and width of the 90 % interval and what the review mark catches, each image by a model fitted without its
examination.

Exit code: 0 done; 1 the overall coverage is outside 88 to 92 %; 2 bad input, nothing written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from fetal_hc.errors import ConfigError
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc.io.tables import to_csv_text
from fetal_hc.model.bundle import INTERVALS
from fetal_hc.model.checksum import file_sha256
from fetal_hc_cli import check_together, new_parser, reports_bad_input
from hc18.measurement.image_checks import IMAGE_CHECKS, ImageChecks
from hc18.measurement.interval_model import IntervalModel
from hc18.reports.interval_figure import interval_figure
from hc18.training.bundle_parts import add_intervals, read_head_bundle
from hc18.uncertainty.calibration import (
    COVERAGE,
    LARGE_ERROR_MM,
    REVIEW_BUDGET,
    LabelledMeasurement,
    extend_to_unfamiliar,
    fit_interval_model,
    fit_shifted_intervals,
)
from hc18.uncertainty.labelled_measurements import (
    out_of_fold_table,
    read_away_measurements,
    read_labelled_measurements,
)
from hc18.uncertainty.validation import (
    ValidatedInterval,
    ValidationReport,
    cross_validate,
    report_validation,
    validate_intervals,
    validate_shifted_intervals,
    without_groups,
)

_MAKERS = {IMAGE_CHECKS: "calibrate-checks", INTERVALS: "calibrate"}  # of the sections that --away needs
COVERAGE_BOUNDS = (0.88, 0.92)
_COLUMNS = (
    "filename", "reference_hc_mm", "hc_mm", "error_mm", "expected_error_mm", "hc_low_mm", "hc_high_mm", "covered",
    "review",
)  # fmt: skip
# Measurements of all folds -> interval model, and remarks to print.
Fit = Callable[[Sequence[LabelledMeasurement]], tuple[IntervalModel, str]]


def build_parser(text: str = __doc__ or "") -> argparse.ArgumentParser:
    """The options of a calibration; `text` describes the command."""
    parser = new_parser(text)
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
        "--away",
        nargs=2,
        type=Path,
        metavar=("DETAILS.csv", "LABELLED.json"),
        help="the same for heads of other hospitals; rows and --model come from `fetal-hc calibrate-checks`",
    )
    parser.add_argument(
        "--keep-home", action="store_true", help="with --away: keep the calibration of --model for familiar images"
    )
    parser.add_argument("--model", type=Path, metavar="FILE", help="model to store the calibration in")
    parser.add_argument("--output", type=Path, metavar="FILE.zip", help="where to write that model, as a bundle")
    parser.add_argument(
        "--rows", type=Path, metavar="FILE.csv", help="also write the rows used, of all folds, as one details file"
    )
    parser.add_argument("--report", type=Path, metavar="DIR", help="folder for intervals.csv and intervals.png")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    parser = build_parser()
    return run(parser, parser.parse_args(argv), lambda measured: (fit_interval_model(measured), ""))


def run(parser: argparse.ArgumentParser, options: argparse.Namespace, fit: Fit) -> int:
    """Validates intervals on all folds, fits the model to store, writes what the options ask for; the exit code."""
    check_together(parser, options, "model", "output")
    measured, unmeasured = [], []
    for details, labelled in options.out_of_fold:
        found, without = read_labelled_measurements(details, labelled)
        measured += found
        unmeasured += without
    rows = out_of_fold_table(options.out_of_fold) if options.rows is not None else ""
    if options.away is None:
        validated, (model, remarks) = validate_intervals(measured), fit(measured)
    else:
        if options.model is None:
            parser.error("--away needs --model, whose image checks say which images are unfamiliar")
        validated, model, remarks = _calibrate_shifted(measured, options)
    report = report_validation(validated)
    if options.output is not None:
        add_intervals(read_head_bundle(options.model), model).write(options.output)
    if options.rows is not None:
        write_text_atomic(options.rows, rows)
    if options.report is not None:
        options.report.mkdir(parents=True, exist_ok=True)
        write_text_atomic(options.report / "intervals.csv", _table(validated))
        interval_figure(validated, report, COVERAGE).savefig(options.report / "intervals.png", dpi=110)
    print(summary(report, len(unmeasured)))
    if remarks:
        print(remarks)
    terms = " + ".join(f"{weight:.3f} {name}" for name, weight in model.weights.items())
    print(f"expected error: exp({model.intercept:.3f} + {terms})")
    if options.output is not None:
        print(f"{options.output}: SHA-256 {file_sha256(options.output)}")
    low, high = COVERAGE_BOUNDS
    return 0 if low <= report.groups["all"][1] <= high else 1


def _calibrate_shifted(
    home: Sequence[LabelledMeasurement], options: argparse.Namespace
) -> tuple[list[ValidatedInterval], IntervalModel, str]:
    """Validated intervals at home, the model for home and away, and how well the intervals hold away.

    Raises:
        DatasetError: if the measurements cannot be used.
        ConfigError: if the model has no image checks.
    """
    sections = read_head_bundle(options.model).sections
    needed = (IMAGE_CHECKS, *((INTERVALS,) if options.keep_home else ()))
    if missing := [name for name in needed if name not in sections]:
        raise ConfigError(
            f"{options.model}: has no section '{missing[0]}'; fit it first with fetal-hc {_MAKERS[missing[0]]}"
        )
    limit = ImageChecks.from_section(sections[IMAGE_CHECKS], str(options.model)).unfamiliar_above
    away, unmeasured = read_away_measurements(*options.away)
    if options.keep_home:
        kept = IntervalModel.from_section(sections[INTERVALS], str(options.model))
        model = extend_to_unfamiliar(kept, away, limit)
        of_away = cross_validate(away, lambda groups: extend_to_unfamiliar(kept, without_groups(away, groups), limit))
        validated = validate_intervals(home)
    else:
        model = fit_shifted_intervals(home, away, limit)
        both = validate_shifted_intervals(home, away, limit)
        validated, of_away = both[: len(home)], both[len(home) :]
    inside = sum(item.is_covered for item in of_away) / len(of_away)
    half = sum((item.interval_mm[1] - item.interval_mm[0]) / 2.0 / item.measured.hc_mm for item in of_away) / len(
        of_away
    )
    remark = (
        f"{options.away[0]}: {len(of_away)} images, {inside:.1%} inside, mean half width {half:.1%} of the "
        f"circumference; {len(unmeasured)} without an outline"
    )
    return validated, model, remark


def summary(report: ValidationReport, n_unmeasured: int) -> str:
    """A table of coverage and width per group, and what the review mark catches."""
    lines = [f"{'group':<8}{'images':>7}{'inside':>9}{'mean width':>12}"]
    for name, (n_images, share, width_mm) in report.groups.items():
        lines.append(f"{name:<8}{n_images:>7}{share:>9.1%}{width_mm:>9.1f} mm")
    lines.append(
        f"review mark: {report.sensitivity:.0%} of the {report.n_large} errors above {LARGE_ERROR_MM:g} mm, "
        f"{report.false_review:.0%} of the others; ADF {report.adf_all_mm:.2f} mm, of those not marked "
        f"{report.adf_kept_mm:.2f} mm; {n_unmeasured} images without a measurement"
    )
    lines.append(
        f"if errors were normal and of exactly the expected size, no mark could catch more than "
        f"{report.attainable:.0%} of those above {LARGE_ERROR_MM:g} mm at {REVIEW_BUDGET:.0%} of the others"
    )
    return "\n".join(lines)


def _table(validated: Sequence[ValidatedInterval]) -> str:
    rows = []
    for item in validated:
        measured, (low_mm, high_mm) = item.measured, item.interval_mm
        hc_mm, error_mm = measured.hc_mm, measured.error_mm
        numbers = (measured.reference_hc_mm, hc_mm, error_mm, item.expected_error_mm, low_mm, high_mm)
        texts = (f"{number:.4f}" for number in numbers)
        rows.append((measured.filename, *texts, int(item.is_covered), int(item.needs_review)))
    return to_csv_text(_COLUMNS, rows)


if __name__ == "__main__":
    sys.exit(main())
