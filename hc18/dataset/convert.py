"""From an HC18 folder to COCO JSON with centre-line ellipses, split into training and validation."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fetal_hc.errors import ConfigError, Problem, raise_if_fatal, warnings_of
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc.io.coco import write_coco
from fetal_hc.io.masks import polygon_area
from fetal_hc.io.records import CocoAnnotation, CocoCategory, CocoDataset, CocoImage
from hc18.dataset.folder import TRAINING_FOLDER, scan_training_set
from hc18.dataset.labelled_image import LabelledImage
from hc18.dataset.splits import grouped_stratified_folds, write_folds
from hc18.geometry.ellipse import Ellipse

TRAIN_FILE = "hc18_train.json"
VAL_FILE = "hc18_val.json"
FOLDS_FILE = "hc18_folds.csv"
REPORT_FILE = "hc18_report.json"

HEAD_CATEGORY = CocoCategory(1, "head")
POLYGON_POINTS = 360  # the inscribed polygon is 0.004 mm shorter in HC than an ellipse of 300 mm
_DECIMALS = 4  # of a pixel


@dataclass(frozen=True, slots=True)
class Hc18Conversion:
    """Counts, files and problems of a finished conversion.

    Attributes:
        n_images: labelled images.
        n_examinations: examinations they belong to.
        n_train: images in `hc18_train.json`.
        n_val: images in `hc18_val.json`.
        n_folds: folds of the split.
        val_fold: the fold used for validation.
        seed: of the split.
        images_per_fold: number of images in each fold.
        mean_hc_mm_per_fold: mean reference HC of each fold, in mm.
        hc_difference_mm: circumference of the fitted ellipse minus the table's HC: mean, mean_abs, max_abs, in mm.
        problems: warnings.
    """

    n_images: int
    n_examinations: int
    n_train: int
    n_val: int
    n_folds: int
    val_fold: int
    seed: int
    images_per_fold: tuple[int, ...]
    mean_hc_mm_per_fold: tuple[float, ...]
    hc_difference_mm: Mapping[str, float]
    problems: tuple[Problem, ...]


def convert_hc18(
    root: str | os.PathLike[str],
    output: str | os.PathLike[str],
    *,
    n_folds: int = 5,
    val_fold: int = 0,
    seed: int = 0,
    progress: bool = False,
) -> Hc18Conversion:
    """Writes `hc18_train.json`, `hc18_val.json`, `hc18_folds.csv` and `hc18_report.json` into `output`.

    Each file is replaced atomically; the same data and options give the same bytes. Nothing is written if the data has
    a fatal problem.

    Args:
        root: HC18 folder.
        output: folder for the files, created if needed.
        n_folds: number of folds, grouped by examination and stratified by HC.
        val_fold: the fold that becomes the validation set, in [0, n_folds).
        seed: of the split.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: lists every problem that forbids using the data.
        ConfigError: if `n_folds` or `val_fold` is out of range.
        FetalHCError: if `output` cannot be written.
    """
    if not 0 <= val_fold < n_folds:
        raise ConfigError(f"val_fold is {val_fold}; expected 0 to {n_folds - 1}, as there are {n_folds} folds")
    training_set = scan_training_set(root, progress=progress)
    raise_if_fatal(training_set.problems, f"{root}: HC18 training data cannot be used")
    cases = sorted(training_set.cases, key=lambda case: case.filename)
    folds = grouped_stratified_folds(cases, n_folds, seed)

    folder = Path(output)
    info = {
        "description": "HC18 training set, one head per image; polygon and bbox in the corner convention (pixel i "
        "covers [i, i + 1]), ellipse_px with pixel centres at integers",
        "image_root": _relative_folder(Path(root) / TRAINING_FOLDER, folder),
        "n_folds": n_folds,
        "val_fold": val_fold,
        "seed": seed,
    }
    identifiers = {case.filename: index for index, case in enumerate(cases, start=1)}
    train = [case for case in cases if folds[case.filename] != val_fold]
    val = [case for case in cases if folds[case.filename] == val_fold]
    report = _report(cases, folds, (n_folds, val_fold, seed), warnings_of(training_set.problems))
    for name, part in ((TRAIN_FILE, train), (VAL_FILE, val)):
        write_coco(folder / name, to_coco(part, identifiers, folds, {**info, "split": Path(name).stem}))
    write_folds(folder / FOLDS_FILE, cases, folds)
    write_text_atomic(folder / REPORT_FILE, json.dumps(asdict(report), indent=2) + "\n")
    return report


def to_coco(
    cases: Sequence[LabelledImage], identifiers: Mapping[str, int], folds: Mapping[str, int], info: Mapping[str, object]
) -> CocoDataset:
    """The cases as a COCO dataset of one category, "head".

    Args:
        cases: labelled images.
        identifiers: image id of each file name; the annotation has the same id.
        folds: fold of each file name.
        info: the dataset's `info` record.
    """
    images = [
        CocoImage(
            identifiers[case.filename],
            case.filename,
            *case.image_hw,
            extra={
                "pixel_size_mm": case.pixel_size_mm,
                "hc_mm": case.hc_mm,
                "examination": case.examination,
                "fold": folds[case.filename],
            },
        )
        for case in cases
    ]
    return CocoDataset(
        tuple(images),
        tuple(_annotation(case, identifiers[case.filename]) for case in cases),
        (HEAD_CATEGORY,),
        dict(info),
    )


def head_polygon(ellipse_px: Ellipse, image_hw: tuple[int, int]) -> NDArray[np.float64]:
    """The ellipse as polygon (n, 2) x, y in px, corner convention, cut at the image rectangle."""
    polygon = clip_to_image(ellipse_px.outline(POLYGON_POINTS) + 0.5, image_hw)
    return np.round(polygon, _DECIMALS)


def clip_to_image(polygon_xy: NDArray[np.float64], image_hw: tuple[int, int]) -> NDArray[np.float64]:
    """The part of a convex polygon (n, 2) inside [0, W] x [0, H]; (0, 2) if there is none.

    References: I. E. Sutherland, G. W. Hodgman, Reentrant polygon clipping, Commun. ACM 17 (1974) 32-42.
    """
    height, width = image_hw
    for axis, sign, limit in ((0, 1.0, 0.0), (0, -1.0, -float(width)), (1, 1.0, 0.0), (1, -1.0, -float(height))):
        depth = sign * polygon_xy[:, axis] - limit  # >= 0 on the side that is kept
        if (depth >= 0).all():
            continue
        kept: list[NDArray[np.float64]] = []
        for index, point in enumerate(polygon_xy):
            previous, previous_depth = polygon_xy[index - 1], depth[index - 1]
            if (depth[index] >= 0) != (previous_depth >= 0):
                crossing = previous + (point - previous) * (previous_depth / (previous_depth - depth[index]))
                crossing[axis] = abs(limit)
                kept.append(crossing)
            if depth[index] >= 0:
                kept.append(point)
        polygon_xy = np.array(kept).reshape(-1, 2)
    return polygon_xy


def head_annotation(
    identifier: int, ellipse_px: Ellipse, image_hw: tuple[int, int], extra: Mapping[str, object]
) -> CocoAnnotation:
    """The head of one image as a COCO annotation.

    Args:
        identifier: id of the image and of the annotation.
        ellipse_px: pixel centres at integers.
        image_hw: height and width of the image in px.
        extra: further fields of the annotation.
    """
    polygon = head_polygon(ellipse_px, image_hw)
    left, top = (float(value) for value in polygon.min(axis=0))
    width, height = (round(float(value), _DECIMALS) for value in np.ptp(polygon, axis=0))
    ellipse = {name: round(value, 6) for name, value in asdict(ellipse_px).items()}
    return CocoAnnotation(
        identifier,
        identifier,
        HEAD_CATEGORY.id,
        (left, top, width, height),
        round(abs(polygon_area(polygon)), _DECIMALS),
        [polygon.ravel().tolist()],
        extra={"ellipse_px": ellipse, **extra},
    )


def _annotation(case: LabelledImage, identifier: int) -> CocoAnnotation:
    drawing = {"touches_border": case.annotation.touches_border, "drawing": case.annotation.kind}
    return head_annotation(identifier, case.ellipse_px, case.image_hw, drawing)


def _relative_folder(folder: Path, start: Path) -> str:
    """`folder` seen from `start`, in POSIX form; absolute where no relative path exists (two Windows drives)."""
    try:
        return Path(os.path.relpath(folder, start)).as_posix()
    except ValueError:
        return folder.resolve().as_posix()


def _report(
    cases: Sequence[LabelledImage], folds: Mapping[str, int], options: tuple[int, int, int], problems: Sequence[Problem]
) -> Hc18Conversion:
    """Counts and figures of a conversion."""
    n_folds, val_fold, seed = options
    hc_mm = np.array([case.hc_mm for case in cases])
    difference_mm = np.array([case.fitted_hc_mm for case in cases]) - hc_mm
    fold = np.array([folds[case.filename] for case in cases])
    n_val = int((fold == val_fold).sum())
    figures = {"mean": difference_mm.mean(), "mean_abs": abs(difference_mm).mean(), "max_abs": abs(difference_mm).max()}
    return Hc18Conversion(
        n_images=len(cases),
        n_examinations=len({case.examination for case in cases}),
        n_train=len(cases) - n_val,
        n_val=n_val,
        n_folds=n_folds,
        val_fold=val_fold,
        seed=seed,
        images_per_fold=tuple(int((fold == index).sum()) for index in range(n_folds)),
        mean_hc_mm_per_fold=tuple(round(float(hc_mm[fold == index].mean()), 2) for index in range(n_folds)),
        hc_difference_mm={name: round(float(value), 5) for name, value in figures.items()},
        problems=tuple(problems),
    )
