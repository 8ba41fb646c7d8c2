"""The command that checks an HC18 folder and a submission."""

from pathlib import Path

import pytest

from fetal_hc_cli.check_hc18 import main
from hc18.dataset.pixel_size_table import read_pixel_sizes
from hc18.dataset.submission import write_submission
from hc18.geometry.ellipse import Ellipse
from tests.synthetic_hc18 import replace_in_table, training_table, write_hc18_folder

HEAD = Ellipse(80.0, 60.0, 50.0, 40.0, 0.5)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_hc18_folder(tmp_path / "hc18")


def test_sound_folder_and_submission(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [row.filename for row in read_pixel_sizes(root / "test_set_pixel_size.csv")]
    submission = tmp_path / "submission.csv"
    write_submission(submission, dict.fromkeys(names, HEAD), names)
    assert main(["--root", str(root), "--submission", str(submission)]) == 0
    assert capsys.readouterr().out == f"{root} and {submission}: 0 errors, 0 warnings\n"


def test_all_problems_of_both_are_listed(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    replace_in_table(training_table(root), "002_HC.png,0.5", "002_HC.png,nan")
    (root / "training_set" / "notes.txt").write_bytes(b"")
    submission = tmp_path / "submission.csv"
    write_submission(submission, {"999.png": HEAD}, ["999.png"])
    assert main(["--root", str(root), "--submission", str(submission)]) == 1
    lines = capsys.readouterr().out.splitlines()
    assert [line.partition(":")[0] for line in lines[:-1]] == ["error", "warning", "error", "error"]
    assert lines[-1].endswith(": 3 errors, 1 warnings")


def test_warnings_alone_are_no_failure(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "training_set" / "notes.txt").write_bytes(b"")
    assert main(["--root", str(root)]) == 0
    assert "has no row in" in capsys.readouterr().out


def test_submission_can_be_checked_without_the_images(root: Path, tmp_path: Path) -> None:
    table = root / "test_set_pixel_size.csv"
    names = [row.filename for row in read_pixel_sizes(table)]
    write_submission(tmp_path / "s.csv", dict.fromkeys(names, HEAD), names)
    assert main(["--submission", str(tmp_path / "s.csv"), "--table", str(table)]) == 0


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--root", "absent"], "absent: is not a folder"),
        (["--submission", "s.csv"], "--submission needs --table or --root"),
        (["--submission", "s.csv", "--table", "absent.csv"], "absent.csv: does not exist"),
    ],
)
def test_bad_input(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert message in capsys.readouterr().err
