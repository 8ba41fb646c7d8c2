"""Shard files in Parquet: whole batches of results as processes on other machines write them to shared storage."""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from fetal_hc.batch.checkpoint.job_results import RECORD_FIELDS, TaskResult, from_record, to_record
from fetal_hc.errors import FetalHCError
from fetal_hc.io.extras import import_scale_library
from fetal_hc.io.storage import FileStamp, open_binary, write_whole_file

_JOB_COLUMNS = ("job", "path", "file_bytes", "file_mtime_ns")
_PURPOSE = "a Parquet part file"


def write_parquet_part(location: str, results: Sequence[TaskResult]) -> None:
    """Writes the results of consecutive jobs as one file, as a whole or not at all: a row per picture.

    Raises:
        FetalHCError: if it cannot be written.
    """
    pyarrow = import_scale_library("pyarrow", _PURPOSE)
    parquet = import_scale_library("pyarrow.parquet", _PURPOSE)
    rows = [{**_job_fields(result), **to_record(row)} for result in results for row in result.rows]
    table = pyarrow.Table.from_pylist(rows, schema=_schema(pyarrow))
    buffer = io.BytesIO()
    parquet.write_table(table, buffer)
    write_whole_file(location, buffer.getvalue())


def read_parquet_part(location: str) -> Iterator[TaskResult]:
    """The results in a Parquet part.

    Raises:
        FetalHCError: if it cannot be read.
    """
    parquet = import_scale_library("pyarrow.parquet", _PURPOSE)
    try:
        with open_binary(location) as stream:
            table = parquet.read_table(io.BytesIO(stream.read()))
    except (OSError, ValueError) as error:
        raise FetalHCError(f"{location}: cannot be read ({error}); check the storage, or remove the file") from error
    for index, rows in groupby(table.to_pylist(), key=lambda fields: fields["job"]):
        records = list(rows)
        size_bytes, mtime_ns = records[0]["file_bytes"], records[0]["file_mtime_ns"]
        stamp = None if size_bytes is None else FileStamp(size_bytes, mtime_ns)
        yield TaskResult(index, records[0]["path"], stamp, tuple(from_record(record) for record in records))


def _job_fields(result: TaskResult) -> dict[str, Any]:
    """What every row of a file repeats."""
    stamp = result.stamp
    values = (result.index, result.path, *((None, None) if stamp is None else (stamp.size_bytes, stamp.mtime_ns)))
    return dict(zip(_JOB_COLUMNS, values, strict=True))


def _schema(pyarrow: Any) -> Any:
    """Column types: text, whole numbers, double precision."""
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    columns = [(name, types[str if name == "path" else int]) for name in _JOB_COLUMNS]
    columns += [(name, types[kind]) for name, kind in RECORD_FIELDS.items()]
    return pyarrow.schema(columns)
