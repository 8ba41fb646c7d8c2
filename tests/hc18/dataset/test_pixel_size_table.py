"""Reading the tables of pixel sizes."""

from pathlib import Path

import pytest

from fetal_hc.errors import DatasetError
from hc18.dataset.pixel_size_table import (
    PixelSizeRow,
    pixel_size_table_from_text,
    read_pixel_size_table,
    read_pixel_sizes,
)

HEADER = "filename,pixel size(mm),head circumference (mm)"
ROW = "000_HC.png,0.0691358041432,44.3"


def write_table(folder: Path, *lines: str, encoding: str = "utf-8", line_end: str = "\r\n") -> Path:
    path = folder / "table.csv"
    path.write_bytes("".join(line + line_end for line in lines).encode(encoding))
    return path


def kinds(path: Path, *, require_hc: bool = True) -> list[str]:
    return [problem.kind for problem in read_pixel_size_table(path, require_hc=require_hc).problems]


def test_rows_keep_order_values_and_line_numbers(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, "010_HC.png,0.1,170.5", ROW)
    assert read_pixel_sizes(path, require_hc=True) == [
        PixelSizeRow("010_HC.png", 0.1, 170.5, 2),
        PixelSizeRow("000_HC.png", 0.0691358041432, 44.3, 3),
    ]


def test_test_table_without_circumference_is_accepted(tmp_path: Path) -> None:
    path = write_table(tmp_path, "filename,pixel size(mm)", "000_HC.png,0.2")
    assert read_pixel_sizes(path) == [PixelSizeRow("000_HC.png", 0.2, None, 2)]


@pytest.mark.parametrize(
    ("encoding", "line_end", "header", "row"),
    [
        pytest.param("utf-8-sig", "\r\n", HEADER, ROW, id="byte-order mark"),
        pytest.param("utf-8", "\n", HEADER, ROW, id="LF"),
        pytest.param(
            "utf-8",
            "\r\n",
            " filename , Pixel Size (mm) ,head circumference(mm)",
            " 000_HC.png , 0.0691358041432 , 44.3 ",
            id="spaces and case",
        ),
        pytest.param("utf-8", "\n", f",{HEADER},operator", f"0,{ROW},AB", id="further columns"),
        pytest.param("utf-8", "\n", HEADER, f"{ROW}\n\n,,", id="empty lines"),
    ],
)
def test_harmless_variants_read_the_same(tmp_path: Path, encoding: str, line_end: str, header: str, row: str) -> None:
    path = write_table(tmp_path, header, row, encoding=encoding, line_end=line_end)
    assert read_pixel_sizes(path, require_hc=True) == [PixelSizeRow("000_HC.png", 0.0691358041432, 44.3, 2)]


@pytest.mark.parametrize("value", ["", "0", "-0.1", "nan", "inf", "abc", "0_1", "1e999"])
def test_unusable_pixel_size_is_named(tmp_path: Path, value: str) -> None:
    path = write_table(tmp_path, HEADER, f"000_HC.png,{value},44.3")
    with pytest.raises(DatasetError) as caught:
        read_pixel_sizes(path)
    assert f"{path}, row 2, 'pixel size(mm)': '{value}' is not a positive number" in str(caught.value)
    assert "restore the row" in str(caught.value)


def test_quoted_comma_decimal_gets_its_repair(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, '000_HC.png,"0,069",44.3')
    with pytest.raises(DatasetError, match=r"'0,069' is not a positive number.*write it with a decimal point: 0\.069"):
        read_pixel_sizes(path)


def test_unquoted_comma_decimal_never_becomes_a_number(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, "000_HC.png,0,069,44.3")
    table = read_pixel_size_table(path)
    assert table.rows[0].pixel_size_mm is None
    assert "decimal point, not a comma" in table.problems[0].message


def test_bad_row_keeps_its_name_so_that_it_can_be_reported(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, "000_HC.png,-1,44.3", "001_HC.png,0.1,50")
    assert [(row.filename, row.pixel_size_mm) for row in read_pixel_size_table(path).rows] == [
        ("000_HC.png", None),
        ("001_HC.png", 0.1),
    ]


def test_missing_circumference_matters_only_when_required(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, "000_HC.png,0.1,")
    assert kinds(path, require_hc=True) == ["bad_hc"]
    assert kinds(path, require_hc=False) == []


def test_duplicate_row_names_both_lines(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, ROW, "001_HC.png,0.1,50", "000_HC.png,0.2,60")
    with pytest.raises(DatasetError, match=r"row 4, 'filename': '000_HC.png' already stands in row 2"):
        read_pixel_sizes(path)


@pytest.mark.parametrize("name", ["../000_HC.png", "training_set/000_HC.png", "a\\000_HC.png", ""])
def test_only_bare_file_names_are_accepted(tmp_path: Path, name: str) -> None:
    assert kinds(write_table(tmp_path, HEADER, f"{name},0.1,44.3")) == ["bad_filename"]


def test_all_problems_are_listed_at_once(tmp_path: Path) -> None:
    path = write_table(tmp_path, HEADER, ROW, ROW, "001_HC.png,x,y", ",1,1")
    assert kinds(path) == ["duplicate_row", "bad_pixel_size", "bad_hc", "bad_filename"]


def test_missing_column_lists_those_found(tmp_path: Path) -> None:
    path = write_table(tmp_path, "filename,spacing", "000_HC.png,0.1")
    with pytest.raises(DatasetError, match=r"row 1: no column 'pixel size\(mm\)' among \['filename', 'spacing'\]"):
        read_pixel_sizes(path)


def test_semicolon_table_gets_its_repair(tmp_path: Path) -> None:
    path = write_table(tmp_path, "filename;pixel size(mm)", "000_HC.png;0,1")
    with pytest.raises(DatasetError, match="commas between the columns"):
        read_pixel_sizes(path)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"", "empty_table"),
        (b"\n\n", "empty_table"),
        (b"filename,pixel size(mm)\n", "empty_table"),
        (b"\xff\xfe\x00f", "unreadable_table"),
        (b'filename,pixel size(mm)\n"a', "unreadable_table"),
    ],
)
def test_content_that_is_no_table(tmp_path: Path, content: bytes, kind: str) -> None:
    path = tmp_path / "table.csv"
    path.write_bytes(content)
    assert kinds(path, require_hc=False) == [kind]


def test_missing_table_is_a_problem(tmp_path: Path) -> None:
    assert kinds(tmp_path / "absent.csv") == ["missing_table"]


def test_folder_instead_of_a_table_is_a_problem(tmp_path: Path) -> None:
    assert kinds(tmp_path) == ["unreadable_table"]


def test_text_gives_the_same_table_as_a_file(tmp_path: Path) -> None:
    lines = (HEADER, ROW, "010_HC.png,nan,170.5")
    on_disk = read_pixel_size_table(write_table(tmp_path, *lines))
    from_text = pixel_size_table_from_text("\r\n".join(lines), "table.csv")
    assert list(from_text.rows) == list(on_disk.rows)
    assert [problem.kind for problem in from_text.problems] == [problem.kind for problem in on_disk.problems]
    assert from_text.problems[0].message.startswith("table.csv, row 3")


def rows_of(count: int, size: str) -> list[str]:
    return [HEADER, *(f"{number:03}_HC.png,{size},44.3" for number in range(count))]


def test_first_hundred_problems_and_their_number_are_reported(tmp_path: Path) -> None:
    table = read_pixel_size_table(write_table(tmp_path, *rows_of(1_200, "x")))
    assert (table.n_problems, len(table.problems)) == (1_200, 101)
    assert [problem.row for problem in table.problems[:100]] == list(range(2, 102))
    assert "has 1,200 problems in its rows; these are the first 100" in table.problems[100].message


def test_every_bad_row_still_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    table = read_pixel_size_table(write_table(tmp_path, *rows_of(1_200, "x"), "a/b,y,1"))
    (problem,) = table.problems_of_line(1_150)
    assert problem.message.startswith(f"{tmp_path}/table.csv, row 1150, 'pixel size(mm)': 'x' is not a positive number")
    assert [problem.kind for problem in table.problems_of_line(1_202)] == ["bad_filename"]
    assert table.problems_of_line(5_000) == []


def test_uneven_and_repeated_rows_are_bounded_too(tmp_path: Path) -> None:
    lines = [HEADER, *["000_HC.png,0,1,44.3"] * 300]
    table = read_pixel_size_table(write_table(tmp_path, *lines))
    assert table.n_problems == 300 + 299
    assert len(table.problems) == 101
    assert [problem.kind for problem in table.problems[:3]] == ["field_count", "field_count", "duplicate_row"]
    assert "already stands in row 2" in table.problems[2].message


def test_problems_of_a_kind_can_be_left_out(tmp_path: Path) -> None:
    table = read_pixel_size_table(write_table(tmp_path, HEADER, "a.png,x,y"), require_hc=True).without("bad_hc")
    assert [problem.kind for problem in table.problems] == ["bad_pixel_size"]
    assert table.n_problems == 1
