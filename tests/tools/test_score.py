"""The command line of score.py: exit codes, messages, signals."""

import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from fetal_hc import DISCLAIMER
from fetal_hc_cli.score import main
from hc18.dataset.submission import read_submission
from tests.synthetic_heads import HeadFolder, write_head_folder
from tests.synthetic_model import head_spec, write_bright_object_model


@pytest.fixture
def heads(tmp_path: Path) -> HeadFolder:
    """Three images with known circumference."""
    return write_head_folder(tmp_path / "data", 3)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    """A model that finds them."""
    return write_bright_object_model(tmp_path / "m.onnx", head_spec(min_size=0))


def _arguments(heads: HeadFolder, model: Path, output: Path) -> list[str]:
    paths = {"--images": heads.images, "--pixel-sizes": heads.pixel_sizes, "--output": output, "--model": model}
    return [text for name, path in paths.items() for text in (name, str(path))]


@pytest.fixture(autouse=True)
def _restore_sigterm() -> object:
    before = signal.getsignal(signal.SIGTERM)
    yield
    signal.signal(signal.SIGTERM, before)


def test_complete_batch(heads: HeadFolder, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*_arguments(heads, model, tmp_path / "s.csv"), "--workers", "1"]) == 0
    captured = capsys.readouterr()
    assert "measured 3 of 3 images" in captured.out
    assert str(tmp_path / "s_details.csv") in captured.out
    assert captured.out.endswith(f"{DISCLAIMER}\n")
    assert captured.err == ""
    assert list(read_submission(tmp_path / "s.csv")) == list(heads.ellipses_px)


def test_groups_are_written_beside_the_submission(heads: HeadFolder, model: Path, tmp_path: Path) -> None:
    command = [*_arguments(heads, model, tmp_path / "s.csv"), "--workers", "1", "--group-by"]
    assert main([*command, "examination"]) == 0
    lines = (tmp_path / "s_examinations.csv").read_text().splitlines()
    assert [line.split(",")[0] for line in lines] == ["group", *(name.split("_")[0] for name in heads.ellipses_px)]
    assert main([*command, "clip", "--overwrite", "--groups", str(tmp_path / "clips.csv")]) == 0
    assert len((tmp_path / "clips.csv").read_text().splitlines()) == 2


def test_existing_table_of_groups_is_kept(
    heads: HeadFolder, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s_clips.csv").write_text("mine")
    assert main([*_arguments(heads, model, tmp_path / "s.csv"), "--group-by", "clip"]) == 2
    assert "s_clips.csv: exists already" in capsys.readouterr().err
    assert not (tmp_path / "s.csv").exists()


def test_unmeasured_image_is_named_and_the_exit_code_is_1(
    heads: HeadFolder, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (heads.images / "001_HC.png").write_bytes(b"broken")
    command = [*_arguments(heads, model, tmp_path / "s.csv"), "--details", str(tmp_path / "d.csv"), "--workers", "1"]
    assert main(command) == 1
    captured = capsys.readouterr()
    assert "not measured: 001_HC.png: unreadable: " in captured.err
    assert "1 unreadable" in captured.out
    assert len(read_submission(tmp_path / "s.csv")) == 2
    assert (tmp_path / "d.csv").read_text().count("\n") == 4


def test_bad_input_is_one_message_and_exit_code_2(
    heads: HeadFolder, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model.write_bytes(b"corrupt")
    assert main(_arguments(heads, model, tmp_path / "s.csv")) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert captured.err.count("\n") == 1


def test_existing_output_needs_overwrite(
    heads: HeadFolder, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.csv").write_text("mine")
    command = [*_arguments(heads, model, tmp_path / "s.csv"), "--workers", "1"]
    assert main(command) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*command, "--overwrite"]) == 0


def test_manifest_is_measured(
    heads: HeadFolder, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    manifest = tmp_path / "m.csv"
    manifest.write_text("path,id,pixel_size_mm\n000_HC.png,first,0.2\n001_HC.png,second,\n002_HC.png,first,0.2\n")
    command = ["--manifest", str(manifest), "--images", str(heads.images), "--model", str(model), "--threads", "1"]
    assert main([*command, "--output", str(tmp_path / "s.csv"), "--resume"]) == 1
    captured = capsys.readouterr()
    assert "not measured: second: no_pixel_size: " in captured.err
    assert "problem: " in captured.err
    assert "'first' already stands in row 2" in captured.err
    assert "measured 1 of 2 images" in captured.out


def test_unfinished_batch_is_one_message_with_the_remedy(
    heads: HeadFolder, model: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "s.csv.parts").mkdir()
    (tmp_path / "s.csv.parts" / "batch.json").write_text('{"format": 2, "settings": {}}')
    assert main(_arguments(heads, model, tmp_path / "s.csv")) == 2
    errors = capsys.readouterr().err
    assert errors.count("\n") == 1
    assert "continue it with --resume, or give it up with --overwrite" in errors


@pytest.mark.parametrize("arguments", [[], ["--output", "s.csv"], ["--runner", "turbo"], ["--workers", "two"]])
def test_wrong_usage_exits_with_2(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
    assert "usage:" in capsys.readouterr().err


@pytest.mark.skipif(sys.platform == "win32", reason="sends POSIX signals")
@pytest.mark.parametrize(("sent", "to_group"), [(signal.SIGINT, True), (signal.SIGTERM, False)])
def test_stopped_batch_exits_with_130_and_can_be_continued(
    heads: HeadFolder, model: Path, tmp_path: Path, repository_root: Path, sent: signal.Signals, to_group: bool
) -> None:
    heads.pixel_sizes.write_text("filename,pixel size(mm)\n" + "".join(f"{n},1\n" for n in _links(heads, 3000)))
    output = tmp_path / "out"
    arguments = [*_arguments(heads, model, output / "s.csv"), "--workers", "1", "--runner", "pool"]
    command = [sys.executable, str(repository_root / "tools" / "score.py"), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(repository_root)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True) as batch:
        assert batch.stderr is not None
        _wait_for_rows(output)
        (os.killpg if to_group else os.kill)(batch.pid, sent)
        errors = batch.stderr.read()
    assert batch.returncode == 130
    assert re.fullmatch(r"stopped; \d+ of 3003 images are finished and kept in .*; continue .* --resume\n", errors)
    assert [path.name for path in output.iterdir()] == ["s.csv.parts"]


def _links(heads: HeadFolder, count: int) -> list[str]:
    """Names of `count` hard links to an image of the folder."""
    names = [f"link{n:04d}.png" for n in range(count)]
    for name in names:
        os.link(heads.images / "000_HC.png", heads.images / name)
    return names


def _wait_for_rows(output: Path) -> None:
    """Returns once results are kept."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if any(path.stat().st_size > 0 for path in output.glob("s.csv.parts/shard-*")):
            return
        time.sleep(0.02)
    raise AssertionError("the batch did not start within a minute")
