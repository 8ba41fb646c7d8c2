"""Average the weights of two or more checkpoints of one training's stages.

    fetal-hc average --weights stage2/model_final.pth stage3/model_final.pth --output average.pth

Exit code: 0 written; 2 bad input, nothing written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.engine.checkpoints.checkpoint import average_checkpoints
from fetal_hc.model.checksum import file_sha256
from fetal_hc_cli import new_parser, reports_bad_input


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--weights", type=Path, nargs="+", required=True, metavar="FILE.pth", help="two or more")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.pth", help="checkpoint to write")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    average_checkpoints(options.weights, options.output)
    print(f"{options.output}: mean of {len(options.weights)} checkpoints, SHA-256 {file_sha256(options.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
