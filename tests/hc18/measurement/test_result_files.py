"""Both result files appear together, when both are complete."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from fetal_hc.errors import FetalHCError
from hc18.dataset.submission import read_submission
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.details import read_details
from hc18.measurement.result_files import write_results
from hc18.measurement.rows import MeasurementRow, RowStatus

ELLIPSE = Ellipse(80.0, 54.125, 32.0, 24.0625, 0.5)


def _row(name: str = "a.png") -> MeasurementRow:
    return MeasurementRow(name, RowStatus.OK, "", hc_mm=ELLIPSE.circumference(), ellipse_px=ELLIPSE, ellipse_mm=ELLIPSE)


def _write(folder: Path, rows: Iterator[MeasurementRow]) -> None:
    write_results(rows, folder / "s.csv", folder / "d.csv", may_replace=True)


def test_only_measured_images_have_a_row_in_the_submission(tmp_path: Path) -> None:
    _write(tmp_path, iter([_row("b.png"), MeasurementRow("c.png", RowStatus.NO_HEAD, "nothing"), _row("a.png")]))
    assert list(read_submission(tmp_path / "s.csv")) == ["b.png", "a.png"]
    assert (tmp_path / "d.csv").read_text().count("\n") == 4


def test_nothing_appears_before_the_last_row(tmp_path: Path) -> None:
    def rows() -> Iterator[MeasurementRow]:
        yield _row()
        assert not (tmp_path / "s.csv").exists()
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        _write(tmp_path, rows())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_full_disk_is_a_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    full = [Path("/dev/full").open("w", encoding="utf-8", newline="") for _ in range(2)]  # noqa: SIM115
    monkeypatch.setattr(Path, "open", lambda *_arguments, **_options: full.pop())
    with pytest.raises(FetalHCError, match=r"csv: cannot be written \(No space left on device\)"):
        _write(tmp_path, iter([_row()]))
    monkeypatch.undo()
    assert list(tmp_path.iterdir()) == []


def test_name_that_is_no_text_does_not_stop_the_batch(tmp_path: Path) -> None:
    _write(tmp_path, iter([_row("caf\udce9.dcm")]))
    assert (tmp_path / "s.csv").read_text(encoding="utf-8").splitlines()[1].startswith("caf\\udce9.dcm,")


@pytest.mark.parametrize(
    "name", ["=1+1", "+1.png", "-a.png", "@SUM(A1)", "two\nlines.png", "\t=1", "'a.png", "\uff1d1"]
)
def test_name_that_a_spreadsheet_may_run_has_no_row_in_the_submission(tmp_path: Path, name: str) -> None:
    tally = write_results([_row(name), _row("a.png")], tmp_path / "s.csv", tmp_path / "d.csv", may_replace=True)
    assert list(read_submission(tmp_path / "s.csv")) == ["a.png"]
    assert (tally.left_out.count, tally.counts["ok"]) == (1, 2)
    assert repr(name) in tally.left_out.first[0]
    assert len(read_details(tmp_path / "d.csv")) == 2
