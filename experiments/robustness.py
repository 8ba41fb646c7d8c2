"""Print and plot how the error grows when images get worse: gain, speckle, blur, JPEG, size, turn, crop, overlays.

    python -m experiments.robustness --coco datasets/hc18_val.json --output output/robustness [--limit 60]

Writes robustness.csv and robustness.png. An image counts as set aside if it is refused or carries a quality flag.
Exit code 0: every kind of damage is small (ADF of what is not set aside within 1 mm of that of undamaged images) or set
aside (at least half of the images that err by more than 4 mm) at every strength; 1: one is not; 2: bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from tqdm import tqdm

from experiments.labelled_heads import LabelledHead, read_labelled_heads
from experiments.perturbations import DEGRADATIONS, Degraded
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc.io.images import read_image
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.geometry.pixel_size import from_table
from hc18.measurement.head_model import HeadModel, bundled_model_path, load_model
from hc18.measurement.pipeline import measure_frame

LARGE_ERROR_MM = 4.0
MAX_ADF_GROWTH_MM = 1.0
MIN_SHARE_SET_ASIDE = 0.5
SEED = 2026


@dataclass(frozen=True)
class Row:
    """What one strength of one damage did to all images; errors in mm."""

    kind: str
    strength: float
    n_images: int
    n_refused: int
    n_flagged: int
    adf: float
    adf_kept: float
    n_large: int
    n_large_set_aside: int

    def passes(self, clean_adf_kept: float) -> bool:
        """Whether the damage is small or set aside."""
        is_small = self.adf_kept <= clean_adf_kept + MAX_ADF_GROWTH_MM  # False where nothing is kept
        is_set_aside = self.n_refused + self.n_flagged == self.n_images
        return is_small or is_set_aside or self.n_large_set_aside >= MIN_SHARE_SET_ASIDE * max(self.n_large, 1)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--coco", type=Path, required=True, metavar="FILE.json", help="of fetal-hc convert")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder for table and plot")
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="default: the shipped model")
    parser.add_argument("--limit", type=int, metavar="N", help="use N images, evenly spread (default: all)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    cases = read_labelled_heads(options.coco, options.limit)
    predictor = load_model(options.model or bundled_model_path(), num_threads=2)
    rows = list(_measure_all(predictor, cases))
    options.output.mkdir(parents=True, exist_ok=True)
    _write_table(options.output / "robustness.csv", rows)
    _plot(rows).savefig(options.output / "robustness.png", dpi=110)
    clean = rows[0].adf_kept
    print(f"{'damage':<10}{'strength':>9}{'ADF mm':>9}{'kept ADF':>10}{'flagged':>9}{'refused':>9}  > 4 mm (set aside)")
    for row in rows:
        verdict = "" if row.passes(clean) else "  NOT small and not set aside"
        print(
            f"{row.kind:<10}{row.strength:>9g}{row.adf:>9.2f}{row.adf_kept:>10.2f}{row.n_flagged:>9}{row.n_refused:>9}"
            f"  {row.n_large} ({row.n_large_set_aside}){verdict}"
        )
    return 0 if all(row.passes(clean) for row in rows) else 1


def _measure_all(predictor: HeadModel, cases: Sequence[LabelledHead]) -> Iterator[Row]:
    """The undamaged images first, then every damage at every strength."""
    plan = [
        ("none", 0.0),
        *((kind, strength) for kind, series in DEGRADATIONS.items() for strength in series.strengths),
    ]
    for kind, strength in tqdm(plan, "damages", disable=None):
        yield _measure(predictor, cases, kind, strength)


def _measure(predictor: HeadModel, cases: Sequence[LabelledHead], kind: str, strength: float) -> Row:
    errors_mm, is_flagged = np.full(len(cases), np.nan), np.zeros(len(cases), dtype=bool)
    for index, case in enumerate(cases):
        image = read_image(case.path)
        damaged = Degraded(image)
        if kind != "none":
            damaged = DEGRADATIONS[kind].apply(image, case.ellipse_px, strength, np.random.default_rng([SEED, index]))
        size_mm = case.pixel_size_mm * damaged.pixel_size_factor
        found = measure_frame(predictor, damaged.image, [from_table(size_mm)]).measurement
        if found.hc_mm is not None:
            errors_mm[index], is_flagged[index] = abs(found.hc_mm - case.hc_mm), bool(found.flags)
    is_measured = np.isfinite(errors_mm)
    is_kept = is_measured & ~is_flagged
    is_large = is_measured & (errors_mm > LARGE_ERROR_MM)
    return Row(
        kind,
        strength,
        len(cases),
        int((~is_measured).sum()),
        int(is_flagged.sum()),
        _mean(errors_mm[is_measured]),
        _mean(errors_mm[is_kept]),
        int(is_large.sum()),
        int((is_large & is_flagged).sum()),
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if values.size else float("nan")


def _write_table(path: Path, rows: Sequence[Row]) -> None:
    lines = ["damage,strength,unit,images,refused,flagged,adf_mm,adf_kept_mm,above_4_mm,above_4_mm_set_aside"]
    for row in rows:
        unit = DEGRADATIONS[row.kind].unit if row.kind in DEGRADATIONS else ""
        adf, kept = (f"{value:.4f}" if np.isfinite(value) else "" for value in (row.adf, row.adf_kept))
        counts = f"{row.n_images},{row.n_refused},{row.n_flagged},{adf},{kept},{row.n_large},{row.n_large_set_aside}"
        lines.append(f'{row.kind},{row.strength:g},"{unit}",{counts}')
    write_text_atomic(path, "\n".join(lines) + "\n")


def _plot(rows: Sequence[Row]) -> Figure:
    """A panel for each damage: ADF of all and of the kept images, share set aside."""
    figure = Figure(figsize=(13, 6.5), layout="constrained")
    panels = figure.subplots(2, (len(DEGRADATIONS) + 1) // 2, squeeze=False).ravel()
    for panel, (kind, series) in zip(panels, DEGRADATIONS.items(), strict=False):
        own = [rows[0], *(row for row in rows if row.kind == kind)]
        at = range(len(own))
        panel.plot(at, [row.adf for row in own], "o-", color="#D55E00", label="ADF, all measured")
        panel.plot(at, [row.adf_kept for row in own], "s--", color="#0072B2", label="ADF, without flag")
        panel.set(title=f"{kind} ({series.unit})", ylim=(0, None), ylabel="mm")
        panel.title.set_fontsize(9)
        panel.set_xticks(list(at), ["none", *(f"{row.strength:g}" for row in own[1:])])
        aside = panel.twinx()
        shares = [100.0 * (row.n_flagged + row.n_refused) / row.n_images for row in own]
        aside.bar(at, shares, width=0.5, color="#999999", alpha=0.35, label="set aside")
        aside.set(ylim=(0, 100), ylabel="% set aside")
    panels[0].legend(loc="upper left", fontsize=8)
    figure.suptitle(f"Error under image damage, {rows[0].n_images} images; grey: flagged or refused")
    return figure


if __name__ == "__main__":
    sys.exit(main())
