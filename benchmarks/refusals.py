"""Count how often a model takes an image without a head for one.

python -m benchmarks.refusals [--model FILE.onnx] [--count 40] [--seed 77]

Draws synthetic images without a head and prints how many of each kind are measured. Exit code 1 if a blank, plain or
noise image is measured, or more than a tenth of those with structure (smooth blobs, tissue without a skull).
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np

from hc18.measurement import Status, measure_head
from hc18.phantom import DistractorKind, render_distractor
from inference.bundled import bundled_model_path
from inference.predictor import OnnxPredictor

IMAGE_HW = (540, 800)
MAX_STRUCTURED_SHARE = 0.1
STRUCTURED: tuple[DistractorKind, ...] = ("blobs", "no_skull")


def build_parser() -> argparse.ArgumentParser:
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="default: the shipped model")
    parser.add_argument("--count", type=int, default=40, metavar="N", help="images of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=77, help="of the first image (default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    predictor = OnnxPredictor(options.model or bundled_model_path())
    passed = True
    for kind in get_args(DistractorKind):
        n_measured = 0
        for seed in range(options.seed, options.seed + options.count):
            grey = render_distractor(kind, IMAGE_HW, seed)
            found = measure_head(predictor.predict(np.repeat(grey[..., None], 3, axis=2)), IMAGE_HW, (0.1, 0.1))
            n_measured += found.status is Status.OK
        print(f"{kind}: {n_measured} of {options.count} measured as a head")
        passed &= n_measured <= (MAX_STRUCTURED_SHARE * options.count if kind in STRUCTURED else 0)
    return 0 if passed else 1


if __name__ == "__main__":
    sys.exit(main())
