"""Writes a folder of synthetic fetal-head images with known circumference, in the layout of HC18."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc_cli import new_parser, reports_bad_input
from hc18.phantoms.folder import FULL_IMAGE_HW, SMALL_IMAGE_HW, write_phantom_folder
from hc18.phantoms.negatives import write_no_head_folder


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, help="folder to create")
    parser.add_argument("--count", type=int, default=24, help="annotated images in training_set (default 24)")
    parser.add_argument("--test-count", type=int, default=4, help="images in test_set (default 4)")
    parser.add_argument("--seed", type=int, default=0, help="same seed, same files (default 0)")
    parser.add_argument("--size", choices=("small", "full"), default="full", help="160x112 or 800x540 (default full)")
    parser.add_argument(
        "--no-head", type=int, default=0, metavar="N", help="also N images without a head, with no_head.json (COCO)"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace phantoms written there before")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    image_hw = SMALL_IMAGE_HW if options.size == "small" else FULL_IMAGE_HW
    cases = []
    if options.count or options.test_count:
        cases = write_phantom_folder(
            options.output,
            options.count,
            options.test_count,
            options.seed,
            image_hw=image_hw,
            overwrite=options.overwrite,
            progress=True,
        )
    if options.no_head:
        write_no_head_folder(options.output, options.no_head, options.seed, image_hw=image_hw, progress=True)
    print(f"{len(cases)} phantoms and {options.no_head} images without a head in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
