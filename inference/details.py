"""Writing `details.csv` row by row, so that memory does not grow with the batch."""

from __future__ import annotations

import csv
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from inference.rows import DETAILS_COLUMNS, ScoreRow, to_details_fields
from segdata.atomic import atomic_path
from segdata.errors import HeadSegError


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

    def flush(self) -> None:
        """Hands all rows to the operating system.

        Raises:
            HeadSegError: if they cannot be written.
        """
        try:
            self._stream.flush()
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
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as stream:
        writer = DetailsWriter(path, stream, model_sha256)
        yield writer
        writer.flush()
