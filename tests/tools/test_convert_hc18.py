"""Command line of the HC18 converter."""

from pathlib import Path

import pytest

from fetal_hc_cli.convert_hc18 import main
from hc18.dataset.convert import REPORT_FILE, TRAIN_FILE, VAL_FILE
from tests.synthetic_hc18 import write_hc18_folder


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_hc18_folder(tmp_path / "hc18")


def run(root: Path, output: Path, *options: str) -> int:
    return main(["--root", str(root), "--output", str(output), *options])


def test_conversion_prints_counts_and_exits_with_0(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(root, tmp_path / "out", "--folds", "4", "--val-fold", "1") == 0
    printed = capsys.readouterr()
    assert "5 images of 4 examinations" in printed.out
    assert "fold 1 of 4" in printed.out
    assert printed.err == ""
    assert all((tmp_path / "out" / name).is_file() for name in (TRAIN_FILE, VAL_FILE, REPORT_FILE))


def test_warnings_are_summarised_on_stderr(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for index in range(8):
        (root / "training_set" / f"extra{index}.png").write_bytes(b"")
    assert run(root, tmp_path, "--folds", "2") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert lines[-1] == f"warning: 3 more in {tmp_path / REPORT_FILE}"


def test_bad_data_exits_with_2_and_one_message(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (root / "training_set" / "000_HC.png").write_bytes(b"no picture")
    assert run(root, tmp_path / "out") == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert "000_HC.png: cannot be read (not an image)" in printed.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("options", [["--folds", "9"], ["--val-fold", "7"]])
def test_impossible_split_exits_with_2(root: Path, tmp_path: Path, options: list[str]) -> None:
    assert run(root, tmp_path / "out", *options) == 2


@pytest.mark.parametrize("argv", [[], ["--root", "x"], ["--root", "x", "--output", "y", "--folds", "many"]])
def test_wrong_usage_exits_with_2(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err
