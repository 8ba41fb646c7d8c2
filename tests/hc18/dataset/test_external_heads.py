"""Heads of other hospitals: a table of ellipses becomes a COCO dataset."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_hc.errors import DatasetError
from fetal_hc.io.coco import read_coco
from fetal_hc_cli.convert_external_heads import main
from hc18.dataset.external_heads import COLUMNS, write_external_heads

HEADER = ",".join((*COLUMNS, "pixel_size_mm", "hc_mm"))
ROW = "b.png,P1,100,120,60,50,30,20,0.5,0.1,15.9"


def _folder(root: Path, *rows: str) -> tuple[Path, Path]:
    images = root / "images"
    images.mkdir()
    for name in ("a.png", "b.png"):
        Image.fromarray(np.zeros((100, 120), np.uint8)).save(images / name)
    table = root / "heads.csv"
    table.write_text("\n".join((HEADER, *rows)) + "\n", encoding="utf-8")
    return table, images


def test_ellipse_patient_and_known_sizes_are_kept(tmp_path: Path) -> None:
    table, images = _folder(tmp_path, ROW, "a.png,P2,100,120,60,50,30,20,0,,")
    assert write_external_heads(table, images, tmp_path / "coco" / "external.json") == 2
    dataset = read_coco(tmp_path / "coco" / "external.json")
    first, second = dataset.images
    assert (first.file_name, first.extra) == ("a.png", {"examination": "P2"})
    assert second.extra == {"examination": "P1", "pixel_size_mm": 0.1, "hc_mm": 15.9}
    ellipse = dataset.annotations[1].extra["ellipse_px"]
    assert ellipse == {"center_x": 60, "center_y": 50, "semi_axis_a": 30, "semi_axis_b": 20, "angle_rad": 0.5}
    assert dataset.annotations[1].area == pytest.approx(np.pi * 30 * 20, rel=1e-3)


def test_every_bad_row_is_named_with_its_values(tmp_path: Path) -> None:
    rows = (
        "c.png,P1,100,120,60,50,30,20,0.5,,",
        "b.png,P1,100,120,60,x,30,20,0.5,,",
        "a.png,P1,100,120,60,50,-3,20,0,,",
    )
    table, images = _folder(tmp_path, *rows)
    with pytest.raises(DatasetError) as caught:
        write_external_heads(table, images, tmp_path / "external.json")
    message = str(caught.value)
    assert "row 2, 'c.png': is not in" in message
    assert "row 3, 'b.png': 'center_y_px' is 'x'; expected a number" in message
    assert "row 4, 'a.png'" in message
    assert not (tmp_path / "external.json").exists()


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("../secret.png,P1,100,120,60,50,30,20,0.5,,", "leads out of the folder"),
        ("/etc/passwd,P1,100,120,60,50,30,20,0.5,,", "leads out of the folder"),
        (f"{'x' * 5_000},P1,100,120,60,50,30,20,0.5,,", "is not in"),
        ("a.png,P1,0,120,60,50,30,20,0.5,,", "'height_px' is '0'; expected a whole number from 1 on"),
        ("a.png,P1,100,119.5,60,50,30,20,0.5,,", "'width_px' is '119.5'; expected a whole number"),
        ("a.png,P1,1e12,1e12,60,50,30,20,0.5,,", "pixels; expected at most"),
        ("a.png,P1,100,120,60,50,30,20,0.5,90,", "pixel size along x is 90 mm"),
        ("b.png,P1,100,120,60,50,30,20,0.5,,", "already stands in row 2"),
    ],
)
def test_row_that_cannot_be_true_is_refused(tmp_path: Path, row: str, message: str) -> None:
    (tmp_path / "secret.png").touch()
    table, images = _folder(tmp_path, ROW, row)
    with pytest.raises(DatasetError, match=rf"row 3, .*{message}"):
        write_external_heads(table, images, tmp_path / "external.json")


def test_command_keeps_existing_files(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    table, images = _folder(tmp_path, ROW)
    arguments = ["--table", str(table), "--images", str(images), "--output", str(tmp_path / "external.json")]
    assert main(arguments) == 0
    assert main(arguments) == 2
    assert "add --overwrite" in capsys.readouterr().err
    assert main([*arguments, "--overwrite"]) == 0


def test_real_heads_are_converted(real_data_root: Path, tmp_path: Path) -> None:
    root = real_data_root / "external_heads"
    if not root.is_dir():
        pytest.skip("the external heads are not in the data folder")
    count = write_external_heads(root / "heads.csv", root / "images", tmp_path / "external.json")
    assert count == len(list((root / "images").glob("*.jpg")))
