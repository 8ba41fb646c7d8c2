"""fetal-hc convert-negatives: what it writes and what it refuses."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from fetal_hc.io.coco import read_coco
from fetal_hc_cli.convert_no_head import main


def test_writes_the_listed_images_and_keeps_an_existing_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    Image.new("L", (30, 20)).save(tmp_path / "a.png")
    options = ["--images", str(tmp_path), "--output", str(tmp_path / "new" / "photos.json")]
    assert main(options) == 0
    assert len(read_coco(tmp_path / "new" / "photos.json").images) == 1
    assert main(options) == 2
    assert "--overwrite" in capsys.readouterr().err
    assert main([*options, "--overwrite"]) == 0


def test_missing_folder_is_one_message(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--images", str(tmp_path / "nowhere"), "--output", str(tmp_path / "x.json")]) == 2
    assert "nowhere" in capsys.readouterr().err
