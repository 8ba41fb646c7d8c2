"""Shards in Parquet: whole runs of results as processes on other machines write them to shared storage."""

from __future__ import annotations

import io
import os
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import Any

from fetal_hc.batch.tasks import TaskResult
from fetal_hc.errors import FetalHCError
from fetal_hc.io.columns import ColumnTable
from fetal_hc.io.extras import import_scale_library
from fetal_hc.io.storage import FileStamp, open_binary, write_whole_file
from fetal_hc.io.tables import to_printable

_TASK_COLUMNS = ("task", "path", "file_bytes", "file_mtime_ns")
_PURPOSE = "a shard in Parquet"


def write_parquet_shard(location: str, results: Sequence[TaskResult[Any]], table: ColumnTable[Any]) -> None:
    """Writes the results of consecutive tasks as one file, as a whole or not at all: a row per picture.

    Raises:
        FetalHCError: if it cannot be written.
    """
    pyarrow = import_scale_library("pyarrow", _PURPOSE)
    parquet = import_scale_library("pyarrow.parquet", _PURPOSE)
    rows = [{**_task_values(result), **_to_utf8(table.to_values(row))} for result in results for row in result.rows]
    buffer = io.BytesIO()
    parquet.write_table(pyarrow.Table.from_pylist(rows, schema=_schema(pyarrow, table)), buffer)
    write_whole_file(location, buffer.getvalue())


def read_parquet_shard(location: str, table: ColumnTable[Any]) -> Iterator[TaskResult[Any]]:
    """The results in a Parquet shard.

    Raises:
        FetalHCError: if it cannot be read.
    """
    parquet = import_scale_library("pyarrow.parquet", _PURPOSE)
    try:
        with open_binary(location) as stream:
            content = parquet.read_table(io.BytesIO(stream.read()))
    except (OSError, ValueError) as error:
        raise FetalHCError(f"{location}: cannot be read ({error}); check the storage, or remove the file") from error
    for index, rows in groupby(content.to_pylist(), key=lambda values: values["task"]):
        records = list(rows)
        path, size_bytes, mtime_ns = (records[0][name] for name in _TASK_COLUMNS[1:])
        yield TaskResult(
            index,
            None if path is None else os.fsdecode(path),
            None if size_bytes is None else FileStamp(size_bytes, mtime_ns),
            tuple(table.from_values(record) for record in records),
        )


def _task_values(result: TaskResult[Any]) -> dict[str, Any]:
    """What every row of a file repeats."""
    path = None if result.path is None else os.fsencode(result.path)
    stamp = result.stamp
    values = (result.index, path, *((None, None) if stamp is None else (stamp.size_bytes, stamp.mtime_ns)))
    return dict(zip(_TASK_COLUMNS, values, strict=True))


def _to_utf8(values: dict[str, Any]) -> dict[str, Any]:
    """The values with file names that are not UTF-8 written as the result files write them."""
    return {name: to_printable(value) if isinstance(value, str) else value for name, value in values.items()}


def _schema(pyarrow: Any, table: ColumnTable[Any]) -> Any:
    """Column types: text, whole numbers, double precision."""
    types = {str: pyarrow.string(), int: pyarrow.int64(), float: pyarrow.float64()}
    columns = [(name, pyarrow.binary() if name == "path" else pyarrow.int64()) for name in _TASK_COLUMNS]
    columns += [(column.name, types[column.kind]) for column in table.columns]
    return pyarrow.schema(columns)
