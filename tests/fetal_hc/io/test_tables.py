"""CSV tables: reading, writing and cells that no spreadsheet executes."""

import math
from pathlib import Path

import pytest

from fetal_hc.errors import FetalHCError
from fetal_hc.io.tables import (
    Table,
    column_key,
    from_safe_cell,
    number_remedy,
    parse_table,
    positive_number,
    read_table,
    to_csv_text,
    to_numbers,
    to_positive_numbers,
    to_safe_cell,
    write_csv,
)


def parse(text: str, *required: str) -> Table:
    return parse_table(text, "t.csv", required or ("name",), ("size (mm)",))


def rows_of(table: Table) -> list[tuple[int, ...]]:
    return [tuple(row) for row in table.cells.itertuples(name=None)]


def messages(table: Table) -> list[str]:
    return [problem.message for problem in table.problems]


def test_cells_are_stripped_text_under_the_names_asked_for() -> None:
    table = parse("\ufeffSize(MM) ,x, Name\r\n 007 ,1, a.png \r\n")
    assert rows_of(table) == [(2, "a.png", "007")]
    assert list(table.cells) == ["name", "size (mm)"]
    assert table.header == ("Size(MM)", "x", "Name")


def test_words_for_nothing_stay_text() -> None:
    assert [name for _, name in rows_of(parse("name\nNA\nnan\nNone\n"))] == ["NA", "nan", "None"]


def test_rows_keep_their_line_in_the_file() -> None:
    assert rows_of(parse("\nname\na\n\n , \nb\n")) == [(3, "a"), (6, "b")]


def test_a_quoted_line_end_counts_as_a_line() -> None:
    assert rows_of(parse('name,size (mm)\n"a\nb",1\nc,"1,5"\n')) == [(3, "a\nb", "1"), (4, "c", "1,5")]


def test_missing_optional_column_reads_as_empty_text() -> None:
    assert parse("name\na\n").column("size (mm)").tolist() == [""]


@pytest.mark.parametrize(("line", "count"), [("a", 1), ("a,1,2,3", 4)])
def test_rows_of_another_length_are_named(line: str, count: int) -> None:
    table = parse(f"name,size (mm)\nx,1\n{line}\n")
    assert list(table.uneven_rows()) == [3]
    (problem,) = table.uneven_problems()
    assert (problem.kind, problem.row) == ("field_count", 3)
    assert problem.message.startswith(f"t.csv, row 3: has {count} fields, the header 2; expected the same number")


def test_a_row_of_very_many_fields_makes_the_file_unreadable() -> None:
    assert "row 2 has 1001 fields, the first row 1" in messages(parse("name\n" + "," * 1000 + "\n"))[0]


def test_missing_columns_list_those_found() -> None:
    assert messages(parse("a;b\n1;2\n", "name", "size")) == [
        "t.csv, row 1: no column 'name' among ['a;b']; save it with commas between the columns",
        "t.csv, row 1: no column 'size' among ['a;b']; save it with commas between the columns",
    ]


def test_a_column_that_stands_twice_is_refused() -> None:
    table = parse("name,Size (mm),size(mm)\na,1,2\n")
    assert [problem.kind for problem in table.problems] == ["duplicate_column"]
    assert "the columns 2, 3 are all named 'size (mm)'" in messages(table)[0]


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty_table"),
        (b"\n , \n", "empty_table"),
        (b"\xff\xfen", "unreadable_table"),
        (b'"a', "unreadable_table"),
    ],
)
def test_content_that_is_no_table_is_one_problem(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    table = read_table(path, ["name"], what="a list of names", remedy="write it again")
    assert [problem.kind for problem in table.problems] == [kind]
    assert table.problems[0].message.startswith(f"{path}: is ")
    assert "write it again" in table.problems[0].message


def test_missing_file_says_what_was_expected(tmp_path: Path) -> None:
    table = read_table(tmp_path / "absent.csv", ["name"], what="a list of names", remedy="write it again")
    assert messages(table) == [f"{tmp_path / 'absent.csv'}: does not exist; expected a list of names; write it again"]


def test_numbers_are_those_python_reads_and_nothing_else() -> None:
    texts = parse("name\n0.1\n1e-3\n-2\n0\n0.0691358041432\n1_0\ninf\n1e999\nnan\n0x1\nabc\n\u0661\n").column("name")
    numbers = to_numbers(texts).tolist()
    assert numbers[:5] == [0.1, 0.001, -2.0, 0.0, 0.0691358041432]
    assert all(math.isnan(number) for number in numbers[5:])
    positive = [0.1, 0.001, None, None, 0.0691358041432, *[None] * 7]
    assert [None if math.isnan(number) else number for number in to_positive_numbers(texts)] == positive
    assert [positive_number(text) for text in texts] == positive


def test_decimal_comma_gets_its_repair() -> None:
    assert number_remedy("0,069", "restore it") == "write it with a decimal point: 0.069"
    assert number_remedy("abc", "restore it") == "restore it"


def test_column_names_compare_by_letters_and_digits() -> None:
    assert column_key(" Pixel Size (mm)") == column_key("pixel_size_mm")


def test_written_numbers_read_back_exactly() -> None:
    rows = [("a,b", 0.1, 3), ('say "x"', None, 0)]
    assert to_csv_text(("name", "value", "n"), rows) == 'name,value,n\n"a,b",0.1,3\n"say ""x""",,0\n'


def test_tables_for_spreadsheets_have_a_mark_and_their_line_ends() -> None:
    assert to_csv_text(("name",), [("ä",)], for_spreadsheets=True) == "\ufeffname\r\nä\r\n"


def test_table_without_rows_has_its_header(tmp_path: Path) -> None:
    write_csv(tmp_path / "t.csv", ("name", "value"), [])
    assert (tmp_path / "t.csv").read_bytes() == b"name,value\n"


def test_unwritable_table_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(FetalHCError, match="cannot be written"):
        write_csv(tmp_path, ("name",), [])


@pytest.mark.parametrize("text", ["=cmd|' /C calc'!A0", "+1", "-1", "@SUM(A1)", "'quoted", "  =1+1", "＝1"])
def test_formulas_are_defused(text: str) -> None:
    assert to_safe_cell(text) == f"'{text}"


@pytest.mark.parametrize("text", ["", "010_HC.png", "größe.png", "a=b.png", "a - b.png"])
def test_ordinary_text_is_unchanged(text: str) -> None:
    assert to_safe_cell(text) == text


def test_control_characters_become_spaces_and_undecodable_bytes_codes() -> None:
    assert to_safe_cell("a\r\nb\tc\udcff.png") == r"a  b c\udcff.png"
    assert to_safe_cell("\t=1") == "' =1"


@pytest.mark.parametrize("text", ["=1", "'=1", "''", "a.png", " =1"])
def test_text_comes_back(text: str) -> None:
    assert from_safe_cell(to_safe_cell(text)) == text
