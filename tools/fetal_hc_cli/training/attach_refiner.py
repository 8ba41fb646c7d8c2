r"""Put an outline refiner into the bundle of the detector whose outlines it refines, and name the result.

    fetal-hc attach-refiner --model output/int8.onnx --refiner output/refiner.onnx --output output/hc18.zip \
        --name hc18 --model-version 1.0.0

The refiner is what fetal-hc export wrote for configs/hc18/outline_refiner.yaml. A calibration stored in the model
is dropped: calibrate again with fetal-hc calibrate.

Exit code: 0 done; 2 bad input, nothing written.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.errors import ConfigError
from fetal_hc.model.checksum import file_sha256
from fetal_hc_cli import new_parser, reports_bad_input
from fetal_hc_cli.model import add_identity_options, identity_changes
from hc18.measurement.refiner import N_BANDS
from hc18.training.bundle_parts import attach_refiner, read_head_bundle


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="exported detector, or a bundle")
    parser.add_argument("--refiner", type=Path, required=True, metavar="FILE.onnx", help="exported outline refiner")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE.zip", help="bundle to write (replaced)")
    parser.add_argument(
        "--refinement-share",
        type=float,
        default=1.0,
        metavar="S",
        help="where between the ellipses of detector (0) and refiner (1) the result lies (default: %(default)s)",
    )
    parser.add_argument(
        "--bands",
        type=int,
        default=N_BANDS,
        metavar="N",
        help="how often the refiner looks, each time around the ellipse before (default: %(default)s)",
    )
    parser.add_argument(
        "--coco",
        type=Path,
        metavar="FILE.json",
        help="make the refiner 8-bit; these images with outlines, of fetal-hc convert, give the ranges of its layers",
    )
    add_identity_options(parser)
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    if not 0.0 <= options.refinement_share <= 1.0:
        raise ConfigError(f"--refinement-share is {options.refinement_share}; expected 0 to 1")
    if options.bands < 1:
        raise ConfigError(f"--bands is {options.bands}; expected a whole number from 1 on")
    detector = read_head_bundle(options.model)
    bundle = attach_refiner(detector, options.refiner, options.refinement_share, options.bands, options.coco)
    bundle.replace(**identity_changes(options)).write(options.output)
    size = options.output.stat().st_size
    print(f"{options.output}: {size / 1e6:.1f} MB, SHA-256 {file_sha256(options.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
