"""Text in CSV files that spreadsheets open."""

from __future__ import annotations

# What starts a formula; the last four are the full-width forms. The apostrophe keeps `from_safe_cell` exact.
FORMULA_STARTS = tuple("=+-@'\uff1d\uff0b\uff0d\uff20")


def to_safe_cell(text: str) -> str:
    """`text` as one line that no spreadsheet takes for a formula.

    Control characters become spaces; what starts like a formula, spaces aside, gets an apostrophe before it.

    References: OWASP, CSV Injection.
    """
    line = "".join(character if character.isprintable() else " " for character in text)
    return f"'{line}" if line.lstrip().startswith(FORMULA_STARTS) else line


def from_safe_cell(cell: str) -> str:
    """The text that `to_safe_cell` made safe, up to control characters."""
    return cell.removeprefix("'")
