"""Lists a folder of images without a head as a COCO dataset without annotations, to train with together with HC18.

    fetal-hc convert-negatives --images photographs --count 200 --output datasets/no_head_photos.json

Exit code: 0 written; 2 bad input, nothing written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc_cli import check_may_write, new_parser, reports_bad_input
from hc18.phantoms.negatives import write_no_head_json


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of images; they stay there")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="COCO JSON to write")
    parser.add_argument("--count", type=int, metavar="N", help="draw N of them at random (default: all)")
    parser.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    check_may_write(options.output, overwrite=options.overwrite)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    count = write_no_head_json(options.images, options.output, max_count=options.count, seed=options.seed)
    print(f"{count} images without a head in {options.output}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
