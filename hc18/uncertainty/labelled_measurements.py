"""Reads measurements of images that a model was not trained on, with their references: what calibrations need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from fetal_hc.errors import DatasetError, raise_problems
from fetal_hc.io.coco import read_coco
from fetal_hc.io.tables import from_safe_cell, read_table, to_csv_text
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.details import read_details
from hc18.measurement.interval_model import COMMON_FEATURES, UNFAMILIARITY, find_features
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow
from hc18.uncertainty.calibration import LabelledMeasurement

_TYPICAL_HC_MM = 180.0  # of heads of which none has a pixel size


def read_labelled_measurements(details: Path, labelled: Path) -> tuple[list[LabelledMeasurement], list[str]]:
    """The measurements of a dataset's images with their references, and the names of the images without millimetres.

    Args:
        details: `details.csv` of a model; rows of other images are ignored.
        labelled: COCO JSON of fetal-hc convert, with images that the model was not trained on.

    Raises:
        DatasetError: if a file cannot be read, or listing every image without a row, a reference or quality features.
    """
    rows = {row.file_name: row for row in read_details(details)}
    measured, unmeasured, problems = [], [], []
    for image in read_coco(labelled).images:
        name, reference_hc_mm = Path(image.file_name).name, image.extra.get("hc_mm")
        row = rows.get(name)
        if row is None or reference_hc_mm is None:
            missing = f"no row in {details}" if row is None else f"no 'hc_mm' in {labelled}"
            problems.append(f"{name}: {missing}; score the folder and convert it with fetal-hc convert")
        elif row.hc_mm is None:
            unmeasured.append(name)
        elif (features := _features(row)) is None:
            problems.append(f"{name}: {details} lacks its quality features; score it again with fetal-hc score")
        else:
            group = str(image.extra.get("examination", name))
            measured.append(LabelledMeasurement(name, group, row.hc_mm, features, reference_hc_mm))
    if problems:
        raise_problems(DatasetError, problems, f"{details}: cannot calibrate with it")
    return measured, unmeasured


def read_away_measurements(details: Path, labelled: Path) -> tuple[list[LabelledMeasurement], list[str]]:
    """As `read_labelled_measurements`, of heads with reference ellipses, some of which have no pixel size.

    An image without a pixel size takes part with the median circumference of the others, so that its relative error
    counts.

    Args:
        details: `details.csv` of a model; rows of other images are ignored.
        labelled: COCO JSON of fetal-hc convert-external, with images that the model was not trained on.

    Raises:
        DatasetError: if a file cannot be read, or listing every image without a row or quality features.
    """
    rows = {row.file_name: row for row in read_details(details)}
    dataset = read_coco(labelled)
    ellipses = read_reference_ellipses([labelled])
    known_mm = [image.extra["hc_mm"] for image in dataset.images if image.extra.get("hc_mm") is not None]
    typical_mm = float(np.median(known_mm)) if known_mm else _TYPICAL_HC_MM
    measured, unmeasured, problems = [], [], []
    for image in dataset.images:
        name = Path(image.file_name).name
        row = rows.get(name)
        if row is None:
            problems.append(f"{name}: no row in {details}; measure the images of {labelled}")
            continue
        if row.hc_px is None:
            unmeasured.append(name)
            continue
        reference_mm = image.extra.get("hc_mm") or typical_mm
        hc_mm = reference_mm * row.hc_px / ellipses[name].circumference()
        features = _features(row, hc_mm)
        if features is None:
            problems.append(f"{name}: {details} lacks its quality features; measure it again")
            continue
        group = str(image.extra.get("examination", name))
        measured.append(LabelledMeasurement(name, group, hc_mm, features, reference_mm))
    if problems:
        raise_problems(DatasetError, problems, f"{details}: cannot calibrate with it")
    return measured, unmeasured


def read_reference_ellipses(labelled: Sequence[Path]) -> dict[str, Ellipse]:
    """The reference ellipse, in px, of each image of some COCO JSON files, by the name of the image.

    Raises:
        DatasetError: if a file cannot be read.
    """
    found = {}
    for path in labelled:
        dataset = read_coco(path)
        names = {image.id: Path(image.file_name).name for image in dataset.images}
        found.update({names[item.image_id]: Ellipse(**item.extra["ellipse_px"]) for item in dataset.annotations})
    return found


def read_common_features(*files: Path) -> list[list[dict[str, float]]]:
    """The features in each of several details files, of the images that all of them have measured.

    Args:
        files: details; an image may have several rows in one file, of several networks.

    Raises:
        DatasetError: if a file cannot be read.
    """
    measured = [[(row.file_name, found) for row in read_details(path) if (found := _features(row))] for path in files]
    common = set.intersection(*({name for name, _ in rows} for rows in measured))
    return [[features for name, features in rows if name in common] for rows in measured]


def out_of_fold_table(pairs: Iterable[tuple[Path, Path]]) -> str:
    """One details file, as text, from those of several models: of each, the rows of the images it was not trained on.

    Args:
        pairs: details of a model and the COCO JSON of the images to take from it.

    Raises:
        DatasetError: if a file cannot be read, or an image has two rows.
    """
    columns = MEASUREMENT_TABLE.names
    rows: list[list[str]] = []
    seen: set[str] = set()
    for details, labelled in pairs:
        read_details(details)  # refuses any other table
        names = {Path(image.file_name).name for image in read_coco(labelled).images}
        table = read_table(details, ("filename",), columns[1:])
        cells = zip(*(table.column(name) for name in columns), strict=True)
        found = [list(row) for row in cells if from_safe_cell(row[0]) in names]
        twice = sorted(seen.intersection(row[0] for row in found))
        if twice:
            raise DatasetError(
                f"{labelled}: {twice[0]} and {len(twice) - 1} more have a row already; name each image once"
            )
        seen.update(row[0] for row in found)
        rows += found
    return to_csv_text(columns, rows)


def _features(row: MeasurementRow, hc_mm: float | None = None) -> dict[str, float] | None:
    """The features that are known; None if a common one is not. `hc_mm` stands in where the row has no millimetres."""
    size_mm = row.hc_mm if hc_mm is None else hc_mm
    if size_mm is None:
        return None
    extra = () if row.quality.unfamiliarity is None else (UNFAMILIARITY,)
    return find_features(size_mm, row.quality, (*COMMON_FEATURES, *extra))
