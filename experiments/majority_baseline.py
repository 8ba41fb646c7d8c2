"""What a detector of single faces scores that says the same for every crop: the commonest class and the median box.

    python -m experiments.majority_baseline --train face_mask_single_train.json --val face_mask_single_val.json

A trained model that scores no more has learned nothing.
"""

from __future__ import annotations

import argparse
import sys
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from face_mask.models.two_head import aligned_iou
from fetal_hc.errors import DatasetError
from fetal_hc.io.coco import read_coco
from fetal_hc_cli import new_parser, reports_bad_input


def read_faces(path: Path) -> tuple[list[int], np.ndarray]:
    """Class of every face and its box (N, 4), x0, y0, x1, y1 as fractions of its crop.

    Raises:
        DatasetError: if the file is faulty or holds no face.
    """
    dataset = read_coco(path)
    size_of = {image.id: (image.width, image.height) for image in dataset.images}
    boxes = []
    for item in dataset.annotations:
        x0, y0, width, height = item.bbox_xywh
        crop_width, crop_height = size_of[item.image_id]
        sides = (x0 / crop_width, y0 / crop_height, (x0 + width) / crop_width, (y0 + height) / crop_height)
        boxes.append(sides)
    if not boxes:
        raise DatasetError(f"{path}: holds no face; convert with --format voc --single-face")
    return [item.category_id for item in dataset.annotations], np.array(boxes)


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    for part in ("train", "val"):
        parser.add_argument(f"--{part}", type=Path, required=True, metavar="FILE", help=f"COCO file, {part}")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    (classes, boxes), (true_classes, true_boxes) = read_faces(options.train), read_faces(options.val)
    commonest, _ = Counter(classes).most_common(1)[0]
    guess = np.tile(np.median(boxes, axis=0), (len(true_boxes), 1))
    overlap = aligned_iou(torch.from_numpy(guess), torch.from_numpy(true_boxes)).numpy()
    areas = np.prod(true_boxes[:, 2:] - true_boxes[:, :2], axis=1)
    print(f"accuracy {100 * np.mean(np.array(true_classes) == commonest):.1f} %")
    print(f"mean IoU {100 * overlap.mean():.1f} %")
    print(f"a face covers {100 * np.median(areas):.1f} % of its crop (median)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
