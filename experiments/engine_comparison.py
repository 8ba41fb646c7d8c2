r"""Train one configuration with both engines for the same few iterations, and compare.

    python -m experiments.engine_comparison --config-file FILE --output DIR [--threads 1] [KEY VALUE ...]

Both trainings start from the same random weights (DIR/start.pth) and get the same images in the same order; they differ
in the anchors and proposals that each draws for its losses. Prints a table and writes DIR/builtin and DIR/detectron2,
whose metrics.json `fetal-hc plot` draws into one picture.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

import torch

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.checkpoints.checkpoint import seed_everything, write_checkpoint
from fetal_hc.engine.config import load_config
from fetal_hc.engine.train.events import read_metrics
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc_cli import new_parser, reports_bad_input
from fetal_hc_cli.training.architectures import ARCHITECTURES, MASK_RCNN

ENGINES = ("builtin", "detectron2")
COLUMNS = ("engine", "box AP", "mask AP", "ADF (mm)", "failed", "last total loss", "s per iteration")


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--config-file", type=Path, required=True, metavar="FILE", help="configuration to train")
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of both trainings (replaced)")
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default: %(default)s)")
    parser.add_argument("overrides", nargs=argparse.REMAINDER, metavar="KEY VALUE", help="configuration keys to change")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    warnings.simplefilter("ignore")
    rows = _train_both(options.config_file, options.output, tuple(options.overrides))
    for cells in (COLUMNS, ("---",) * len(COLUMNS), *rows):
        print(f"| {' | '.join(cells)} |")
    return 0


def _train_both(config_file: Path, output: Path, overrides: tuple[str, ...]) -> list[tuple[str, ...]]:
    start = output / "start.pth"
    output.mkdir(parents=True, exist_ok=True)
    cfg = load_config(ARCHITECTURES, config_file, overrides)
    seed_everything(max(cfg.SEED, 0))
    write_checkpoint(start, {"model": build_model(cfg, MASK_RCNN).state_dict()}, is_last=False)
    rows = []
    for engine in ENGINES:
        folder = output / engine
        own = ("MODEL.WEIGHTS", str(start), "OUTPUT_DIR", str(folder), "TEST.EXPECTED_RESULTS", "[]")
        start_job(JobOptions(ARCHITECTURES, config_file, (*overrides, *own), engine=engine, overwrite=True))
        rows.append(_row(engine, folder))
    return rows


def _row(engine: str, folder: Path) -> tuple[str, ...]:
    results = json.loads((folder / "results.json").read_text(encoding="utf-8"))
    rows = [row for row in read_metrics(folder / "metrics.json") if "total_loss" in row]
    hc = results.get("hc", {})
    numbers = (
        (results["bbox"]["AP"], ".1f"),
        (results.get("segm", {}).get("AP"), ".1f"),
        (hc.get("ADF_mean"), ".2f"),
        (hc.get("n_failed"), ".0f"),
        (rows[-1]["total_loss"], ".3f"),
        (statistics.median(row["time"] for row in rows), ".2f"),
    )
    return engine, *("-" if value is None else format(value, style) for value, style in numbers)


if __name__ == "__main__":
    sys.exit(main())
