"""The columns of a table of results: one definition from which CSV files, JSON lines and Parquet files follow."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from fetal_hc.io.tables import from_safe_cell, to_safe_cell

Value = str | int | float
Row = TypeVar("Row")


@dataclass(frozen=True, slots=True)
class Column(Generic[Row]):
    """One column.

    Attributes:
        name: its name in every format, with the unit.
        kind: `str`, `int` or `float`.
        get: the value in a row; None where it does not apply.
        decimals: decimals of a number in CSV; None writes the shortest text that reads back exactly.
        is_required: False for a column that was added later, so that older files lack it.
    """

    name: str
    kind: type[str] | type[int] | type[float]
    get: Callable[[Row], Value | None]
    decimals: int | None = None
    is_required: bool = True

    def to_text(self, row: Row) -> str:
        """The cell of a row in CSV: empty where the value does not apply, and safe to open in a spreadsheet."""
        value = self.get(row)
        if value is None:
            return ""
        if isinstance(value, str):
            return to_safe_cell(value)
        return repr(self.kind(value)) if self.decimals is None else f"{value:.{self.decimals}f}"

    def from_text(self, text: str) -> Value | None:
        """The value of a cell; None for an empty number.

        Raises:
            ValueError: if it is not a finite number, although it should be one.
        """
        if self.kind is str:
            return from_safe_cell(text)
        if not text:
            return None
        value = self.kind(text)
        if not isinstance(value, str) and not math.isfinite(value):
            raise ValueError(f"'{text}' is not a finite number")
        return value


@dataclass(frozen=True, slots=True)
class ColumnTable(Generic[Row]):
    """All columns of a table, and the way back from their values to a row.

    Attributes:
        columns: in the order of the CSV file, which is a contract: columns are only added at the end.
        from_values: the row with these values by column name; values that do not apply may be missing or None.
    """

    columns: tuple[Column[Row], ...]
    from_values: Callable[[Mapping[str, Any]], Row]

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the columns."""
        return tuple(column.name for column in self.columns)

    @property
    def required_names(self) -> tuple[str, ...]:
        """The columns that every file has, however old it is."""
        return tuple(column.name for column in self.columns if column.is_required)

    def to_values(self, row: Row) -> dict[str, Value]:
        """The exact values of a row that apply, by column name."""
        values = ((column, column.get(row)) for column in self.columns)
        return {column.name: column.kind(value) for column, value in values if value is not None}

    def to_texts(self, row: Row) -> list[str]:
        """The cells of a row in CSV, in the order of the columns."""
        return [column.to_text(row) for column in self.columns]

    def from_texts(self, texts: Mapping[str, str]) -> Row:
        """The row with these cells by column name; further cells are ignored.

        Raises:
            ValueError: if a cell cannot be understood.
        """
        return self.from_values({c.name: c.from_text(texts[c.name]) for c in self.columns if c.name in texts})
