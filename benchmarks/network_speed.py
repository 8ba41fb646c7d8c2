"""Time the exported model against eager R50-FPN at 800 px, image by image in turn.

python -m benchmarks.network_speed [--model FILE.onnx] [--rounds 8] [--threads 2]

Both get the same decoded 800x540 image and give detections in original pixels, resizing included; the exported model
also fits the ellipse. Exit code 1 if the median ratio is below its limit.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from fetal_hc.engine import rcnn
from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.config import load_config
from fetal_hc.model.preprocess import InputSpec, to_network_input
from fetal_hc_cli import new_parser
from hc18.geometry.pixel_size import from_table
from hc18.measurement.head_model import HeadModel, bundled_model_path, load_model
from hc18.measurement.pipeline import measure_frame
from hc18.phantoms.phantom import render_phantom
from hc18.phantoms.spec import sample_spec

MIN_RATIO = 100.0
IMAGE_HW = (540, 800)
R50_CONFIG = Path(__file__).resolve().parents[1] / "configs" / "Base-MaskRCNN.yaml"

Image = NDArray[np.uint8]


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="default: the shipped model")
    parser.add_argument("--rounds", type=int, default=8, help="timed pairs (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=2, help="threads of each network (default: %(default)s)")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    torch.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    images = [
        np.repeat(render_phantom(sample_spec(rng, IMAGE_HW)).image[..., None], 3, axis=2)
        for _ in range(options.rounds + 1)
    ]
    measure = _measuring(load_model(options.model or bundled_model_path(), options.threads))
    detect = _detecting_with_r50()
    ratios, seconds_small, seconds_r50 = [], [], []
    for index, image in enumerate(images):
        small, large = _seconds(measure, image), _seconds(detect, image)
        if index == 0:
            continue  # warm-up
        ratios.append(large / small)
        seconds_small.append(small)
        seconds_r50.append(large)
    ratio = statistics.median(ratios)
    print(f"exported model, image to millimetres: {1000 * statistics.median(seconds_small):.1f} ms (median)")
    print(f"eager R50-FPN at 800 px, image to detections: {1000 * statistics.median(seconds_r50):.0f} ms (median)")
    print(f"ratio, image by image: {ratio:.0f} median ({min(ratios):.0f} to {max(ratios):.0f}; limit {MIN_RATIO:.0f})")
    return 0 if ratio >= MIN_RATIO else 1


def _seconds(call: Callable[[Image], object], image: Image) -> float:
    start = time.perf_counter()
    call(image)
    return time.perf_counter() - start


def _measuring(predictor: HeadModel) -> Callable[[Image], object]:
    return lambda image: measure_frame(predictor, image, [from_table(0.1)])


def _detecting_with_r50() -> Callable[[Image], object]:
    """Detectron2's standard R50-FPN (1000 proposals), trained for one class or not: the time is that of its layers."""
    cfg = load_config(
        (rcnn.ARCHITECTURE,),
        R50_CONFIG,
        ["MODEL.DEVICE", "cpu", "SOLVER.STEPS", "()", "MODEL.ROI_HEADS.SCORE_THRESH_TEST", "0.9"],
    )
    model = build_model(cfg, rcnn.ARCHITECTURE).eval()
    spec = InputSpec(cfg.INPUT.FORMAT, cfg.INPUT.MIN_SIZE_TEST, cfg.INPUT.MAX_SIZE_TEST)

    def detect(image: Image) -> object:
        with torch.no_grad():
            planes = torch.from_numpy(to_network_input(image, spec))
            return model([{"image": planes, "height": image.shape[0], "width": image.shape[1]}])

    return detect


if __name__ == "__main__":
    sys.exit(main())
