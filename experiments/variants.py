"""Print what other ways to measure the same heads would bring: the other fit, mirrored copies, several models.

    python -m experiments.variants --fold model_0.onnx fold0.json --fold model_1.onnx fold1.json
    python -m experiments.variants --fold a.onnx model_0.onnx fold0.json --also-in datasets/hc18_val.json

Each --fold names one or more models and the labelled images that none of them was trained on; the scores are those of
the images of all folds together, or of those that --also-in names too. Ellipses are averaged as centres and as matrices
R diag(a, b) R^T, which is linear in the semi-axes. Copies and fits are of the detection stage; models are compared
with all stages they have. The last lines tell
how far the copies agree with each other, how well their spread tells the error,
and whether two models err in the same images.
Exit code: 0 done; 2 bad input.
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from experiments.labelled_heads import LabelledHead, read_labelled_heads
from fetal_hc.errors import ConfigError
from fetal_hc.io.images import read_image
from fetal_hc.io.masks import mask_grid_to_image_affine
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.evaluation.evaluate import ReferenceCase, score_case
from hc18.evaluation.score_summary import ScoredImage, summarise
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.fits import fit_soft_mask
from hc18.measurement.head_model import HeadModel, load_model
from hc18.measurement.outline import MIN_SCORE, find_outline
from hc18.measurement.pipeline import detect_outline

# Name -> whether columns and rows are reversed.
MIRRORS = {"as it is": (False, False), "left-right": (True, False), "up-down": (False, True), "both": (True, True)}
PLAIN = "contour of the mask"
REFINED = "contour, refined by the refinement stage"


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument(
        "--fold",
        nargs="+",
        type=Path,
        action="append",
        required=True,
        metavar="FILE",
        help="MODEL.onnx ... IMAGES.json",
    )
    parser.add_argument("--also-in", type=Path, metavar="FILE.json", help="leave out images it does not name")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    scores: dict[str, list[ScoredImage]] = {}
    spreads_mm: list[float] = []
    wanted = None if options.also_in is None else {head.path.name for head in read_labelled_heads(options.also_in)}
    if len({len(fold) for fold in options.fold}) > 1 or len(options.fold[0]) < 2:
        raise ConfigError("--fold: expected one or more models, as many in every fold, and then the images")
    for *models, images in options.fold:
        predictors = [load_model(model, num_threads=2) for model in models]
        heads = [head for head in read_labelled_heads(images) if wanted is None or head.path.name in wanted]
        for head in tqdm(heads, images.name, disable=None):
            found = _variants(predictors, read_image(head.path))
            for name, ellipse_px in found.items():
                scores.setdefault(name, []).append(_score(head, ellipse_px))
            spreads_mm.append(_spread_mm(head, list(found.values())[: len(MIRRORS)]))
    if not scores:
        raise ConfigError(f"--also-in {options.also_in}: names no image of any fold; expected one that shares some")
    print(f"{'variant':<40}{'images':>7}{'failed':>7}{'ADF mm':>8}{'p95':>7}{'DF mm':>8}{'DSC %':>7}{'HD mm':>7}")
    for name, cases in scores.items():
        print(f"{name:<40}{_row(cases)}")
    _print_agreement(scores[PLAIN], np.array(spreads_mm))
    if "model 2" in scores:
        common = _correlation(scores.get(REFINED, scores[PLAIN]), scores["model 2"])
        print(f"correlation of the errors of model 1 and model 2: {common:.2f}")
    return 0


def _variants(predictors: Sequence[HeadModel], image_rgb: NDArray[np.uint8]) -> dict[str, Ellipse | None]:
    """The head of an image in px, by each way to measure it; the mirrored copies first."""
    first = predictors[0]
    copies = {name: _mirrored(first, image_rgb, *mirror) for name, mirror in MIRRORS.items()}
    as_it_is, left_right, *_ = copies.values()
    found: dict[str, Ellipse | None] = {PLAIN if name == "as it is" else name: item for name, item in copies.items()}
    if first.refiner is not None:
        found[REFINED] = _measure(first, image_rgb)
    found["moments of the mask"] = _measure_by_moments(first, image_rgb)
    found["mean of two copies (left-right)"] = mean_ellipse([as_it_is, left_right])
    found["mean of four copies"] = mean_ellipse(list(copies.values()))
    if len(predictors) > 1:
        others = [_measure(predictor, image_rgb) for predictor in predictors[1:]]
        found |= {f"model {index}": item for index, item in enumerate(others, start=2)}
        found[f"mean of {len(predictors)} models"] = mean_ellipse([found.get(REFINED, as_it_is), *others])
    return found


def _measure(predictor: HeadModel, image_rgb: NDArray[np.uint8]) -> Ellipse | None:
    """The head with all looks that the model has."""
    return detect_outline(predictor, image_rgb)[0].ellipse_px


def _detection_stage(predictor: HeadModel, image_rgb: NDArray[np.uint8]) -> Ellipse | None:
    return find_outline(predictor.predict(image_rgb), (image_rgb.shape[0], image_rgb.shape[1])).ellipse_px


def _measure_by_moments(predictor: HeadModel, image_rgb: NDArray[np.uint8]) -> Ellipse | None:
    heads = [head for head in predictor.predict(image_rgb) if head.score >= MIN_SCORE]
    if not heads:
        return None
    mask = np.asarray(heads[0].soft_mask, dtype=np.float64)
    affine = mask_grid_to_image_affine(heads[0].box_xyxy, mask.shape[0])
    return fit_soft_mask(mask, affine, (image_rgb.shape[0], image_rgb.shape[1])).moments.ellipse


def _mirrored(predictor: HeadModel, image_rgb: NDArray[np.uint8], mirror_x: bool, mirror_y: bool) -> Ellipse | None:
    """The ellipse found in a mirrored copy, mirrored back."""
    height, width = image_rgb.shape[:2]
    copy = image_rgb[:: -1 if mirror_y else 1, :: -1 if mirror_x else 1]
    found = _detection_stage(predictor, np.ascontiguousarray(copy))
    if found is None:
        return None
    row_x = (-1.0, 0.0, width - 1.0) if mirror_x else (1.0, 0.0, 0.0)
    row_y = (0.0, -1.0, height - 1.0) if mirror_y else (0.0, 1.0, 0.0)
    return found.transformed((row_x, row_y))


def mean_ellipse(ellipses: Sequence[Ellipse | None]) -> Ellipse | None:
    """Mean of the centres and of R diag(a, b) R^T of those that exist; None if none does."""
    found = [ellipse for ellipse in ellipses if ellipse is not None]
    if not found:
        return None
    lengths, directions = np.linalg.eigh(np.mean([_shape_matrix(ellipse) for ellipse in found], axis=0))
    center_x, center_y = np.mean([(ellipse.center_x, ellipse.center_y) for ellipse in found], axis=0)
    angle_rad = math.atan2(directions[1, 1], directions[0, 1])
    return Ellipse.from_axes(float(center_x), float(center_y), float(lengths[1]), float(lengths[0]), angle_rad)


def _shape_matrix(ellipse: Ellipse) -> NDArray[np.float64]:
    cosine, sine = math.cos(ellipse.angle_rad), math.sin(ellipse.angle_rad)
    axes = np.array([[cosine, -sine], [sine, cosine]])
    matrix: NDArray[np.float64] = axes @ np.diag([ellipse.semi_axis_a, ellipse.semi_axis_b]) @ axes.T
    return matrix


def _score(head: LabelledHead, ellipse_px: Ellipse | None) -> ScoredImage:
    size_mm = head.pixel_size_mm
    reference = ReferenceCase(head.path.name, head.ellipse_px.to_mm(size_mm, size_mm), head.hc_mm)
    return score_case(reference, None if ellipse_px is None else ellipse_px.to_mm(size_mm, size_mm))


def _spread_mm(head: LabelledHead, copies: Sequence[Ellipse | None]) -> float:
    """Standard deviation of the copies' circumferences."""
    found = [ellipse.circumference() * head.pixel_size_mm for ellipse in copies if ellipse is not None]
    return float(np.std(found, ddof=1)) if len(found) > 1 else math.nan


def _row(cases: Sequence[ScoredImage]) -> str:
    overall = summarise(cases)
    df, adf, dice, hausdorff = overall.difference_mm, overall.absolute_difference_mm, overall.dice, overall.hausdorff_mm
    counts = f"{len(cases):>7}{overall.n_failed:>7}"
    if df is None or adf is None or dice is None or hausdorff is None:
        return counts
    return f"{counts}{adf.mean:>8.3f}{adf.p95:>7.2f}{df.mean:>+8.3f}{100.0 * dice.mean:>7.2f}{hausdorff.mean:>7.3f}"


def _print_agreement(cases: Sequence[ScoredImage], spreads_mm: NDArray[np.float64]) -> None:
    errors_mm = np.array([math.nan if case.difference_mm is None else abs(case.difference_mm) for case in cases])
    known = np.isfinite(errors_mm) & np.isfinite(spreads_mm)
    print(f"standard deviation of HC over the mirrored copies: mean {spreads_mm[known].mean():.2f} mm")
    correlation = _correlation_of(spreads_mm[known], errors_mm[known])
    print(f"correlation of that standard deviation with |predicted - reference|: {correlation:.2f}")


def _correlation(first: Sequence[ScoredImage], second: Sequence[ScoredImage]) -> float:
    """Of predicted - reference over the images that both measured: near 1, no number of models would help much."""
    pairs = [(one.difference_mm, two.difference_mm) for one, two in zip(first, second, strict=True)]
    both = np.array([pair for pair in pairs if None not in pair], dtype=np.float64)
    return _correlation_of(both[:, 0], both[:, 1])


def _correlation_of(first: NDArray[np.float64], second: NDArray[np.float64]) -> float:
    matrix: NDArray[np.float64] = np.asarray(np.corrcoef(first, second))
    return float(matrix[0, 1])


if __name__ == "__main__":
    sys.exit(main())
