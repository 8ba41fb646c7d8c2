"""Items of overlay pictures: images with reference outlines, and predictions from a file or a model."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from fetal_hc.batch.tasks import ImageTask
from fetal_hc.errors import DatasetError
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.records import CocoAnnotation
from hc18.dataset.folder import TRAINING_TABLE, scan_training_set
from hc18.dataset.pixel_size_table import read_pixel_sizes
from hc18.dataset.submission import read_submission
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.details import read_details
from hc18.measurement.pixel_size_rules import UNUSABLE, TablePixelSize, open_source
from hc18.measurement.worker import HeadTask, MeasureWork

_OUTLINE_POINTS = 360


@dataclass(frozen=True, slots=True)
class OverlayItem:
    """One image with what is known and what was predicted.

    Attributes:
        file_name: name of the image in its data set.
        image_path: the image.
        pixel_size_mm: mm per pixel, None if unknown.
        truth_outlines_xy: reference outlines, (n, 2) each, in px, pixel centres at integers.
        truth_hc_mm: reference circumference, None if unknown.
        predicted_px: predicted ellipse in px, pixel centres at integers; None if there is none.
        predicted_hc_mm: predicted circumference, None if there is none.
        note: why there is no prediction, or its quality flags.
    """

    file_name: str
    image_path: Path
    pixel_size_mm: float | None = None
    truth_outlines_xy: tuple[NDArray[np.float64], ...] = ()
    truth_hc_mm: float | None = None
    predicted_px: Ellipse | None = None
    predicted_hc_mm: float | None = None
    note: str = ""

    @property
    def difference_mm(self) -> float | None:
        """Predicted minus reference circumference, None if one is unknown."""
        if self.truth_hc_mm is None or self.predicted_hc_mm is None:
            return None
        return self.predicted_hc_mm - self.truth_hc_mm


def read_hc18_cases(
    root: str | os.PathLike[str], names: Collection[str] | None = None, limit: int | None = None
) -> list[OverlayItem]:
    """The labelled images of an HC18 folder with the ellipses fitted to their annotations, in the table's order.

    Cases with problems are left out; fetal-hc convert reports them.

    Args:
        root: HC18 folder.
        names: only these file names; all when None.
        limit: at most so many.

    Raises:
        DatasetError: if the table is unusable or no case can be read.
    """
    listed = [row.filename for row in read_pixel_sizes(Path(root) / TRAINING_TABLE, require_hc=True)]
    chosen = _chosen(listed, names, limit, str(root))
    training_set = scan_training_set(root, names=chosen, progress=True)
    if not training_set.cases:
        raise DatasetError(f"{root}: no labelled image can be read; first problem: {training_set.problems[0]}")
    return [
        OverlayItem(
            file_name=case.filename,
            image_path=case.image_path,
            pixel_size_mm=case.pixel_size_mm,
            truth_outlines_xy=(case.ellipse_px.outline(_OUTLINE_POINTS),),
            truth_hc_mm=case.hc_mm,
        )
        for case in training_set.cases
    ]


def read_coco_cases(
    json_path: str | os.PathLike[str], names: Collection[str] | None = None, limit: int | None = None
) -> list[OverlayItem]:
    """The images of a COCO file with their polygons, in its order.

    Args:
        json_path: COCO file; `pixel_size_mm` and `hc_mm` of its image records are used where present.
        names: only these file names; all when None.
        limit: at most so many.

    Raises:
        DatasetError: if the file is unusable, or a name is not in it.
    """
    dataset = read_coco(json_path)
    annotations: dict[int, list[CocoAnnotation]] = {}
    for annotation in dataset.annotations:
        annotations.setdefault(annotation.image_id, []).append(annotation)
    chosen = set(_chosen([image.file_name for image in dataset.images], names, limit, str(json_path)))
    return [
        OverlayItem(
            file_name=image.file_name,
            image_path=resolve_image_path(json_path, dataset, image),
            pixel_size_mm=image.extra.get("pixel_size_mm"),
            truth_outlines_xy=tuple(
                outline for annotation in annotations.get(image.id, []) for outline in _polygon_outlines(annotation)
            ),
            truth_hc_mm=image.extra.get("hc_mm"),
        )
        for image in dataset.images
        if image.file_name in chosen
    ]


def read_folder_cases(
    images: str | os.PathLike[str],
    pixel_sizes: str | os.PathLike[str],
    names: Collection[str] | None = None,
    limit: int | None = None,
) -> list[OverlayItem]:
    """The images of a folder without references: those of the table in its order, then the others by name.

    Args:
        images: folder of the images.
        pixel_sizes: CSV file in the layout of HC18.
        names: only these file names; all when None.
        limit: at most so many.

    Raises:
        DatasetError: if the folder or the table is unusable, or a name is not in it.
    """
    tasks = {task.file_name: task for task in open_source(images, pixel_sizes).tasks() if task.path is not None}
    chosen = _chosen(list(tasks), names, limit, str(images))
    return [OverlayItem(name, Path(images) / name, _size_mm(tasks[name]), note=tasks[name].note) for name in chosen]


def with_submission(cases: Sequence[OverlayItem], path: str | os.PathLike[str]) -> list[OverlayItem]:
    """The cases with the ellipses of a submission CSV.

    Raises:
        DatasetError: if the file is unusable or belongs to other images.
    """
    ellipses_mm = read_submission(path)
    _check_shared(cases, ellipses_mm, path)
    return [_with_ellipse_mm(case, ellipses_mm.get(Path(case.file_name).name)) for case in cases]


def with_details(cases: Sequence[OverlayItem], path: Path) -> list[OverlayItem]:
    """The cases with the results of a details CSV.

    Raises:
        DatasetError: if the file is unusable or belongs to other images.
    """
    rows = {row.file_name: row for row in read_details(path)}
    _check_shared(cases, rows, path)
    found = []
    for case in cases:
        row = rows.get(Path(case.file_name).name)
        if row is None:
            found.append(replace(case, note=f"no row in {path.name}"))
        else:
            note = "; ".join(row.flags) or row.reason
            found.append(replace(case, predicted_px=row.ellipse_px, predicted_hc_mm=row.hc_mm, note=note))
    return found


def with_model(cases: Sequence[OverlayItem], work: MeasureWork) -> list[OverlayItem]:
    """The cases measured with a model, one after the other.

    Raises:
        ModelError: if the model cannot be used.
    """
    found = []
    for case, result in zip(cases, work()(map(_task, cases)), strict=True):
        row = result.rows[0]
        note = "; ".join(row.flags) or row.reason
        found.append(replace(case, predicted_px=row.ellipse_px, predicted_hc_mm=row.hc_mm, note=note))
    return found


def _task(case: OverlayItem) -> HeadTask:
    """The image of a case, to be measured."""
    size_mm = case.pixel_size_mm
    facts = UNUSABLE if size_mm is None else TablePixelSize((size_mm, size_mm))
    return ImageTask(0, case.file_name, str(case.image_path), facts, case.note)


def _size_mm(task: HeadTask) -> float | None:
    """The pixel size that the table states."""
    size_xy_mm = None if task.facts is None else task.facts.pixel_size_xy_mm
    return None if size_xy_mm is None else size_xy_mm[0]


def worst_first(cases: Sequence[OverlayItem]) -> list[OverlayItem]:
    """The cases without a prediction, then those with one by falling |difference|; equal ones keep their order."""

    def badness(case: OverlayItem) -> float:
        if case.predicted_px is None:
            return float("inf")
        return abs(case.difference_mm) if case.difference_mm is not None else -1.0

    return sorted(cases, key=badness, reverse=True)


def _chosen(listed: Sequence[str], names: Collection[str] | None, limit: int | None, where: str) -> list[str]:
    """The listed file names that are wanted.

    Raises:
        DatasetError: naming wanted files that are not listed.
    """
    unknown = sorted(set(names or ()) - set(listed))
    if unknown:
        raise DatasetError(f"{where}: has no {', '.join(unknown)}; expected names of its {len(listed)} images")
    return [name for name in listed if names is None or name in names][:limit]


def _polygon_outlines(annotation: CocoAnnotation) -> list[NDArray[np.float64]]:
    """The polygons of an annotation, (n, 2), shifted from COCO's corner convention to ours."""
    if not isinstance(annotation.segmentation, list):
        return []
    return [np.asarray(polygon, dtype=np.float64).reshape(-1, 2) - 0.5 for polygon in annotation.segmentation]


def _check_shared(
    cases: Sequence[OverlayItem], predictions: Mapping[str, object], path: str | os.PathLike[str]
) -> None:
    """Raises DatasetError if no case has a prediction: the file belongs to other images."""
    if not any(Path(case.file_name).name in predictions for case in cases):
        raise DatasetError(
            f"{path}: none of its {len(predictions)} rows belongs to the {len(cases)} images to draw; choose the file "
            "written for these images"
        )


def _with_ellipse_mm(case: OverlayItem, ellipse_mm: Ellipse | None) -> OverlayItem:
    """The case with an ellipse in mm brought back to pixels."""
    if ellipse_mm is None:
        return replace(case, note="no row in the submission")
    if case.pixel_size_mm is None:
        return replace(case, note="no pixel size, so its millimetres cannot be drawn")
    per_mm = 1.0 / case.pixel_size_mm
    return replace(
        case, predicted_px=ellipse_mm.to_mm(per_mm, per_mm), predicted_hc_mm=ellipse_mm.circumference(), note=""
    )
