"""Turn the convolutions of an exported detector into 8-bit arithmetic: about twice as fast on a CPU.

    fetal-hc quantize --model model.onnx --coco datasets/hc18_train.json --output model_int8.onnx

The images, drawn evenly from the dataset, give the range of every layer; take them from the training part. Score a
validation set with both models before one replaces the other. Exit code: 0 written; 2 bad input, nothing written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.engine.export.quantization import quantize_model
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.model.checksum import file_sha256
from fetal_hc_cli import new_parser, reports_bad_input


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, required=True, metavar="FILE", help="of fetal-hc export")
    parser.add_argument("--coco", type=Path, required=True, metavar="FILE.json", help="training images, as converted")
    parser.add_argument("--count", type=int, default=60, metavar="N", help="images to use (default: %(default)s)")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="model to write")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    dataset = read_coco(options.coco)
    step = max(len(dataset.images) // max(options.count, 1), 1)
    images = [resolve_image_path(options.coco, dataset, image) for image in dataset.images[::step]]
    quantize_model(options.model, options.output, images[: options.count])
    megabytes = options.output.stat().st_size / 1e6
    print(f"{options.output}: {megabytes:.1f} MB, SHA-256 {file_sha256(options.output)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
