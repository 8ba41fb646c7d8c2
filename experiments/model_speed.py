"""What a faster model costs: processor time and error of several models on the same labelled images, in turn.

    python -m experiments.model_speed --labels datasets/hc18_val.json float.zip int8.zip

Every image is measured by all models before the next one, so that their ratio holds on a machine that others use. The
first model is the reference. Exit code: 0 the mean error of no other is larger by more than MAX_COST_MM; 1 that of one
is; 2 bad input.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from tqdm import tqdm

from experiments.labelled_heads import read_labelled_heads
from fetal_hc.io.images import read_image
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.geometry.pixel_size import from_table
from hc18.measurement.head_model import load_model
from hc18.measurement.pipeline import measure_frame

MAX_COST_MM = 0.02


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("models", nargs="+", type=Path, metavar="FILE", help="bundles or exported detectors")
    parser.add_argument("--labels", type=Path, required=True, metavar="FILE.json", help="of fetal-hc convert")
    parser.add_argument("--images", type=int, metavar="N", help="so many, evenly spread (default: all)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    heads = read_labelled_heads(options.labels, options.images)
    models = [load_model(path) for path in options.models]
    hc_mm = np.full((len(models), len(heads)), np.nan)
    cpu_ms: list[list[float]] = [[] for _ in models]
    for column, head in enumerate(tqdm(heads, disable=None)):
        image, size = read_image(head.path), from_table(head.pixel_size_mm)
        for row, model in enumerate(models):
            started = time.process_time()
            found = measure_frame(model, image, [size]).measurement.hc_mm
            cpu_ms[row].append(1e3 * (time.process_time() - started))
            hc_mm[row, column] = np.nan if found is None else found
    reference_mm = np.array([head.hc_mm for head in heads])
    costs_mm = []
    for row, path in enumerate(options.models):
        both = np.isfinite(hc_mm[row]) & np.isfinite(hc_mm[0])
        error_mm, first_mm = (hc_mm[index][both] - reference_mm[both] for index in (row, 0))
        costs_mm.append(float(abs(error_mm).mean() - abs(first_mm).mean()))
        moved_mm = abs(error_mm - first_mm)
        time_ratio = statistics.median(one / first for one, first in zip(cpu_ms[row], cpu_ms[0], strict=True))
        print(
            f"{path.name}: {statistics.median(cpu_ms[row]):.1f} ms of one core, {time_ratio:.2f} of the first; "
            f"{len(heads) - int(np.isfinite(hc_mm[row]).sum())} of {len(heads)} not measured; "
            f"ADF {abs(error_mm).mean():.3f} mm ({costs_mm[-1]:+.3f}), DF {error_mm.mean():+.3f}; "
            f"differs from the first by {moved_mm.mean():.3f} mm on average, {moved_mm.max():.2f} at most"
        )
    return 0 if max(costs_mm) <= MAX_COST_MM else 1


if __name__ == "__main__":
    sys.exit(main())
