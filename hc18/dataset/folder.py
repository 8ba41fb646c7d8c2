"""Reading and checking an HC18 folder: images, annotations and their tables.

Layout of the published archive: `training_set/NAME.png`, `training_set/NAME_Annotation.png`, `test_set/NAME.png`,
`training_set_pixel_size_and_HC.csv`, `test_set_pixel_size.csv`.

References: T. L. A. van den Heuvel et al., PLOS ONE 13(8):e0200412 (2018); data at doi 10.5281/zenodo.1322001.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from fetal_hc.errors import Problem, raise_if_fatal
from hc18.dataset.labelled_image import LabelledImage, annotation_name, check_image, read_case
from hc18.dataset.pixel_size_table import PixelSizeRow, PixelSizeTable, read_pixel_size_table

TRAINING_FOLDER = "training_set"
TRAINING_TABLE = "training_set_pixel_size_and_HC.csv"
TEST_FOLDER = "test_set"
TEST_TABLE = "test_set_pixel_size.csv"

_WORKERS = 2


@dataclass(frozen=True, slots=True)
class TrainingSet:
    """The readable cases in the order of the table, and every problem found."""

    cases: tuple[LabelledImage, ...]
    problems: tuple[Problem, ...]


def read_training_set(
    root: str | os.PathLike[str], *, names: Collection[str] | None = None, progress: bool = False
) -> list[LabelledImage]:
    """All labelled cases, in the order of the table.

    Args:
        root: HC18 folder.
        names: only these file names; all when None.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: lists every problem that forbids using the data.
    """
    training_set = scan_training_set(root, names=names, progress=progress)
    raise_if_fatal(training_set.problems, f"{root}: HC18 training data cannot be used")
    return list(training_set.cases)


def check_folder(root: str | os.PathLike[str], *, progress: bool = False) -> list[Problem]:
    """Every problem of an HC18 folder, training set and (where present) test set; empty if there is none.

    Args:
        root: HC18 folder.
        progress: show a progress bar if the error output is a terminal.
    """
    problems = list(scan_training_set(root, progress=progress).problems)
    folder, table_path = Path(root) / TEST_FOLDER, Path(root) / TEST_TABLE
    if folder.is_dir() or table_path.is_file():
        table = read_pixel_size_table(table_path)
        problems += table.problems
        if not folder.is_dir():
            return [*problems, _missing_folder(folder)]
        problems += _extra_files(folder, table.rows.filenames, table_path)
        for row in table.rows:
            problems += check_image(folder / row.filename)
    return problems


def scan_training_set(
    root: str | os.PathLike[str], *, names: Collection[str] | None = None, progress: bool = False
) -> TrainingSet:
    """The labelled cases that can be read, and all problems of the training set.

    Args:
        root: HC18 folder.
        names: read only these file names; all when None. Names without a table row are a problem.
        progress: show a progress bar if the error output is a terminal.
    """
    folder, table_path = Path(root) / TRAINING_FOLDER, Path(root) / TRAINING_TABLE
    table = read_pixel_size_table(table_path, require_hc=True)
    rows: Sequence[PixelSizeRow] = table.rows
    problems = list(table.problems)
    if not folder.is_dir():
        return TrainingSet((), (*problems, _missing_folder(folder)))
    if names is None:
        expected = [name for row in rows for name in (row.filename, annotation_name(row.filename))]
        problems += _extra_files(folder, expected, table_path)
    else:
        problems += _unknown_names(names, table)
        rows = [row for row in rows if row.filename in names]
    with ThreadPoolExecutor(_WORKERS) as pool:
        readings = pool.map(lambda row: read_case(folder, row), rows)
        bar = tqdm(readings, "reading HC18", len(rows), unit="image", disable=None if progress else True)
        results = list(bar)
    for _, case_problems in results:
        problems += case_problems
    return TrainingSet(tuple(case for case, _ in results if case is not None), tuple(problems))


def _missing_folder(folder: Path) -> Problem:
    """The problem of a folder that is not there."""
    remedy = "expected a folder of the HC18 archive; give the folder that holds it as root"
    return Problem("missing_folder", f"{folder}: does not exist; {remedy}")


def _extra_files(folder: Path, expected: Sequence[str], table_path: Path) -> list[Problem]:
    """A warning for each file without a table row; hidden files do not count, nor does a table without rows."""
    if not expected:
        return []
    extra = sorted({entry.name for entry in folder.iterdir() if not entry.name.startswith(".")} - set(expected))
    remedy = f"has no row in {table_path.name} and is not used; add its row or remove it"
    return [Problem("extra_file", f"{folder / name}: {remedy}", fatal=False) for name in extra]


def _unknown_names(names: Collection[str], table: PixelSizeTable) -> list[Problem]:
    """Names that were asked for but have no row, unless the table itself could not be read."""
    if not table.rows:
        return []
    remedy = f"has no row in {table.path}; expected a labelled image of this folder; take both from the same data"
    return [Problem("unknown_name", f"'{name}': {remedy}") for name in sorted(set(names) - table.names)]
