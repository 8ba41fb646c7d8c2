"""The challenge's submission CSV."""

import math
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fetal_hc.errors import DatasetError, FetalHCError
from fetal_hc.io.tables import MOST_PROBLEMS
from hc18.dataset.submission import check_submission, read_submission, write_submission
from hc18.geometry.ellipse import Ellipse

HEADER = "filename,center_x_mm,center_y_mm,semi_axes_a_mm,semi_axes_b_mm,angle_rad"
HEAD = Ellipse(80.0, 60.5, 50.25, 40.0, 0.5)
NAMES = ["000_HC.png", "006_HC.png", "012_HC.png"]


def write_rows(folder: Path, *rows: str, header: str = HEADER) -> Path:
    path = folder / "submission.csv"
    path.write_bytes("".join(f"{line}\n" for line in (header, *rows)).encode())
    return path


def row(name: str, values: str = "80,60,50,40,0.5") -> str:
    return f"{name},{values}"


def kinds(path: Path) -> list[str]:
    return [problem.kind for problem in check_submission(path, NAMES)]


def test_written_bytes_are_the_challenges_format(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    omitted = write_submission(
        path, {"006_HC.png": Ellipse(1 / 3, 60.0, 50.0, 40.0, 0.0), "000_HC.png": HEAD}, NAMES[:2]
    )
    assert omitted == []
    assert (
        path.read_bytes()
        == (
            f"{HEADER}\n"
            "000_HC.png,80.000000,60.500000,50.250000,40.000000,0.50000000\n"
            "006_HC.png,0.333333,60.000000,50.000000,40.000000,0.00000000\n"
        ).encode()
    )


def test_written_submission_is_valid_and_reads_back(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    write_submission(path, dict.fromkeys(reversed(NAMES), HEAD), NAMES)
    assert check_submission(path, NAMES) == []
    assert read_submission(path) == dict.fromkeys(NAMES, HEAD)


def test_unmeasured_image_gets_no_row_and_is_named(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    assert write_submission(path, {"000_HC.png": HEAD, "006_HC.png": None}, NAMES) == ["006_HC.png", "012_HC.png"]
    assert list(read_submission(path)) == ["000_HC.png"]
    problems = check_submission(path, NAMES)
    assert [(problem.kind, problem.fatal) for problem in problems] == [("missing_row", True)] * 2
    assert "no row for '006_HC.png'" in problems[0].message


def test_nothing_measured_leaves_only_the_header(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    assert write_submission(path, {}, NAMES) == NAMES
    assert path.read_bytes() == f"{HEADER}\n".encode()


def test_angle_just_below_pi_stays_below_pi(tmp_path: Path) -> None:
    path = tmp_path / "submission.csv"
    write_submission(path, {"000_HC.png": Ellipse(80, 60, 50, 40, math.nextafter(math.pi, 0))}, NAMES[:1])
    assert check_submission(path, NAMES[:1]) == []
    assert read_submission(path)["000_HC.png"].angle_rad == pytest.approx(math.pi, abs=1e-8)


def test_tiny_negative_centre_is_not_written_as_minus_zero(tmp_path: Path) -> None:
    write_submission(tmp_path / "submission.csv", {"000_HC.png": Ellipse(-1e-9, 60, 50, 40, 0.0)}, NAMES[:1])
    assert "-0.0" not in (tmp_path / "submission.csv").read_text(encoding="utf-8")


def test_unknown_and_repeated_names_are_refused_before_writing(tmp_path: Path) -> None:
    with pytest.raises(DatasetError) as caught:
        write_submission(tmp_path / "submission.csv", {"999_HC.png": HEAD}, ["000_HC.png", "000_HC.png"])
    assert len(caught.value.problems) == 2
    assert not (tmp_path / "submission.csv").exists()


def test_unwritable_path_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "submission.csv").mkdir()
    with pytest.raises(FetalHCError, match="cannot be written"):
        write_submission(tmp_path / "submission.csv", {}, NAMES)


@pytest.mark.parametrize(
    ("values", "kind", "text"),
    [
        ("80,60,50,40", "field_count", "row 2: has 5 fields, the header 6"),
        ("80,60,50,40,nan", "bad_number", "row 2, 'angle_rad': 'nan'"),
        ("inf,60,50,40,0.5", "bad_number", "row 2, 'center_x_mm': 'inf'"),
        ("80,60,,40,0.5", "bad_number", "row 2, 'semi_axes_a_mm': ''"),
        ("80,60,40,50,0.5", "bad_axes", "expected a >= b > 0"),
        ("80,60,50,0,0.5", "bad_axes", "expected a >= b > 0"),
        ("80,60,50,40,3.1415927", "bad_angle", "expected [0, pi)"),
        ("80,60,50,40,-0.1", "bad_angle", "expected [0, pi)"),
    ],
)
def test_row_outside_the_convention_is_named(tmp_path: Path, values: str, kind: str, text: str) -> None:
    path = write_rows(tmp_path, row("000_HC.png", values), row("006_HC.png"), row("012_HC.png"))
    problems = check_submission(path, NAMES)
    assert [problem.kind for problem in problems] == [kind, "missing_row"]
    assert text in problems[0].message
    with pytest.raises(DatasetError) as caught:
        read_submission(path)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "header", [f",{HEADER}", "filename,center_x_mm", HEADER.upper(), "000_HC.png,80,60,50,40,0.5", ""]
)
def test_other_header_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(DatasetError, match="no index column"):
        read_submission(write_rows(tmp_path, row("000_HC.png"), header=header))


def test_missing_unknown_and_repeated_rows_are_listed_together(tmp_path: Path) -> None:
    path = write_rows(tmp_path, row("000_HC.png"), row("000_HC.png"), row("999_HC.png"), row("a/b.png"))
    assert kinds(path) == ["duplicate_row", "bad_filename", "missing_row", "missing_row", "unknown_row"]


def test_row_repeats_only_a_usable_one(tmp_path: Path) -> None:
    bad, good = row("000_HC.png", "80,60,bad,40,0.5"), row("000_HC.png")
    path = write_rows(tmp_path, bad, good, bad, row("006_HC.png"), row("012_HC.png"))
    assert [(problem.kind, problem.row) for problem in check_submission(path, NAMES)] == [
        ("bad_number", 2),
        ("bad_number", 4),
        ("duplicate_row", 4),
    ]


def test_another_order_is_reported_once(tmp_path: Path) -> None:
    path = write_rows(tmp_path, row("012_HC.png"), row("000_HC.png"), row("006_HC.png"))
    assert kinds(path) == ["row_order"]
    assert "'012_HC.png' stands where '000_HC.png' is expected" in check_submission(path, NAMES)[0].message


def test_missing_row_alone_does_not_count_as_another_order(tmp_path: Path) -> None:
    assert kinds(write_rows(tmp_path, row("000_HC.png"), row("012_HC.png"))) == ["missing_row"]


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ("800,600,500,400,0.5", "circumference 2836.2 mm"),
        ("8,6,4,3,0.5", "circumference 22.1 mm"),
        ("80,60,50,20,0.5", "axes 50.0 and 20.0 mm"),
        ("-5,60,50,40,0.5", "centre -5.0, 60.0 mm"),
    ],
)
def test_implausible_head_is_a_warning_and_still_readable(tmp_path: Path, values: str, text: str) -> None:
    path = write_rows(tmp_path, row("000_HC.png", values), row("006_HC.png"), row("012_HC.png"))
    problems = check_submission(path, NAMES)
    assert {(problem.kind, problem.fatal) for problem in problems} == {("implausible", False)}
    assert text in problems[0].message
    assert len(read_submission(path)) == 3


@pytest.mark.parametrize("change", ["CRLF", "byte-order mark", "cut off"])
def test_text_form_matters_to_the_check_but_not_to_the_reader(tmp_path: Path, change: str) -> None:
    path = write_rows(tmp_path, *(row(name) for name in NAMES))
    data = path.read_bytes()
    path.write_bytes(
        {"CRLF": data.replace(b"\n", b"\r\n"), "byte-order mark": b"\xef\xbb\xbf" + data, "cut off": data[:-1]}[change]
    )
    assert kinds(path) == ["byte_order_mark" if change == "byte-order mark" else "line_ends"]
    assert list(read_submission(path)) == NAMES


@pytest.mark.parametrize("content", [b"", b"\xff\xfe", b'"'])
def test_file_that_is_no_submission(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "submission.csv"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"submission\.csv"):
        read_submission(path)


def test_missing_file_is_one_clear_error(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="does not exist"):
        read_submission(tmp_path / "absent.csv")


def test_empty_line_is_reported_and_read_over(tmp_path: Path) -> None:
    path = write_rows(tmp_path, row("000_HC.png"), "", row("006_HC.png"), row("012_HC.png"))
    assert kinds(path) == ["empty_line"]
    assert list(read_submission(path)) == NAMES


@pytest.mark.parametrize(("values", "is_fatal"), [("80,60,bad,40,0.5", True), ("80,60,900,800,0.5", False)])
def test_only_the_first_problems_of_rows_are_named(tmp_path: Path, values: str, is_fatal: bool) -> None:
    names = [f"{number:03}_HC.png" for number in range(MOST_PROBLEMS + 50)]
    path = write_rows(tmp_path, *(row(name, values) for name in names))
    problems = [problem for problem in check_submission(path, names) if problem.kind != "missing_row"]
    assert problems[MOST_PROBLEMS - 1].kind in ("bad_number", "implausible")
    (last,) = [problem for problem in problems if problem.kind == "more_problems"]
    assert last is problems[-1]
    assert last.fatal is is_fatal
    assert len(problems) < 2 * MOST_PROBLEMS + 2


CELLS = st.sampled_from(["1", "-3.5", "1e2", "3.2", "0", " 2", "+4", "1_0", "nan", "inf", "1e400", "", "x", "3;5"])
FILES = st.sampled_from(["a.png", "..", ".", "", " a.png", "b/a.png", "a.png "])


@pytest.mark.parametrize("line", ["", ",,,,,"])
def test_empty_line_is_a_problem_of_the_format_and_no_row(line: str, tmp_path: Path) -> None:
    path = write_rows(tmp_path, row("a.png", "80,60,50,40,0.5"), line, row("b.png", "80,60,50,40,0.5"))
    assert list(read_submission(path)) == ["a.png", "b.png"]
    assert "empty_line" in [problem.kind for problem in check_submission(path, ["a.png", "b.png"])]


@settings(max_examples=150, deadline=None)
@given(name=FILES, cells=st.lists(CELLS, min_size=5, max_size=5))
def test_every_row_is_an_ellipse_or_has_a_problem(
    tmp_path_factory: pytest.TempPathFactory, name: str, cells: list[str]
) -> None:
    assume(name or any(cells))  # a row of commas alone is an empty line
    path = write_rows(tmp_path_factory.getbasetemp(), row(name, ",".join(cells)))
    with suppress(DatasetError):  # without a problem nothing is raised
        assert list(read_submission(path)) == [name]
