"""The table is read back as a spreadsheet would; the submission by its own reader."""

import csv
import io
from pathlib import Path

import pytest

from fetal_hc import DISCLAIMER
from fetal_hc.errors import DatasetError
from hc18.dataset.submission import check_submission, read_submission
from hc18.obstetrics.gestational_age import hadlock_1984
from hc18.obstetrics.growth import intergrowth_hc
from hc18.reports.case import Report
from hc18.reports.table import CSV_COLUMNS, to_csv, to_line_cell, to_submission
from tests.hc18.reports import reported


def read(*cases: Report) -> list[dict[str, str]]:
    """Rows of the table of cases, from its bytes."""
    text = to_csv(cases).encode().decode("utf-8-sig")
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_row_holds_review_value_and_origin() -> None:
    (row,) = read(reported.corrected(hc_interval_mm=(161.0, 170.2), hc_interval_level=0.95))
    after = reported.hc_mm(reported.FINAL_ELLIPSE_PX)
    assert float(row["hc_mm"]) == pytest.approx(after, abs=0.005)
    assert float(row["model_hc_mm"]) == pytest.approx(reported.hc_mm(reported.MODEL_ELLIPSE_PX), abs=0.005)
    assert (row["model_hc_low_mm"], row["model_hc_high_mm"], row["model_hc_interval_level"]) == (
        "161.00",
        "170.20",
        "0.95",
    )
    assert float(row["ga_hadlock_1984_days"]) == pytest.approx(hadlock_1984(after).days, abs=0.01)
    assert float(row["percentile"]) == pytest.approx(intergrowth_hc(after, 138).percentile, abs=0.01)
    assert row["percentile_standard"] == "INTERGROWTH-21st fetal HC 2014"
    assert (row["status"], row["decision"], row["reviewer"]) == ("final", "corrected", "M. Okafor")
    assert (row["calibration_source"], row["pixel_size_x_mm"], row["pixel_size_y_mm"]) == ("csv", "0.2", "0.2")
    assert (row["signed_at_utc"], row["model_sha256"]) == ("2026-05-04T09:41:02Z", reported.MODEL_SHA256)
    assert (row["center_x_px"], row["model_center_x_px"]) == ("163.0000", "160.0000")
    assert row["note"] == DISCLAIMER


@pytest.mark.parametrize("case", [reported.uncalibrated(), reported.rejected()])
def test_missing_values_are_empty(case: Report) -> None:
    (row,) = read(case)
    for column in ("hc_mm", "ga_hadlock_1984_days", "ga_intergrowth_2016_days", "percentile", "z_score"):
        assert row[column] == ""


def test_every_case_has_a_row() -> None:
    rows = read(reported.unreviewed(), reported.accepted(), reported.rejected())
    assert [row["decision"] for row in rows] == ["unreviewed", "accepted", "rejected"]


def test_no_case_gives_the_header_alone() -> None:
    assert to_csv([]).removeprefix("\ufeff").splitlines() == [",".join(CSV_COLUMNS)]


def test_file_is_what_spreadsheets_expect() -> None:
    content = to_csv([reported.accepted(reviewer="Żółć")]).encode()
    assert content.startswith(b"\xef\xbb\xbf")
    assert content.count(b"\r\n") == content.count(b"\n") == 2
    assert "Żółć".encode() in content


@pytest.mark.parametrize("text", ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", "\r=1", "  =1", "＝1", "'x"])
def test_formulas_become_text(text: str) -> None:
    cell = to_line_cell(text)
    assert cell.startswith("'")
    assert cell[1:] == text.strip()
    (row,) = read(reported.rejected(reason=text, reviewer=text, case_label=text, flags=(text,)))
    assert {row[name] for name in ("reason", "reviewer", "case", "flags")} == {cell}


def test_negative_numbers_stay_numbers() -> None:
    (row,) = read(reported.accepted())
    assert float(row["z_score"]) < 0.0


def test_separators_quotes_and_line_breaks_stay_in_their_cell() -> None:
    (row,) = read(reported.rejected(reason='a,b;"c"\r\nd'))
    assert row["reason"] == 'a,b;"c" d'


def test_submission_has_the_reviewed_ellipses_in_millimetres(tmp_path: Path) -> None:
    names = ["000_HC.png", "001_HC.png", "002_HC.png", "003_HC.png", "004_HC.png"]
    cases = {
        names[0]: reported.accepted(),
        names[1]: reported.corrected(),
        names[2]: reported.rejected(),
        names[3]: reported.unreviewed(),
    }
    path = tmp_path / "submission.csv"
    path.write_text(to_submission(cases, names), encoding="utf-8", newline="")
    ellipses = read_submission(path)
    assert list(ellipses) == names[:2]
    assert check_submission(path, names[:2]) == []
    expected = reported.FINAL_ELLIPSE_PX.to_mm(reported.PIXEL_SIZE_MM, reported.PIXEL_SIZE_MM)
    assert ellipses[names[1]].circumference() == pytest.approx(expected.circumference(), abs=1e-4)
    assert ellipses[names[1]].center_x == pytest.approx(expected.center_x, abs=1e-6)


def test_submission_refuses_images_that_are_not_in_the_table() -> None:
    with pytest.raises(DatasetError, match=r"999_HC\.png"):
        to_submission({"999_HC.png": reported.accepted()}, ["000_HC.png"])
