"""Time the HC18 conversion and compare every fitted circumference with the table.

python -m benchmarks.convert_speed --root HC18_DIR

Runs fetal-hc convert in fresh processes on two cores. Exit code 1 if the median run or the largest difference
exceeds its limit.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.batch_runs import keep_to_cores
from fetal_hc_cli import new_parser
from hc18.dataset.convert import REPORT_FILE

MAX_SECONDS_PER_IMAGE = 8.0 / 801  # 801 images in 8 s
MAX_DIFFERENCE_MM = 0.05
_N_CORES = 2


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--root", type=Path, required=True, metavar="HC18_DIR", help="folder holding training_set/")
    parser.add_argument("--runs", type=int, choices=range(1, 11), default=3, help="timed runs (default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    keep_to_cores(_N_CORES)
    with tempfile.TemporaryDirectory() as folder:
        seconds = []
        for _ in range(options.runs):
            elapsed, message = convert_once(options.root, Path(folder))
            if message:
                print(message, file=sys.stderr)
                return 2
            seconds.append(elapsed)
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu_seconds = (used.ru_utime + used.ru_stime) / options.runs  # hardly depends on what else the machine does
        report = json.loads((Path(folder) / REPORT_FILE).read_text(encoding="utf-8"))
    n_images, difference_mm = report["n_images"], report["hc_difference_mm"]
    median = statistics.median(seconds)
    limit = MAX_SECONDS_PER_IMAGE * n_images
    print(
        f"conversion of {n_images} images, process start to exit: {median:.2f} s median of {options.runs} "
        f"({min(seconds):.2f} to {max(seconds):.2f}; limit {limit:.2f}), {cpu_seconds:.2f} s of one core"
    )
    print(
        f"fitted circumference minus table: mean {difference_mm['mean']:+.4f} mm, mean absolute "
        f"{difference_mm['mean_abs']:.4f}, largest {difference_mm['max_abs']:.4f} (limit {MAX_DIFFERENCE_MM})"
    )
    return 0 if median <= limit and difference_mm["max_abs"] <= MAX_DIFFERENCE_MM else 1


def convert_once(root: Path, output: Path) -> tuple[float, str]:
    """Seconds of one conversion in a process of its own, and its error message if it failed."""
    tool = Path(__file__).parents[1] / "tools" / "convert_hc18.py"
    command = [sys.executable, str(tool), "--root", str(root), "--output", str(output)]
    environment = {**os.environ, "PYTHONPATH": str(tool.parents[1])}
    started = time.perf_counter()
    run = subprocess.run(command, capture_output=True, text=True, env=environment, check=False)
    return time.perf_counter() - started, run.stderr if run.returncode else ""


if __name__ == "__main__":
    sys.exit(main())
