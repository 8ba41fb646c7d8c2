"""Pictures of every kind of file, and DICOM measured frame by frame with its own calibration."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from fetal_hc.errors import ImageError
from hc18.dicom import NeedsRegion
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.batches import MeasureSettings, measure_files
from hc18.measurement.frames import open_frames
from hc18.measurement.rows import MeasurementRow, RowStatus
from tests.synthetic_dicom import encoded, region, written
from tests.synthetic_heads import draw_head

HEAD = Ellipse(80.0, 56.0, 40.0, 30.0, 0.4)
WHOLE = (0, 0, 159, 111)


def _rows(image: Path, model: Path) -> list[MeasurementRow]:
    return list(measure_files(image, settings=MeasureSettings(model=model, runner="serial")))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "TIFF", "BMP"])
def test_raster_image_is_one_frame_without_calibration(kind: str) -> None:
    frames = open_frames(encoded(draw_head(HEAD), kind), "a")
    assert frames.n_frames == 1
    assert frames.calibrate is None
    assert frames.frame_rgb(0).shape == (112, 160, 3)


def test_damaged_content_is_named() -> None:
    with pytest.raises(ImageError, match=r"a\.png: starts with"):
        open_frames(b"nothing of an image", "a.png")


def test_dicom_image_brings_its_own_millimetres(tmp_path: Path, bright_model: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(written(draw_head(HEAD), [region(WHOLE, (0.05, 0.05))]))
    (row,) = _rows(tmp_path / "a.dcm", bright_model)
    assert (row.file_name, row.status, row.pixel_size_source) == ("a.dcm", RowStatus.OK, "dicom_region")
    assert row.pixel_size_xy_mm == (0.5, 0.5)
    assert row.hc_mm == pytest.approx(HEAD.circumference() * 0.5, rel=3e-3)
    assert row.calibration.startswith("From the DICOM file, ultrasound region 1 of 1")


def test_unequal_pixel_sizes_change_the_shape(tmp_path: Path, bright_model: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(written(draw_head(HEAD), [region(WHOLE, (0.05, 0.08))]))
    (row,) = _rows(tmp_path / "a.dcm", bright_model)
    assert row.hc_mm == pytest.approx(HEAD.to_mm(0.5, 0.8).circumference(), rel=3e-3)


def test_frames_have_a_row_each_and_the_region_of_their_own_head(tmp_path: Path, bright_model: Path) -> None:
    left, right = Ellipse(40.0, 56.0, 25.0, 20.0, 0.4), Ellipse(120.0, 56.0, 25.0, 20.0, 0.4)
    frames = np.stack([draw_head(left), draw_head(right), np.zeros((112, 160), np.uint8)])
    regions = [region((0, 0, 79, 111), (0.05, 0.05)), region((80, 0, 159, 111), (0.1, 0.1))]
    (tmp_path / "cine").write_bytes(written(frames, regions))
    rows = _rows(tmp_path, bright_model)
    assert [row.file_name for row in rows] == ["cine#1", "cine#2", "cine#3"]
    assert [row.status for row in rows] == [RowStatus.OK, RowStatus.OK, RowStatus.NO_HEAD]
    assert [row.pixel_size_xy_mm for row in rows[:2]] == [(0.5, 0.5), (1.0, 1.0)]
    assert rows[1].hc_mm == pytest.approx(2 * (rows[0].hc_mm or 0.0), rel=1e-3)


def test_dicom_without_calibration_is_measured_in_pixels(tmp_path: Path, bright_model: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(written(draw_head(HEAD)))
    (row,) = _rows(tmp_path / "a.dcm", bright_model)
    assert (row.status, row.pixel_size_source, row.hc_mm) == (RowStatus.NO_PIXEL_SIZE, "none", None)
    assert row.reason.startswith("No millimetres: the DICOM file does not say")
    assert row.hc_px is not None


def test_pixels_that_may_show_a_name_are_measured_and_not_shown() -> None:
    frames = open_frames(written(draw_head(HEAD)), "a")
    assert frames.frame_rgb(0).any()
    with pytest.raises(NeedsRegion):
        frames.visible_rgb(0)


def test_region_comes_before_the_table_and_both_sizes_are_named(tmp_path: Path, bright_model: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(written(draw_head(HEAD), [region(WHOLE, (0.05, 0.05))]))
    (tmp_path / "m.csv").write_text("path,pixel_size_mm\na.dcm,0.3\n")
    (row,) = _rows(tmp_path / "m.csv", bright_model)
    assert (row.pixel_size_xy_mm, row.pixel_size_source) == ((0.5, 0.5), "dicom_region")
    assert "pixel_sizes_disagree" in row.flags
    assert "The table of pixel sizes gives 0.3 mm per pixel, which was not used." in row.calibration


def test_table_comes_before_pixel_spacing(tmp_path: Path, bright_model: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(written(draw_head(HEAD), [], PixelSpacing=[0.5, 0.5]))
    (tmp_path / "m.csv").write_text("path,pixel_size_mm\na.dcm,0.3\n")
    (row,) = _rows(tmp_path / "m.csv", bright_model)
    assert (row.pixel_size_xy_mm, row.pixel_size_source) == ((0.3, 0.3), "csv")
    assert "0.5 mm per pixel, which was not used" in row.calibration


def test_table_counts_where_the_file_is_measured_in_seconds(tmp_path: Path, bright_model: Path) -> None:
    (tmp_path / "a.dcm").write_bytes(written(draw_head(HEAD), [region(WHOLE, (0.05, 0.05), PhysicalUnitsXDirection=4)]))
    (tmp_path / "m.csv").write_text("path,pixel_size_mm\na.dcm,0.3\n")
    (row,) = _rows(tmp_path / "m.csv", bright_model)
    assert (row.pixel_size_xy_mm, row.pixel_size_source, row.flags) == ((0.3, 0.3), "csv", ())


def test_damaged_frames_cost_only_their_own_row(tmp_path: Path, bright_model: Path) -> None:
    whole = written(np.stack([draw_head(HEAD)] * 2), [region(WHOLE, (0.05, 0.05))], NumberOfFrames=3)
    (tmp_path / "a.dcm").write_bytes(whole)
    (tmp_path / "b.dcm").write_bytes(written(draw_head(HEAD), [region(WHOLE, (0.05, 0.05))]))
    rows = _rows(tmp_path, bright_model)
    assert rows[-1].file_name == "b.dcm"
    assert rows[-1].status == RowStatus.OK
    assert RowStatus.UNREADABLE in {row.status for row in rows[:-1]}
    assert all(row.reason for row in rows if row.status != RowStatus.OK)


def test_banner_beside_the_tissue_region_takes_no_part() -> None:
    image = np.full((112, 160), 90, np.uint8)
    frame = open_frames(written(image, [region((20, 10, 139, 99), (0.05, 0.05))]), "a").frame_rgb(0)
    inside = np.zeros((112, 160), dtype=bool)
    inside[10:100, 20:140] = True
    assert (frame[inside] == 90).all()
    assert (frame[~inside] == 0).all()


@pytest.mark.parametrize("make", [lambda grey: encoded(grey, "PNG"), written], ids=["PNG", "DICOM"])
def test_picture_too_small_for_a_head_is_refused(make: Callable[[np.ndarray], bytes]) -> None:
    assert open_frames(make(np.zeros((64, 64), np.uint8)), "a").n_frames == 1
    with pytest.raises(ImageError, match="has only 64 x 63 pixels; a head cannot be measured with fewer than 64"):
        open_frames(make(np.zeros((63, 64), np.uint8)), "a")
