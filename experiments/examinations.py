"""How far several images of one examination narrow the error: correlation, median, and the share inside its interval.

    python -m experiments.examinations --details experiments/calibration/folds.csv --labels datasets/hc18_labelled.json

The measurements are of networks that had not seen the examination. The reference of an examination is the median of its
images' references. Exit code: 0 printed; 1 the intervals of medians hold less than they should; 2 bad input.
"""

from __future__ import annotations

import argparse
import math
import statistics
import sys
from collections import defaultdict
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from fetal_hc_cli import new_parser, reports_bad_input
from hc18.measurement.groups import GroupBy, summarize_group
from hc18.measurement.interval_model import Interval
from hc18.measurement.rows import MeasurementRow, RowStatus
from hc18.uncertainty.labelled_measurements import read_labelled_measurements
from hc18.uncertainty.validation import ValidatedInterval, validate_intervals

MIN_COVERAGE = 0.88


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--details", type=Path, required=True, metavar="CSV", help="of images that were not trained on")
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE.json", help="of fetal-hc convert")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    measured, _ = read_labelled_measurements(options.details, options.labels)
    examinations: dict[str, list[ValidatedInterval]] = defaultdict(list)
    for item in validate_intervals(measured):
        examinations[item.measured.group].append(item)
    several = [items for items in examinations.values() if len(items) > 1]
    pairs = [
        (one.measured.hc_mm - one.measured.reference_hc_mm, other.measured.hc_mm - other.measured.reference_hc_mm)
        for items in several
        for one, other in combinations(items, 2)
    ]
    apart = statistics.mean(
        abs(one.measured.reference_hc_mm - other.measured.reference_hc_mm)
        for items in several
        for one, other in combinations(items, 2)
    )
    correlation = float(np.corrcoef(np.array(pairs + [(b, a) for a, b in pairs]).T)[0, 1])
    print(
        f"{len(several)} examinations with {sum(map(len, several))} images: errors of two images correlate by "
        f"{correlation:.2f}, their references differ by {apart:.1f} mm on average"
    )
    single_mm = [abs(i.measured.hc_mm - i.measured.reference_hc_mm) for items in several for i in items]
    errors_mm, covered, widths_mm = [], [], []
    for items in several:
        reference_mm = statistics.median(item.measured.reference_hc_mm for item in items)
        found = summarize_group("", [_row(item) for item in items], GroupBy.EXAMINATION)
        assert found.hc_median_mm is not None
        assert found.low_mm is not None
        assert found.high_mm is not None
        errors_mm.append(abs(found.hc_median_mm - reference_mm))
        covered.append(found.low_mm <= reference_mm <= found.high_mm)
        widths_mm.append(found.high_mm - found.low_mm)
    share = statistics.mean(covered)
    print(
        f"mean error of one image {statistics.mean(single_mm):.2f} mm, "
        f"of the median {statistics.mean(errors_mm):.2f} mm; its interval "
        f"is {statistics.mean(widths_mm):.1f} mm wide and holds {share:.1%} of the references "
        f"(standard error {math.sqrt(share * (1 - share) / len(several)):.1%}, at least {MIN_COVERAGE:.0%} wanted)"
    )
    return 0 if share >= MIN_COVERAGE else 1


def _row(item: ValidatedInterval) -> MeasurementRow:
    """A measurement with its interval, as a details table has it."""
    interval = Interval(*item.interval_mm, item.expected_error_mm, None)
    return MeasurementRow(item.measured.filename, RowStatus.OK, "", hc_mm=item.measured.hc_mm, interval=interval)


if __name__ == "__main__":
    sys.exit(main())
