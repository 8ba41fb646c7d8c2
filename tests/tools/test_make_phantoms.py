"""fetal-hc phantoms: what it writes and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest

from fetal_hc_cli.make_phantoms import main


def test_writes_an_hc18_folder_that_the_checks_accept(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from hc18.dataset.folder import check_folder

    folder = tmp_path / "phantoms"
    assert main(["--output", str(folder), "--count", "3", "--test-count", "1", "--size", "small"]) == 0
    assert check_folder(folder) == []
    assert "phantoms and 0 images without a head" in capsys.readouterr().out


def test_images_without_a_head_join_other_datasets_in_a_folder(tmp_path: Path) -> None:
    (tmp_path / "hc18_train.json").write_text("{}")
    options = ["--output", str(tmp_path), "--count", "0", "--test-count", "0", "--no-head", "2", "--size", "small"]
    assert main(options) == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hc18_train.json", "no_head", "no_head.json"]


def test_a_folder_with_other_files_is_not_taken_for_phantoms(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "training_set").mkdir()
    (tmp_path / "training_set" / "precious.png").write_bytes(b"x")
    assert main(["--output", str(tmp_path), "--count", "1", "--overwrite"]) == 2
    assert (tmp_path / "training_set" / "precious.png").exists()
    assert str(tmp_path) in capsys.readouterr().err
