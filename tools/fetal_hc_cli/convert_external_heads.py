"""Convert heads of other hospitals, whose reference is a table of ellipses, to COCO JSON.

    fetal-hc convert-external --table heads.csv --images external_heads --output datasets/external.json

Exit code: 0 written; 2 bad input, nothing written.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from fetal_hc_cli import check_may_write, new_parser, reports_bad_input
from hc18.dataset.external_heads import COLUMNS, write_external_heads


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--table", type=Path, required=True, metavar="CSV", help=f"columns {', '.join(COLUMNS)}")
    parser.add_argument("--images", type=Path, required=True, metavar="DIR", help="folder of the images")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.json", help="COCO JSON to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    check_may_write(options.output, overwrite=options.overwrite)
    options.output.parent.mkdir(parents=True, exist_ok=True)
    count = write_external_heads(options.table, options.images, options.output)
    print(f"{count} heads in {options.output}")
    return 0
