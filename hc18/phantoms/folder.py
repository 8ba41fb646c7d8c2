"""Writes folders of phantoms in the layout of the HC18 challenge."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from fetal_hc.errors import DatasetError
from fetal_hc.io.atomic import atomic_path
from fetal_hc.io.tables import write_csv
from hc18.dataset.folder import TEST_FOLDER, TEST_TABLE, TRAINING_FOLDER, TRAINING_TABLE
from hc18.dataset.labelled_image import annotation_name
from hc18.dataset.pixel_size_table import FILENAME_COLUMN, HC_COLUMN, PIXEL_SIZE_COLUMN
from hc18.geometry.ellipse import Ellipse
from hc18.phantoms.phantom import render_phantom
from hc18.phantoms.spec import PhantomSpec, sample_spec

FULL_IMAGE_HW = (540, 800)
SMALL_IMAGE_HW = (112, 160)
TRUTH_TABLE = "phantom_truth.csv"
OUTLINE_WIDTH_PX = 2.5
_TRUTH_COLUMNS = (
    FILENAME_COLUMN,
    "set",
    PIXEL_SIZE_COLUMN,
    HC_COLUMN,
    "center_x_px",
    "center_y_px",
    "semi_axis_a_px",
    "semi_axis_b_px",
    "angle_rad",
)


@dataclass(frozen=True, slots=True)
class PhantomCase:
    """One phantom of a folder: its file name, the folder it lies in (`training_set` or `test_set`) and its spec."""

    filename: str
    folder: str
    spec: PhantomSpec


def write_phantom_folder(
    root: str | os.PathLike[str],
    n_train: int,
    n_test: int,
    seed: int,
    *,
    image_hw: tuple[int, int] = FULL_IMAGE_HW,
    second_share: float = 0.2,
    overwrite: bool = False,
    progress: bool = False,
) -> list[PhantomCase]:
    """Writes `n_train` annotated and `n_test` unannotated phantoms and returns what was drawn, in the tables' order.

    The folder reads like the published HC18 archive. `phantom_truth.csv` is added: ellipse (pixels, pixel centres at
    integers), pixel size and circumference of every image at full precision. Equal arguments give equal bytes.

    Args:
        root: folder to create.
        n_train: images in `training_set`, >= 0.
        n_test: images in `test_set`, >= 0.
        seed: of everything.
        image_hw: image height and width, pixels.
        second_share: share of examinations with a second image (`010_2HC.png`), 0 to 1.
        overwrite: replace phantoms written here before; a folder of anything else is never touched.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: if `root` is in use, or a count is negative.
        FetalHCError: if a file cannot be written.
    """
    folder = Path(root)
    if n_train < 0 or n_test < 0:
        raise DatasetError(f"{folder}: {n_train} training and {n_test} test phantoms asked for; expected counts >= 0")
    _clear(folder, overwrite)
    rng = np.random.default_rng(seed)
    train_names, test_names = _sample_names(rng, n_train, second_share), _sample_names(rng, n_test, second_share)
    cases = [
        *_sample_cases(rng, train_names, TRAINING_FOLDER, image_hw),
        *_sample_cases(rng, test_names, TEST_FOLDER, image_hw),
    ]
    _write_tables(folder, cases)
    for name in (TRAINING_FOLDER, TEST_FOLDER):
        (folder / name).mkdir(parents=True, exist_ok=True)
    for case in tqdm(cases, desc="phantoms", unit="image", disable=None if progress else True):
        _write_case(folder, case)
    return cases


def draw_annotation(ellipse: Ellipse, image_hw: tuple[int, int]) -> NDArray[np.uint8]:
    """The outline picture of an HC18 annotation: 255 within 1.25 px of the ellipse, else 0; uint8 (H, W)."""
    height, width = image_hw
    cos, sin = np.cos(ellipse.angle_rad), np.sin(ellipse.angle_rad)
    dx = (np.arange(width) - ellipse.center_x)[None, :]
    dy = (np.arange(height) - ellipse.center_y)[:, None]
    p, q = (dx * cos + dy * sin) / ellipse.semi_axis_a, (dy * cos - dx * sin) / ellipse.semi_axis_b
    radius = np.sqrt(p * p + q * q)
    gradient = np.sqrt((p / ellipse.semi_axis_a) ** 2 + (q / ellipse.semi_axis_b) ** 2)
    distance = np.abs(radius - 1.0) * radius
    return np.where(distance <= 0.5 * OUTLINE_WIDTH_PX * gradient, 255, 0).astype(np.uint8)


def _clear(folder: Path, overwrite: bool) -> None:
    """Makes room in `folder`.

    Raises:
        DatasetError: if it holds anything and `overwrite` is not set, or anything but phantoms.
    """
    if not folder.exists():
        return
    if not folder.is_dir():
        raise DatasetError(f"{folder}: is a file; expected a folder to write phantoms into; choose another path")
    if not any(folder.iterdir()):
        return
    if not (folder / TRUTH_TABLE).is_file():
        raise DatasetError(
            f"{folder}: is not empty and holds no {TRUTH_TABLE}, so it was not written by this "
            "generator; expected a new or empty folder; choose another path"
        )
    if not overwrite:
        raise DatasetError(
            f"{folder}: already holds phantoms; expected a new or empty folder; allow overwriting "
            "or choose another path"
        )
    for name in (TRAINING_FOLDER, TEST_FOLDER):
        if (folder / name).is_dir():
            shutil.rmtree(folder / name)
    for name in (TRAINING_TABLE, TEST_TABLE, TRUTH_TABLE):
        (folder / name).unlink(missing_ok=True)


def _sample_names(rng: np.random.Generator, count: int, second_share: float) -> list[str]:
    """File names in table order; an examination with two images counts twice."""
    names: list[str] = []
    examination = 0
    while len(names) < count:
        names.append(f"{examination:03d}_HC.png")
        if rng.random() < second_share:
            names.append(f"{examination:03d}_2HC.png")
        examination += 1
    return names[:count]


def _sample_cases(
    rng: np.random.Generator, names: Sequence[str], folder: str, image_hw: tuple[int, int]
) -> list[PhantomCase]:
    """A spec per name; the second image of an examination shows a head of nearly the same size."""
    cases: list[PhantomCase] = []
    for name in names:
        spec = sample_spec(rng, image_hw)
        if "_2HC" in name:
            spec = _resized(spec, cases[-1].spec.hc_mm * float(rng.normal(1.0, 0.012)))
        cases.append(PhantomCase(name, folder, spec))
    return cases


def _resized(spec: PhantomSpec, hc_mm: float) -> PhantomSpec:
    """The same picture at the pixel size that makes the circumference `hc_mm`."""
    return replace(spec, pixel_size_mm=spec.pixel_size_mm * hc_mm / spec.hc_mm)


def _write_case(folder: Path, case: PhantomCase) -> None:
    """Writes the image and, in the training set, the annotation."""
    phantom = render_phantom(case.spec)
    _write_png(folder / case.folder / case.filename, phantom.image)
    if case.folder == TRAINING_FOLDER:
        _write_png(
            folder / case.folder / annotation_name(case.filename), draw_annotation(phantom.ellipse, case.spec.image_hw)
        )


def _write_png(path: Path, image: NDArray[np.uint8]) -> None:
    """Writes an 8-bit grey PNG."""
    with atomic_path(path) as temporary:
        Image.fromarray(image).save(temporary, format="PNG")


def _write_tables(folder: Path, cases: Sequence[PhantomCase]) -> None:
    """Writes the two tables of HC18 and the truth."""
    train = [case for case in cases if case.folder == TRAINING_FOLDER]
    test = [case for case in cases if case.folder == TEST_FOLDER]
    write_csv(folder / TRUTH_TABLE, _TRUTH_COLUMNS, [_truth_row(case) for case in cases])
    write_csv(
        folder / TRAINING_TABLE,
        (FILENAME_COLUMN, PIXEL_SIZE_COLUMN, HC_COLUMN),
        [(case.filename, repr(case.spec.pixel_size_mm), f"{case.spec.hc_mm:.2f}") for case in train],
    )
    write_csv(
        folder / TEST_TABLE,
        (FILENAME_COLUMN, PIXEL_SIZE_COLUMN),
        [(case.filename, repr(case.spec.pixel_size_mm)) for case in test],
    )


def _truth_row(case: PhantomCase) -> tuple[str, ...]:
    """One line of `phantom_truth.csv`."""
    spec, ellipse = case.spec, case.spec.ellipse
    numbers = (
        spec.pixel_size_mm,
        spec.hc_mm,
        ellipse.center_x,
        ellipse.center_y,
        ellipse.semi_axis_a,
        ellipse.semi_axis_b,
        ellipse.angle_rad,
    )
    return (case.filename, case.folder, *(repr(number) for number in numbers))
