r"""Print every bound for images unlike HC18's: plane, intervals, accuracy on heads of another hospital.

    python -m benchmarks.outside_hc18 --hc18 checked/data_val.csv datasets/hc18_train.json datasets/hc18_val.json \
        --external checked/external_val.csv datasets/external.json \
        --no-head checked/negatives_val.csv datasets/negatives.json --output output/outside_hc18

Each option takes a details table and the COCO JSON files of its images. The tables of `calibrate-checks --rows` hold
what models say of images of patients that neither they nor their checks saw. Intervals are fitted here, each without
the patient. --model measures the images with one model instead and judges the intervals that it gives: only for images
it was not trained on. Draws the error against the share of images kept for both sets, and external heads.
Exit code 1 if a bound is missed.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from PIL import Image
from scipy.optimize import brentq
from scipy.stats import foldnorm, norm

from fetal_hc.io.images import read_image
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.evaluation.metrics import dice, hausdorff
from hc18.evaluation.overlay_items import OverlayItem
from hc18.evaluation.overlays import draw_case
from hc18.evaluation.score_summary import TRIMESTERS, trimester_of
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.batches import MeasureSettings
from hc18.measurement.flags import Flag
from hc18.measurement.rows import MeasurementRow
from hc18.uncertainty.calibration import LabelledMeasurement
from hc18.uncertainty.labelled_measurements import (
    read_away_measurements,
    read_labelled_measurements,
    read_reference_ellipses,
)
from hc18.uncertainty.unseen_images import MeasuredImage, measure_dataset, read_measured_images, write_details
from hc18.uncertainty.validation import ValidatedInterval, risk_coverage, validate_shifted_intervals

PLANE_FLAGS = frozenset({Flag.NOT_HEAD_PLANE, Flag.NO_MIDLINE})
_HOME, _AWAY = "HC18", "external heads"
_COLORS = {_HOME: "#0072B2", _AWAY: "#D55E00"}
# Of the model against careful outlines of 24 of the external heads, percent of the circumference: error and |error|.
_CAREFUL_MEAN, _CAREFUL_ABSOLUTE = -1.6, 2.3
_SHEET_COLUMNS, _CELL_WH = 4, (400, 300)


@dataclass(frozen=True, slots=True)
class Bound:
    """One figure and what it has to keep.

    Attributes:
        name: what it is.
        value: as measured.
        low: smallest value allowed.
        high: largest value allowed.
    """

    name: str
    value: float
    low: float = -np.inf
    high: float = np.inf

    @property
    def is_kept(self) -> bool:
        """Whether the figure is in its range."""
        return bool(self.low <= self.value <= self.high)

    def __str__(self) -> str:
        limits = f"{self.low:g} to {self.high:g}" if np.isfinite(self.low) and np.isfinite(self.high) else ""
        limits = limits or (f">= {self.low:g}" if np.isfinite(self.low) else f"<= {self.high:g}")
        return f"{self.name:<58}{self.value:>9.2f}   {limits:<14}{'' if self.is_kept else 'MISSED'}"


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    for option in ("--hc18", "--external", "--no-head"):
        parser.add_argument(
            option, nargs="+", type=Path, required=option != "--hc18", metavar="FILE", help="details, then COCO JSON"
        )
    parser.add_argument("--model", type=Path, metavar="FILE", help="measure with this model; the tables are written")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for the figures")
    parser.add_argument("--pictures", type=int, default=12, metavar="N", help="external heads to draw (%(default)s)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    given = {"hc18": options.hc18, "external": options.external, "no-head": options.no_head}
    given = {name: files for name, files in given.items() if files}
    if options.model is not None:
        for details, *labelled in given.values():
            settings = MeasureSettings(model=options.model, threads=1)
            write_details(details, (row for path in labelled for row in measure_dataset(path, settings)))
    images = {name: read_measured_images(details, labelled) for name, (details, *labelled) in given.items()}
    bounds = plane_bounds(images)
    intervals = _intervals(given, images, own=options.model is not None)
    bounds += interval_bounds(intervals) + accuracy_bounds(given, images)
    print("\n".join(str(bound) for bound in bounds))
    if _AWAY in intervals:
        print(reference_roughness(intervals[_AWAY]))
    for kind, count in _kinds(images["no-head"]).items():
        print(f"    {kind}: {count[1]} of {count[0]} measured, {count[2]} of them without a flag")
    _draw_risk(intervals).savefig(options.output / "risk_coverage.png", dpi=110)
    _draw_sheet(images["external"], given["external"][1:], options.pictures).save(options.output / "external_heads.jpg")
    return 0 if all(bound.is_kept for bound in bounds) else 1


def plane_bounds(images: Mapping[str, Sequence[MeasuredImage]]) -> list[Bound]:
    """Shares of images, in percent, that are measured, refused and flagged."""
    nothing = [item.row for item in images["no-head"]]
    measured = [row for row in nothing if row.ellipse_px is not None]
    unflagged = sum(not row.flags for row in measured)
    bounds = [
        Bound("no head: measured, %", 100.0 * len(measured) / len(nothing), high=10.0),
        Bound("no head: measured without a flag, %", 100.0 * unflagged / len(nothing), high=2.0),
    ]
    for name in ("hc18", "external"):
        rows = [item.row for item in images.get(name, ())]
        if rows:
            refused = sum(row.ellipse_px is None for row in rows)
            flagged = sum(bool(PLANE_FLAGS.intersection(row.flags)) for row in rows)
            bounds.append(Bound(f"{name}: heads refused, %", 100.0 * refused / len(rows), high=0.5))
            bounds.append(Bound(f"{name}: heads flagged for the plane, %", 100.0 * flagged / len(rows), high=3.0))
    return bounds


def interval_bounds(intervals: Mapping[str, Sequence[ValidatedInterval]]) -> list[Bound]:
    """Shares of references inside the intervals, in percent, and mean widths."""
    bounds = []
    if home := intervals.get(_HOME):
        bounds.append(Bound("hc18: references inside the 90 % interval, %", _inside(home), 88.0, 92.0))
        for name in TRIMESTERS:
            group = [item for item in home if trimester_of(item.measured.reference_hc_mm) == name]
            if group:
                bounds.append(Bound(f"hc18: the same, {name} trimester, %", _inside(group), 86.0, 94.0))
        bounds.append(Bound("hc18: mean width of the interval, mm", _width(home), high=9.9))
    away = intervals.get(_AWAY)
    if not away:
        return bounds
    bounds.append(Bound("external: references inside the 90 % interval, %", _inside(away), 85.0, 95.0))
    relative = np.mean([(item.interval_mm[1] - item.interval_mm[0]) / item.measured.hc_mm for item in away])
    bounds.append(Bound("external: mean half width, % of the circumference", 50.0 * float(relative), high=10.0))
    return bounds


def reference_roughness(items: Sequence[ValidatedInterval]) -> str:
    """How much of the scatter around the external references is their own, and how the intervals hold careful ones.

    A normal error against careful outlines follows from its mean and its mean absolute value. What is left of the
    variance against the rough references is their own, as both errors come from different people.
    """
    errors = np.array([100.0 * (i.measured.hc_mm / i.measured.reference_hc_mm - 1.0) for i in items])
    groups: dict[str, list[float]] = {}
    for item, error in zip(items, errors.tolist(), strict=True):
        groups.setdefault(item.measured.group, []).append(error)
    repeated = [np.subtract(*pair) for values in groups.values() for pair in combinations(values, 2)]
    careful_sd = brentq(lambda sd: foldnorm.mean(abs(_CAREFUL_MEAN) / sd, scale=sd) - _CAREFUL_ABSOLUTE, 0.1, 10.0)
    own_sd = math.sqrt(max(errors.var(ddof=1) - careful_sd**2, 0.0))
    halves = [50.0 * (i.interval_mm[1] - i.interval_mm[0]) / i.measured.hc_mm for i in items]
    inside = np.mean([np.diff(norm.cdf([-half, half], _CAREFUL_MEAN, careful_sd)) for half in halves])
    return (
        f"external: SD of the error {errors.std(ddof=1):.2f} %, {np.std(repeated) / math.sqrt(2.0):.2f} % between "
        f"{len(repeated)} pairs of images of one patient; against careful outlines SD {careful_sd:.2f} %, so the rough "
        f"references' own is {own_sd:.2f} %, around a mean {errors.mean() - _CAREFUL_MEAN:.1f} % smaller; of careful "
        f"outlines the intervals would hold {inside:.0%}"
    )


def accuracy_bounds(given: Mapping[str, Sequence[Path]], images: Mapping[str, Sequence[MeasuredImage]]) -> list[Bound]:
    """Errors of both sets."""
    bounds = _home_accuracy(images["hc18"], given["hc18"][1:]) if "hc18" in images else []
    pairs = _with_reference(images["external"], given["external"][1:])
    relative = [100.0 * (found.circumference() / known.circumference() - 1.0) for _, found, known in pairs]
    overlaps = [dice(found, known) for _, found, known in pairs]
    print(f"external: mean error {np.mean(relative):+.2f} %, SD {np.std(relative, ddof=1):.2f} %, {len(pairs)} heads")
    return [
        *bounds,
        Bound("external: median |error|, %", float(np.median(np.abs(relative))), high=2.0),
        Bound("external: median DSC, %", 100.0 * float(np.median(overlaps)), low=97.3),
    ]


def _home_accuracy(items: Sequence[MeasuredImage], labelled: Sequence[Path]) -> list[Bound]:
    """Errors of HC18's heads in mm."""
    pairs = _with_reference(items, labelled)
    known_mm = np.array([item.record.extra["hc_mm"] for item, _, _ in pairs])
    sizes_mm = np.array([item.record.extra["pixel_size_mm"] for item, _, _ in pairs])
    errors = sizes_mm * [found.circumference() for _, found, _ in pairs] - known_mm
    distances = sizes_mm * [hausdorff(found, known) for _, found, known in pairs]
    overlaps = [dice(found, known) for _, found, known in pairs]
    trimesters = np.array([trimester_of(hc_mm) for hc_mm in known_mm.tolist()])
    return [
        Bound("hc18: ADF, mm", float(abs(errors).mean()), high=1.75),
        Bound("hc18: |DF|, mm", abs(float(errors.mean())), high=0.10),
        *(
            Bound(f"hc18: |DF|, {name} trimester, mm", abs(float(errors[trimesters == name].mean())), high=0.8)
            for name in TRIMESTERS
            if name in trimesters
        ),
        Bound("hc18: DSC, %", 100.0 * float(np.mean(overlaps)), low=98.1),
        Bound("hc18: HD, mm", float(distances.mean()), high=1.15),
        Bound("hc18: p95 of |DF|, mm", float(np.percentile(abs(errors), 95)), high=4.8),
        Bound("hc18: missing heads", float(len(items) - len(pairs)), high=0.0),
    ]


def _with_reference(
    images: Sequence[MeasuredImage], labelled: Sequence[Path]
) -> list[tuple[MeasuredImage, Ellipse, Ellipse]]:
    """The measured images with their measured and their reference ellipses in px."""
    references = read_reference_ellipses(labelled)
    return [
        (item, item.row.ellipse_px, references[item.row.file_name])
        for item in images
        if item.row.ellipse_px is not None
    ]


def _intervals(
    given: Mapping[str, Sequence[Path]], images: Mapping[str, Sequence[MeasuredImage]], *, own: bool
) -> dict[str, list[ValidatedInterval]]:
    """The interval of each measured head: the one its row states, or one fitted without its patient."""
    home: list[LabelledMeasurement] = []
    for path in given.get("hc18", [])[1:]:
        home += read_labelled_measurements(given["hc18"][0], path)[0]
    away = read_away_measurements(given["external"][0], given["external"][1])[0]
    if own:
        rows = {item.row.file_name: item.row for group in images.values() for item in group}
        found = {_HOME: [_own(item, rows) for item in home], _AWAY: [_own(item, rows) for item in away]}
        return {name: [item for item in items if item is not None] for name, items in found.items()}
    flagged = [
        row.quality.unfamiliarity
        for row in (item.row for name in ("hc18", "external") for item in images.get(name, ()))
        if Flag.UNFAMILIAR_IMAGE in row.flags and row.quality.unfamiliarity is not None
    ]
    if not (home and flagged):
        return {}
    validated = validate_shifted_intervals(home, away, min(flagged) - 1e-6)
    return {_HOME: validated[: len(home)], _AWAY: validated[len(home) :]}


def _own(item: LabelledMeasurement, rows: Mapping[str, MeasurementRow]) -> ValidatedInterval | None:
    """The interval that the row of a measurement states; None if it states none, as without a pixel size."""
    row = rows[item.filename]
    if row.interval is None:
        return None
    expected_mm = row.interval.expected_error_mm or 0.0
    limits_mm = (row.interval.low_mm, row.interval.high_mm)
    return ValidatedInterval(item, limits_mm, expected_mm, Flag.UNCERTAIN in row.flags)


def _inside(items: Sequence[ValidatedInterval]) -> float:
    return 100.0 * float(np.mean([item.is_covered for item in items]))


def _width(items: Sequence[ValidatedInterval]) -> float:
    return float(np.mean([item.interval_mm[1] - item.interval_mm[0] for item in items]))


def _kinds(items: Sequence[MeasuredImage]) -> dict[str, tuple[int, int, int]]:
    """Of the images of each folder: how many there are, how many are measured, and how many of these have no flag."""
    found: dict[str, tuple[int, int, int]] = {}
    for item in items:
        is_measured = item.row.ellipse_px is not None
        total, measured, unflagged = found.get(item.file.parent.name, (0, 0, 0))
        is_unflagged = is_measured and not item.row.flags
        found[item.file.parent.name] = (total + 1, measured + is_measured, unflagged + is_unflagged)
    return found


def _draw_risk(intervals: Mapping[str, Sequence[ValidatedInterval]]) -> Figure:
    """Mean relative error of the images kept against their share, surest first."""
    figure = Figure(figsize=(6.4, 4.4), layout="constrained")
    axes = figure.subplots()
    for name, items in intervals.items():
        curve = risk_coverage(items, relative=True)
        axes.plot(100.0 * curve[:, 0], 100.0 * curve[:, 1], color=_COLORS[name], label=f"{name}, {len(items)} images")
    axes.set(xlabel="images kept, surest first (%)", ylabel="mean |error| of the kept (% of HC)", ylim=(0, None))
    axes.legend()
    return figure


def _draw_sheet(items: Sequence[MeasuredImage], labelled: Sequence[Path], count: int) -> Image.Image:
    """External heads as drawn by the model (orange) with their references (blue), evenly from the best to the worst."""
    pairs = _with_reference(items, labelled)
    pairs.sort(key=lambda pair: dice(pair[1], pair[2]), reverse=True)
    chosen = [pairs[index] for index in np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)]
    rows = -(-len(chosen) // _SHEET_COLUMNS)
    sheet = Image.new("RGB", (_SHEET_COLUMNS * _CELL_WH[0], rows * _CELL_WH[1]))
    for number, (item, found, reference) in enumerate(chosen):
        case = OverlayItem(
            item.row.file_name,
            item.file,
            truth_outlines_xy=(reference.outline(360),),
            predicted_px=found,
            note=";".join(item.row.flags),
        )
        picture = Image.fromarray(draw_case(read_image(item.file), case)).resize(_CELL_WH, Image.Resampling.LANCZOS)
        sheet.paste(picture, (number % _SHEET_COLUMNS * _CELL_WH[0], number // _SHEET_COLUMNS * _CELL_WH[1]))
    return sheet


if __name__ == "__main__":
    sys.exit(main())
