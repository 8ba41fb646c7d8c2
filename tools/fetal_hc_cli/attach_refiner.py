r"""Put an outline refiner into the file of the model whose outlines it refines.

    python tools/attach_refiner.py --model output/hc18.int8.onnx --refiner output/refiner.onnx --output output/hc18.onnx

The refiner is what tools/export_model.py wrote for configs/hc18/outline_refiner.yaml. A calibration stored in the model
is dropped: calibrate again with tools/calibrate_trust.py.

Exit code: 0 done; 2 bad input, nothing written.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.errors import FetalHCError
from fetal_hc.model.checksum import file_sha256
from hc18.training.refiner_export import attach_refiner


def build_parser() -> argparse.ArgumentParser:
    description, _, epilog = (__doc__ or "").partition("\n")
    parser = argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, required=True, metavar="FILE.onnx", help="exported Mask R-CNN")
    parser.add_argument("--refiner", type=Path, required=True, metavar="FILE.onnx", help="exported outline refiner")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.onnx", help="file to write (replaced)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    try:
        attach_refiner(options.model, options.refiner, options.output)
    except FetalHCError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    size = options.output.stat().st_size
    print(f"{options.output}: {size / 1e6:.1f} MB, SHA-256 {file_sha256(options.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
