"""Command line of the face-mask converter."""

from pathlib import Path

import pytest

from fetal_hc_cli.convert_face_mask import main
from tests.synthetic_face_mask import VOC_BOX, write_class_folders, write_voc, write_xml


def run(root: Path, output: Path, *options: str, layout: str = "voc") -> int:
    return main(["--format", layout, "--root", str(root), "--output", str(output), "--overlays", "0", *options])


def test_conversion_prints_counts_and_exits_with_0(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(write_voc(tmp_path / "voc"), tmp_path / "out", "--val-fraction", "0.5") == 0
    printed = capsys.readouterr()
    assert "6 labelled photos found; 6 photos written" in printed.out
    assert printed.err == ""
    assert (tmp_path / "out" / "face_mask_voc_val.json").is_file()


def test_manifest_of_class_folders(tmp_path: Path) -> None:
    root = write_class_folders(tmp_path / "folders")
    assert run(root, tmp_path / "out", "--val-fraction", "0.2", layout="folders") == 0
    assert (tmp_path / "out" / "face_mask_folders.csv").is_file()


def test_problems_are_warnings_or_with_strict_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = write_voc(tmp_path / "voc")
    for index in range(6):
        box = (*VOC_BOX[:2], 81, VOC_BOX[3])
        write_xml(root / "annotations" / f"p{index}.xml", f"p{index}.jpg", [("with_mask", box)])
    assert run(root, tmp_path / "out", "--val-fraction", "0.5") == 0
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 6
    assert lines[-1] == f"warning: 1 more in {tmp_path / 'out' / 'face_mask_voc_report.json'}"
    assert run(root, tmp_path / "strict", "--val-fraction", "0.5", "--strict") == 2
    assert capsys.readouterr().err.count("xmax 81") == 6
    assert not (tmp_path / "strict").exists()


@pytest.mark.parametrize("options", [["--val-fraction", "2"], ["--class-map", "with_mask"], ["--min-crop-area", "0"]])
def test_impossible_option_exits_with_2(tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert run(write_voc(tmp_path / "voc"), tmp_path / "out", *options) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_missing_folder_exits_with_2(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(tmp_path / "nowhere", tmp_path / "out") == 2
    assert "nowhere" in capsys.readouterr().err


@pytest.mark.parametrize("argv", [[], ["--format", "yolo", "--root", "x", "--output", "y"]])
def test_wrong_usage_exits_with_2(argv: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(argv)
    assert caught.value.code == 2
