"""Put photos of single faces together into crowds, from which a detector learns small faces.

    face-mask mosaics --source datasets/face_mask_color_mask_train.json --count 120 --output datasets/face_mask_mosaics

Photos that are sorted by class but have no boxes get them from a model first:

    face-mask predict "face_mask_classification/*/*.jpg" --model first.zip --output boxes --no-pictures
    face-mask mosaics --source boxes/faces.json --class-of-folder --count 150 --output datasets/face_mask_sorted_mosaics

Exit code: 0 written; 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from face_mask.data.mosaics import write_mosaics
from fetal_hc_cli import new_parser, reports_bad_input


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--source", type=Path, required=True, metavar="FILE.json", help="COCO file of single faces")
    parser.add_argument(
        "--output", type=Path, required=True, metavar="NAME", help="writes NAME.json and the folder NAME"
    )
    parser.add_argument("--count", type=int, default=120, metavar="N", help="mosaics (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of photos and grids (default: %(default)s)")
    parser.add_argument(
        "--class-of-folder", action="store_true", help="the class is the photo's folder; only the box is the source's"
    )
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    path = write_mosaics(
        options.source, options.output, options.count, options.seed, class_of_folder=options.class_of_folder
    )
    print(f"{path}: {options.count} mosaics")
    return 0


if __name__ == "__main__":
    sys.exit(main())
