"""Overlay pictures, contact sheets and their CSV."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fetal_hc.errors import ConfigError
from fetal_hc.io.drawing import PREDICTION_RGB, TRUTH_RGB
from hc18.evaluation.overlay_items import OverlayItem
from hc18.evaluation.overlays import draw_case, write_gallery
from hc18.geometry.ellipse import Ellipse

TRUTH = Ellipse(400.0, 300.0, 150.0, 100.0, 0.0)
PREDICTION = Ellipse(410.0, 300.0, 150.0, 100.0, 0.0)


def _case(folder: Path, name: str = "a.png", image_hw: tuple[int, int] = (540, 800)) -> OverlayItem:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(image_hw, np.uint8)).save(path)
    return OverlayItem(
        file_name=name,
        image_path=path,
        pixel_size_mm=0.2,
        truth_outlines_xy=(TRUTH.outline(360),),
        truth_hc_mm=TRUTH.circumference() * 0.2,
        predicted_px=PREDICTION,
        predicted_hc_mm=160.0,
    )


def _index(output: Path) -> list[dict[str, str]]:
    with (output / "index.csv").open(newline="") as stream:
        return list(csv.DictReader(stream))


def test_reference_and_prediction_have_their_colours(tmp_path: Path) -> None:
    drawn = draw_case(np.zeros((540, 800, 3), np.uint8), _case(tmp_path))
    assert tuple(drawn[300, 250]) == TRUTH_RGB
    assert tuple(drawn[300, 560]) == PREDICTION_RGB


def test_image_itself_is_unchanged(tmp_path: Path) -> None:
    image = np.zeros((540, 800, 3), np.uint8)
    draw_case(image, _case(tmp_path))
    assert image.max() == 0


def test_files_and_figures(tmp_path: Path) -> None:
    assert write_gallery([_case(tmp_path / "in")], tmp_path / "out") == 0
    with Image.open(tmp_path / "out" / "overlays" / "a.png") as overlay:
        assert overlay.size == (800, 540)
    (row,) = _index(tmp_path / "out")
    assert row == {
        "filename": "a.png",
        "overlay": "overlays/a.png",
        "truth_hc_mm": f"{TRUTH.circumference() * 0.2:.4f}",
        "predicted_hc_mm": "160.0000",
        "difference_mm": f"{160.0 - TRUTH.circumference() * 0.2:.4f}",
        "note": "",
    }


def test_contact_sheets_hold_forty_images_each(tmp_path: Path) -> None:
    case = _case(tmp_path / "in", image_hw=(54, 80))
    write_gallery([case] * 41, tmp_path / "out")
    sizes = {}
    for name in ("index.png", "index_2.png"):
        with Image.open(tmp_path / "out" / name) as sheet:
            sizes[name] = sheet.size
    assert sizes == {"index.png": (5 * 320, 8 * 216), "index_2.png": (320, 216)}


def test_smaller_gallery_removes_the_sheets_of_a_larger_one(tmp_path: Path) -> None:
    case = _case(tmp_path / "in", image_hw=(54, 80))
    write_gallery([case] * 41, tmp_path / "out")
    write_gallery([case], tmp_path / "out", overwrite=True)
    assert sorted(path.name for path in (tmp_path / "out").glob("index*")) == ["index.csv", "index.png"]


def test_unreadable_image_keeps_its_row(tmp_path: Path) -> None:
    good, bad = _case(tmp_path / "in"), _case(tmp_path / "in", "b.png")
    bad.image_path.write_bytes(b"broken")
    assert write_gallery([bad, good], tmp_path / "out") == 1
    rows = _index(tmp_path / "out")
    assert rows[0]["overlay"] == ""
    assert "b.png" in rows[0]["note"]
    assert rows[1]["overlay"] == "overlays/a.png"


def test_images_in_folders_and_of_other_types_get_flat_png_names(tmp_path: Path) -> None:
    case = _case(tmp_path / "in", "deep/a.bmp")
    write_gallery([case], tmp_path / "out")
    assert (tmp_path / "out" / "overlays" / "deep__a.bmp.png").is_file()


def test_file_name_cannot_lead_out_of_the_folder(tmp_path: Path) -> None:
    case = OverlayItem("../../a.png", _case(tmp_path / "in").image_path)
    write_gallery([case], tmp_path / "out")
    assert (tmp_path / "out" / "overlays" / "a.png").is_file()


def test_earlier_gallery_is_kept_without_overwrite(tmp_path: Path) -> None:
    case = _case(tmp_path / "in")
    write_gallery([case], tmp_path / "out")
    with pytest.raises(ConfigError, match="holds a gallery already"):
        write_gallery([case], tmp_path / "out")
