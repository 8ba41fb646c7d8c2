"""Compare ellipses between detection and refinement stage, and write their rows.

    python -m experiments.stage_mean --refined folds.csv --detected folds_detection_stage.csv \
        --labelled datasets/hc18_train.json datasets/hc18_val.json [--share 0.5 --output mean.csv]

Both details tables come from the same detectors, with and without the refiner. Prints the errors for several shares of
the refinement stage. --output writes the rows of --share as a model that `fetal-hc attach-refiner --refinement-share`
makes would measure them.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from fetal_hc.errors import ConfigError
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.evaluation.metrics import dice
from hc18.evaluation.score_summary import TRIMESTERS, trimester_of
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.details import read_details
from hc18.measurement.rows import MeasurementRow
from hc18.uncertainty.labelled_measurements import read_reference_ellipses
from hc18.uncertainty.unseen_images import read_measured_images, write_details

SHARES = (1.0, 0.75, 0.5, 0.25, 0.0)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--refined", type=Path, required=True, metavar="CSV", help="details with the refinement stage")
    parser.add_argument("--detected", type=Path, required=True, metavar="CSV", help="details of the detection stage")
    parser.add_argument("--labelled", type=Path, nargs="+", default=[], metavar="JSON", help="references")
    parser.add_argument("--share", type=float, default=0.5, metavar="S", help="of the rows to write (%(default)s)")
    parser.add_argument("--output", type=Path, metavar="CSV", help="details to write")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    if not 0.0 <= options.share <= 1.0:
        raise ConfigError(f"--share is {options.share}; expected 0 to 1")
    refined = read_details(options.refined)
    detected = {row.file_name: row for row in read_details(options.detected)}
    if options.output is not None:
        write_details(options.output, (blend(row, detected.get(row.file_name), options.share) for row in refined))
    if options.labelled:
        images = read_measured_images(options.refined, options.labelled)
        ellipses = read_reference_ellipses(options.labelled)
        for share in SHARES:
            rows = [blend(item.row, detected.get(item.row.file_name), share) for item in images]
            references_mm = [item.record.extra.get("hc_mm") for item in images]
            print(f"share {share:4.2f}: {_errors(rows, references_mm)}; {_overlaps(rows, ellipses)}")
    return 0


def blend(refined: MeasurementRow, detected: MeasurementRow | None, share: float) -> MeasurementRow:
    """The row with the ellipse between both stages; the refined one if the detection stage has none.

    Args:
        refined: of the model with a refiner.
        detected: of the same detector without one.
        share: of the refinement stage.
    """
    if refined.ellipse_px is None or detected is None or detected.ellipse_px is None:
        return refined
    ellipse_px = detected.ellipse_px.blended(refined.ellipse_px, share)
    moved = 100.0 * abs(detected.ellipse_px.circumference() / refined.ellipse_px.circumference() - 1.0)
    sizes = refined.pixel_size_xy_mm
    ellipse_mm = None if sizes is None else ellipse_px.to_mm(*sizes)
    return replace(
        refined,
        ellipse_px=ellipse_px,
        hc_px=ellipse_px.circumference(),
        ellipse_mm=ellipse_mm,
        hc_mm=None if ellipse_mm is None else ellipse_mm.circumference(),
        quality=replace(refined.quality, stages_percent=moved),
    )


def _errors(rows: Sequence[MeasurementRow], references_mm: Sequence[float | None]) -> str:
    """DF, ADF and p95 in mm, and DF per trimester."""
    pairs = [(row.hc_mm, known) for row, known in zip(rows, references_mm, strict=True) if row.hc_mm and known]
    if not pairs:
        return "no millimetres"
    errors = np.array([measured - known for measured, known in pairs])
    trimesters = np.array([trimester_of(known) for _, known in pairs])
    by_trimester = (f"{name} {errors[trimesters == name].mean():+.2f}" for name in TRIMESTERS if name in trimesters)
    return (
        f"{len(pairs)} images, ADF {abs(errors).mean():.3f} mm, DF {errors.mean():+.3f}, p95 "
        f"{np.percentile(abs(errors), 95):.2f}, DF by trimester {', '.join(by_trimester)}"
    )


def _overlaps(rows: Sequence[MeasurementRow], references: Mapping[str, Ellipse]) -> str:
    """Relative error of the circumference in px, and DSC."""
    pairs = [(row.ellipse_px, references[row.file_name]) for row in rows if row.ellipse_px is not None]
    relative = [100.0 * (found.circumference() / known.circumference() - 1.0) for found, known in pairs]
    overlaps = [100.0 * dice(found, known) for found, known in pairs]
    return (
        f"relative error {np.mean(relative):+.2f} %, median |error| {np.median(np.abs(relative)):.2f} %, DSC mean "
        f"{np.mean(overlaps):.2f} %, median {np.median(overlaps):.2f} %"
    )


if __name__ == "__main__":
    sys.exit(main())
