"""Measures labelled datasets with models that were not trained on them, and reads the results again."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from fetal_hc.errors import DatasetError, raise_problems
from fetal_hc.io.atomic import write_text_atomic
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.records import CocoImage
from fetal_hc.io.tables import to_csv_text
from fetal_hc.model.bundle import INTERVALS, ModelBundle
from hc18.measurement.batches import MeasureSettings, measure_files
from hc18.measurement.details import read_details
from hc18.measurement.head_model import bundled_model_path
from hc18.measurement.image_checks import IMAGE_CHECKS
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow

# Detections from this score on are measured: what a model would refuse teaches the checks, too.
MIN_SCORE = 0.05


@dataclass(frozen=True, slots=True)
class MeasuredImage:
    """The row of one image of a dataset.

    Attributes:
        row: what was measured.
        file: the image.
        group: its patient or examination.
        record: of the dataset.
    """

    row: MeasurementRow
    file: Path
    group: str
    record: CocoImage


def measure_dataset(labelled: Path, settings: MeasureSettings, *, with_checks: bool = True) -> Iterator[MeasurementRow]:
    """The row of every image of a COCO JSON file, in its order.

    Args:
        labelled: COCO JSON; images with a `pixel_size_mm` are measured in millimetres.
        settings: model and processes.
        with_checks: whether the model's image checks may refuse and flag.

    Raises:
        FetalHCError: if nothing can be measured.
    """
    dataset = read_coco(labelled)
    rows = [
        (str(resolve_image_path(labelled, dataset, image).resolve()), Path(image.file_name).name, _size(image))
        for image in dataset.images
    ]
    with tempfile.TemporaryDirectory() as folder:
        manifest = Path(folder) / "manifest.csv"
        write_text_atomic(manifest, to_csv_text(("path", "id", "pixel_size_mm"), rows))
        bundle = ModelBundle.read(settings.model or bundled_model_path())
        if not with_checks and IMAGE_CHECKS in bundle.sections:
            plain = Path(folder) / "without_checks.zip"
            bundle.replace(sections={IMAGE_CHECKS: None, INTERVALS: None}).write(plain)
            settings = replace(settings, model=plain)
        yield from measure_files(str(manifest), settings=settings)


def write_details(path: Path, rows: Iterable[MeasurementRow]) -> None:
    """Writes rows as `details.csv`.

    Raises:
        FetalHCError: if the file cannot be written.
    """
    write_text_atomic(path, to_csv_text(MEASUREMENT_TABLE.names, map(MEASUREMENT_TABLE.to_texts, rows)))


def read_measured_images(details: Path, labelled: Sequence[Path]) -> list[MeasuredImage]:
    """The images of datasets with their rows, in the order of the datasets.

    Args:
        details: `details.csv`; rows of other images are ignored.
        labelled: COCO JSON files.

    Raises:
        DatasetError: if a file cannot be read, or listing every image without a row.
    """
    rows = {row.file_name: row for row in read_details(details)}
    found, problems = [], []
    for path in labelled:
        dataset = read_coco(path)
        for image in dataset.images:
            name = Path(image.file_name).name
            if name not in rows:
                problems.append(f"{name}: no row in {details}; measure the images of {path}")
                continue
            group = str(image.extra.get("examination", name))
            found.append(MeasuredImage(rows[name], resolve_image_path(path, dataset, image), group, image))
    if problems:
        raise_problems(DatasetError, problems, f"{details} lacks images")
    return found


def _size(image: CocoImage) -> str:
    size_mm = image.extra.get("pixel_size_mm")
    return "" if size_mm is None else repr(size_mm)
