"""Score the masks of Otsu's threshold and of region growing on a converted dataset with mask pixels.

python -m experiments.classical_masks --coco datasets/face_mask_color_mask_val.json [--output scores.csv]
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from face_mask.predict.classical import METHODS
from fetal_hc.errors import DatasetError
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.images import read_image
from fetal_hc.io.masks import rle_to_mask, score_mask
from fetal_hc.io.tables import to_csv_text
from fetal_hc_cli import new_parser, reports_bad_input


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--coco", type=Path, required=True, metavar="FILE", help="COCO JSON with mask pixels")
    parser.add_argument("--output", type=Path, metavar="FILE", help="CSV with the scores of every image")
    return parser


def read_cases(path: Path) -> list[tuple[str, NDArray[np.uint8], NDArray[np.bool_]]]:
    """Name, image and union of the masks of every image.

    Raises:
        DatasetError: if no image has mask pixels, or a file is faulty.
    """
    dataset = read_coco(path)
    cases = []
    for image in dataset.images:
        own = [
            item for item in dataset.annotations if item.image_id == image.id and isinstance(item.segmentation, dict)
        ]
        if own:
            masks = [rle_to_mask(item.segmentation) for item in own if isinstance(item.segmentation, dict)]
            union = np.logical_or.reduce(masks)
            cases.append((image.file_name, read_image(resolve_image_path(path, dataset, image)), union))
    if not cases:
        raise DatasetError(f"{path}: no object has mask pixels; convert with --format color-mask, mfsd or isic")
    return cases


def to_csv(names: Sequence[str], scores: Mapping[str, Sequence[tuple[float, float, float]]]) -> str:
    """Scores of every image and method as CSV text."""
    rows = (
        (name, method, *(f"{value:.4f}" for value in row))
        for method, of_images in scores.items()
        for name, row in zip(names, of_images, strict=True)
    )
    return to_csv_text(("file_name", "method", "IoU", "Dice", "pixel_accuracy"), rows)


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    cases = read_cases(options.coco)
    scores = {name: [score_mask(method(image), truth) for _, image, truth in cases] for name, method in METHODS.items()}
    if options.output:
        names = [name for name, _, _ in cases]
        write_text_atomic(options.output, to_csv(names, scores))
    print(f"{len(cases)} images of {options.coco.name}, mean (sd) in percent")
    for name, rows in scores.items():
        mean, deviation = 100.0 * np.mean(rows, axis=0), 100.0 * np.std(rows, axis=0)
        shown = (f"{m:.1f} ({s:.1f})" for m, s in zip(mean, deviation, strict=True))
        print(f"{name:<8} IoU {next(shown)}  Dice {next(shown)}  pixel accuracy {next(shown)}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
