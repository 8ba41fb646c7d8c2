"""Compare faces that a model found with the labels of the same photos.

    face-mask predict datasets/face_mask_voc_test.json --output found --min-score 0.05 --no-pictures
    face-mask evaluate --found found/faces.json --labels datasets/face_mask_voc_test.json

Prints the average precision of each class at an overlap of 0.5 and the mean overlap of mask pixels. Precision needs a
low --min-score, so that its curve is complete. Mask pixels count from a score of 0.5. Exit code: 0 done; 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from face_mask.predict.evaluation import evaluate_faces
from fetal_hc_cli import new_parser, reports_bad_input


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--found", type=Path, required=True, metavar="FILE.json", help="faces.json of a prediction")
    parser.add_argument(
        "--labels", type=Path, nargs="+", required=True, metavar="FILE.json", help="labelled COCO files"
    )
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    for labels in options.labels:
        agreement = evaluate_faces(labels, options.found)
        print(f"{labels.name}: {agreement.n_photos} photos")
        for name, value in agreement.ap50_percent.items():
            print(f"  AP50 {name}: {value:.1f} % ({agreement.n_faces[name]} faces)")
        if agreement.mask_iou_percent is not None:
            print(f"  mask IoU: {agreement.mask_iou_percent:.1f} % ({agreement.n_masked_photos} photos)")
    return 0


if __name__ == "__main__":
    sys.exit(main())
