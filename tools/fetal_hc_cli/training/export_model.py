r"""Export a trained checkpoint to a model that needs no torch, checked against the eager network before it is kept.

    fetal-hc export --config-file configs/hc18/mask_rcnn_R_18_FPN.yaml \
        --weights output/hc18_R_18_FPN/model_final.pth --output output/hc18.zip --half

    face-mask export --config-file configs/face_mask/mask_rcnn_shipped.yaml --weights FILE.pth --output faces.zip \
        --class-names with_mask without_mask mask_weared_incorrect

An outline refiner (configs/hc18/outline_refiner.yaml) is exported in the same way, without --half, --class-names and
--check-images; fetal-hc attach-refiner then puts it into the bundle of a detector.

A name that ends in .onnx gives a single ONNX file, any other name a bundle (docs/data_formats.md).

Exit code: 0 done; 1 the exported network does not agree with the eager network; 2 bad input.
"""

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.engine.architecture import ExportOptions, find_architecture
from fetal_hc.engine.config import load_config
from fetal_hc.errors import ConfigError, ExportMismatch
from fetal_hc.io.images import read_image
from fetal_hc_cli import new_parser, reports_bad_input
from fetal_hc_cli.training.architectures import ARCHITECTURES
from hc18.training.refiner_export import render_check_images


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--config-file", type=Path, required=True, metavar="FILE", help="YAML used for training")
    parser.add_argument("--weights", type=Path, required=True, metavar="FILE.pth", help="checkpoint")
    parser.add_argument("--output", type=Path, required=True, metavar="FILE", help="file to write (replaced)")
    parser.add_argument("--half", action="store_true", help="store weights as float16: half the file, same speed")
    parser.add_argument(
        "--class-names",
        nargs="+",
        metavar="NAME",
        help="one per class, in label order (default: head for a detector of one class, mask for a segmenter)",
    )
    parser.add_argument(
        "--check-images", type=Path, nargs="+", default=(), metavar="FILE", help="compare on these images as well"
    )
    parser.add_argument("--opts", nargs="+", default=(), metavar="KEY VALUE", help="configuration keys to change")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    arguments = build_parser().parse_args(argv)
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        cfg = load_config(ARCHITECTURES, arguments.config_file, arguments.opts)
        architecture = find_architecture(ARCHITECTURES, cfg.MODEL.META_ARCHITECTURE)
        if architecture.export is None:
            raise ConfigError(f"{arguments.config_file}: {cfg.MODEL.META_ARCHITECTURE} cannot be exported yet")
        images = (*render_check_images(), *(read_image(path) for path in arguments.check_images))
        options = ExportOptions(tuple(arguments.class_names or (architecture.one_class_name,)), arguments.half, images)
        report = architecture.export(cfg, arguments.weights, arguments.output, options)
    except ExportMismatch as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    worst = ", ".join(f"{name} {value:.2g}" for name, value in report.differences.items())
    print(f"{report.path}: {report.size_bytes / 1e6:.1f} MB, SHA-256 {report.sha256}")
    print(f"agrees with the eager network on {report.n_compared} {report.compared}; largest differences: {worst}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
