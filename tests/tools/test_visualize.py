"""The command line of visualize.py."""

from pathlib import Path

import pytest

from fetal_hc_cli.visualize import main
from tests.synthetic_heads import HeadFolder, write_head_folder
from tests.synthetic_model import head_spec, write_bright_object_model


@pytest.fixture
def heads(tmp_path: Path) -> HeadFolder:
    """Three images with known circumference."""
    return write_head_folder(tmp_path / "data", 3)


def _arguments(heads: HeadFolder, output: Path) -> list[str]:
    images, table = str(heads.images), str(heads.pixel_sizes)
    return ["--images", images, "--pixel-sizes", table, "--output", str(output)]


def test_worst_images_of_a_model(heads: HeadFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    model = write_bright_object_model(tmp_path / "m.onnx", head_spec(min_size=0))
    command = [*_arguments(heads, tmp_path / "out"), "--model", str(model), "--worst", "--limit", "2"]
    assert main(command) == 0
    assert len(list((tmp_path / "out" / "overlays").iterdir())) == 2
    assert f"2 of 2 images drawn: {tmp_path / 'out' / 'index.png'}" in capsys.readouterr().out


def test_unreadable_image_gives_exit_code_1(heads: HeadFolder, tmp_path: Path) -> None:
    (heads.images / "000_HC.png").write_bytes(b"broken")
    assert main(_arguments(heads, tmp_path / "out")) == 1


def test_bad_input_is_one_message(heads: HeadFolder, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = [*_arguments(heads, tmp_path / "out"), "--submission", str(tmp_path / "gone.csv")]
    assert main(command) == 2
    assert "gone.csv" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--output", "x"], ["--images", "x", "--output", "y"], ["--root", "x", "--output", "y", "--limit", "0"]],
)
def test_wrong_usage_exits_with_2(arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    assert caught.value.code == 2
