"""Reading `details.csv`, and writing it row by row, so that memory does not grow with the batch."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TextIO

from inference.rows import DETAILS_COLUMNS, ScoreRow, from_details_fields, to_details_fields
from segdata.atomic import atomic_path
from segdata.errors import DatasetError, HeadSegError, raise_problems


class DetailsWriter:
    """Appends rows to an open details file.

    Attributes:
        path: the final name of the file, for messages.
    """

    def __init__(self, path: Path, stream: TextIO, model_sha256: str) -> None:
        self.path = path
        self._stream = stream
        self._model_sha256 = model_sha256
        self._csv = csv.writer(stream, lineterminator="\n")
        self._write(list(DETAILS_COLUMNS))

    def write(self, row: ScoreRow) -> None:
        """Appends one row.

        Raises:
            HeadSegError: if it cannot be written.
        """
        self._write(to_details_fields(row, self._model_sha256))

    def close(self) -> None:
        """Hands all rows to the operating system.

        Raises:
            HeadSegError: if they cannot be written.
        """
        try:
            self._stream.close()
        except OSError as error:
            raise self._unwritable(error) from error

    def _write(self, fields: list[str]) -> None:
        try:
            self._csv.writerow(fields)
        except OSError as error:
            raise self._unwritable(error) from error

    def _unwritable(self, error: OSError) -> HeadSegError:
        return HeadSegError(
            f"{self.path}: cannot be written ({error.strerror}); expected a writable folder with free "
            "space; choose another path"
        )


@contextmanager
def open_details(path: Path, model_sha256: str) -> Iterator[DetailsWriter]:
    """A writer of the details file `path`, which appears only when the block ends without an error.

    Args:
        path: CSV file.
        model_sha256: hex digest of the model, for the last column.

    Raises:
        HeadSegError: if the file cannot be written.
    """
    with atomic_path(path) as temporary:
        stream = temporary.open("w", encoding="utf-8", newline="")
        try:
            writer = DetailsWriter(path, stream, model_sha256)
            yield writer
        except BaseException:
            with suppress(OSError):  # the rows are given up anyway
                stream.close()
            raise
        writer.close()


def read_details(path: Path) -> list[ScoreRow]:
    """The results in a details file, in its order.

    Raises:
        DatasetError: if the file cannot be read or lacks columns, or listing every row that cannot be understood.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as stream:
            reader = csv.DictReader(stream, restval="")
            missing = [name for name in DETAILS_COLUMNS if name not in (reader.fieldnames or [])]
            lines = [(reader.line_num, fields) for fields in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); expected a details file of tools/score.py") from error
    if missing:
        raise DatasetError(
            f"{path}, row 1: lacks the columns {', '.join(missing)}; expected a details file of tools/score.py"
        )
    rows, problems = [], []
    for line, fields in lines:
        try:
            rows.append(from_details_fields(fields))
        except ValueError as error:
            problems.append(f"{path}, row {line}: {error}; expected a row as tools/score.py writes it")
    if problems:
        raise_problems(DatasetError, problems, f"{path} is no details file")
    return rows
