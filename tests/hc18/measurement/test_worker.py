"""One image from file to row: every kind of file gives a status and a reason, and nothing raises."""

import pickle
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
from PIL import Image

from fetal_hc.batch.tasks import ImageTask
from fetal_hc.errors import ModelError
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.flags import Status
from hc18.measurement.pixel_size_rules import TablePixelSize
from hc18.measurement.rows import MeasurementRow, RowStatus
from hc18.measurement.worker import MeasureWork
from tests.synthetic_heads import draw_head
from tests.synthetic_model import head_spec, write_bright_object_model

HEAD = Ellipse(80.0, 56.0, 40.0, 30.0, 0.4)
PIXEL_SIZE_MM = 0.8


def _score(
    model: Path, image: Path | None, pixel_size_mm: float | None = PIXEL_SIZE_MM, note: str = ""
) -> MeasurementRow:
    facts = None if pixel_size_mm is None else TablePixelSize((pixel_size_mm, pixel_size_mm))
    task = ImageTask(0, "a.png", image and str(image), facts, note)
    (result,) = MeasureWork(model, 1, 0.5)()([task])
    (row,) = result.rows
    return row


@pytest.fixture
def head_image(tmp_path: Path) -> Path:
    """An image of `HEAD`."""
    path = tmp_path / "a.png"
    Image.fromarray(draw_head(HEAD)).save(path)
    return path


def test_measured_head(bright_model: Path, head_image: Path) -> None:
    row = _score(bright_model, head_image)
    assert (row.status, row.reason, row.confidence) == (RowStatus.OK, "", pytest.approx(0.9))
    assert row.hc_mm == pytest.approx(HEAD.circumference() * PIXEL_SIZE_MM, rel=3e-3)
    assert row.ellipse_px is not None
    assert row.ellipse_px.center_x == pytest.approx(80.0, abs=0.2)
    assert row.ellipse_px.angle_rad == pytest.approx(0.4, abs=0.02)
    assert row.ellipse_mm == row.ellipse_px.to_mm(PIXEL_SIZE_MM, PIXEL_SIZE_MM)
    assert (row.image_hw, row.pixel_size_xy_mm, row.pixel_size_source) == ((112, 160), (PIXEL_SIZE_MM,) * 2, "csv")


def test_without_pixel_size_there_are_pixels_but_no_millimetres(bright_model: Path, head_image: Path) -> None:
    row = _score(bright_model, head_image, None, note="sizes.csv: has no row")
    assert (row.status, row.reason) == (RowStatus.NO_PIXEL_SIZE, "sizes.csv: has no row")
    assert row.hc_px == pytest.approx(HEAD.circumference(), rel=3e-3)
    assert row.hc_mm is None
    assert row.ellipse_mm is None


def test_missing_file(bright_model: Path) -> None:
    row = _score(bright_model, None, note="sizes.csv, row 2: names a file")
    assert (row.status, row.reason) == (RowStatus.MISSING_FILE, "sizes.csv, row 2: names a file")


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "LA", "P", "I;16"])
def test_every_kind_of_pixel_gives_the_same_measurement(bright_model: Path, head_image: Path, mode: str) -> None:
    expected = _score(bright_model, head_image).hc_mm
    grey = draw_head(HEAD)
    picture = Image.fromarray(grey.astype(np.uint16) * 257) if mode == "I;16" else Image.fromarray(grey).convert(mode)
    picture.save(head_image)
    assert _score(bright_model, head_image).hc_mm == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("content", [b"", b"not an image, only named so", b"\x89PNG\r\n\x1a\n" + bytes(50)])
def test_unreadable_file(bright_model: Path, tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.png").write_bytes(content)
    row = _score(bright_model, tmp_path / "a.png")
    assert row.status == RowStatus.UNREADABLE
    assert str(tmp_path / "a.png") in row.reason
    assert row.hc_mm is None


def test_truncated_file(bright_model: Path, head_image: Path) -> None:
    head_image.write_bytes(head_image.read_bytes()[:-300])
    assert _score(bright_model, head_image).status == RowStatus.UNREADABLE


def test_too_large_image(bright_model: Path, head_image: Path) -> None:
    header = b"IHDR" + struct.pack(">IIBBBBB", 20_000, 20_000, 8, 0, 0, 0, 0)
    chunk = struct.pack(">I", 13) + header + struct.pack(">I", zlib.crc32(header))
    head_image.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk + b"\0\0\0\0IDAT")
    row = _score(bright_model, head_image)
    assert row.status == RowStatus.UNREADABLE
    assert "20000 x 20000" in row.reason


@pytest.mark.parametrize("image_hw", [(1, 1), (2, 3), (1, 500), (63, 500)])
def test_tiny_image_is_refused(bright_model: Path, head_image: Path, image_hw: tuple[int, int]) -> None:
    Image.fromarray(np.zeros(image_hw, np.uint8)).save(head_image)
    row = _score(bright_model, head_image)
    assert row.status == RowStatus.UNREADABLE
    assert "a head cannot be measured with fewer than 64" in row.reason


def test_blank_image_has_no_head(bright_model: Path, head_image: Path) -> None:
    Image.fromarray(np.zeros((112, 160), np.uint8)).save(head_image)
    row = _score(bright_model, head_image)
    assert row.status == RowStatus.NO_HEAD
    assert row.reason


def test_noise_never_raises(bright_model: Path, head_image: Path) -> None:
    noise = np.random.default_rng(3).integers(0, 256, (112, 160), dtype=np.uint8)
    Image.fromarray(noise).save(head_image)
    assert _score(bright_model, head_image).status != RowStatus.INTERNAL_ERROR


class _FailingWork(MeasureWork):
    """Work whose network fails on every image."""

    error: ClassVar[Exception]

    def load(self) -> Callable[..., Callable[[], list[MeasurementRow]]]:
        super().load()
        return lambda _task, _data: self._fail

    def _fail(self) -> list[MeasurementRow]:
        raise self.error


@pytest.mark.parametrize(
    ("error", "status"),
    [(ModelError("m.onnx: fails"), RowStatus.MODEL_FAILED), (KeyError("oops"), RowStatus.INTERNAL_ERROR)],
)
def test_failing_network_costs_one_row(
    bright_model: Path, head_image: Path, error: Exception, status: RowStatus
) -> None:
    _FailingWork.error = error
    task = ImageTask(0, "a.png", str(head_image), TablePixelSize((0.2, 0.2)))
    (result,) = _FailingWork(bright_model, 1, 0.5)()([task])
    row = result.rows[0]
    assert row.status == status
    assert str(error) in row.reason
    assert row.pixel_size_xy_mm == (0.2, 0.2)


def test_model_for_other_objects_is_refused(tmp_path: Path) -> None:
    spec = head_spec(class_names=("with_mask", "without_mask"))
    model = write_bright_object_model(tmp_path / "faces.onnx", spec)
    with pytest.raises(ModelError, match="finds with_mask, without_mask; expected a model that finds head"):
        MeasureWork(model, 1, 0.5)()


def test_crashed_image_has_a_reason() -> None:
    work = MeasureWork(Path("m.onnx"), 1, 0.5)
    row = work.crashed_result(ImageTask(0, "a.png", "a.png", TablePixelSize((0.2, 0.2)))).rows[0]
    assert row.status == RowStatus.INTERNAL_ERROR
    assert "died" in row.reason


def test_every_outcome_of_a_measurement_is_a_row_status() -> None:
    assert {status.value for status in Status} <= {status.value for status in RowStatus}


def test_rows_and_work_travel_between_processes(bright_model: Path, head_image: Path) -> None:
    row = _score(bright_model, head_image)
    assert pickle.loads(pickle.dumps(row)) == row
    work = MeasureWork(bright_model, 1, 0.5)
    assert pickle.loads(pickle.dumps(work)) == work
