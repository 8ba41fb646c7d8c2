"""One frame to one measurement: what is refused before the network, and which pixel size counts."""

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

import hc18
from fetal_hc.errors import ImageError
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, CalibrationSource, from_region, from_table, uncalibrated
from hc18.measurement.flags import Flag, Status
from hc18.measurement.interval_model import IntervalModel
from hc18.measurement.measurement import Measurement, apply_pixel_size
from hc18.measurement.pipeline import CalibrateAt, measure_frame
from tests.rendered_heads import predict
from tests.synthetic_dicom import region, written
from tests.synthetic_heads import draw_head
from tests.synthetic_model import head_spec, write_bright_object_model

HEAD = Ellipse.from_axes(160.0, 108.0, 90.0, 70.0, 0.2)
INTERVALS = IntervalModel(np.log(2.0), {"log_hc": 1.0}, 2.0, 0.9, 100.0, 160)
GREY_IMAGE = np.full((216, 320, 3), 60, np.uint8)


class FixedModel:
    """Finds the same head in every image and counts its calls; its refinement stage always finds `refined`."""

    def __init__(self, intervals: IntervalModel | None = None, refined: Ellipse | None = None) -> None:
        self.intervals, self.checks, self.min_score, self.refinement_share = intervals, None, 0.35, 1.0
        self.refiner = SimpleNamespace(refine=self._refine) if refined is not None else None
        self.refined = refined
        self.n_calls = 0

    def predict(self, image_rgb: np.ndarray) -> list:
        self.n_calls += 1
        return [predict(HEAD)]

    def _refine(self, image_grey: np.ndarray, start_px: Ellipse) -> Ellipse | None:
        assert image_grey.shape == GREY_IMAGE.shape[:2]
        assert start_px.circumference() == pytest.approx(HEAD.circumference(), rel=0.002)
        return self.refined


def measure(model: FixedModel, *candidates: Calibration, calibrate: CalibrateAt | None = None) -> Measurement:
    return measure_frame(model, GREY_IMAGE, candidates, calibrate).measurement


def test_measurement_has_millimetres_and_the_interval_of_its_model():
    found = measure(FixedModel(INTERVALS), from_table(0.3))
    assert found.hc_mm == pytest.approx(0.3 * HEAD.circumference(), rel=0.002)
    half_mm = 2.0 * found.interval.expected_error_mm
    assert (found.interval.low_mm, found.interval.high_mm) == pytest.approx(
        (found.hc_mm - half_mm, found.hc_mm + half_mm)
    )


def test_model_without_calibration_gives_no_interval():
    found = measure(FixedModel(), from_table(0.3))
    assert found.status is Status.OK
    assert found.interval is None


def test_pixel_size_known_later_gives_the_same_measurement():
    model, size = FixedModel(INTERVALS), from_table((0.3, 0.25))
    at_once, in_px = measure(model, size), measure(model, uncalibrated("none yet"))
    assert (in_px.status, in_px.interval) == (Status.NO_PIXEL_SIZE, None)
    assert apply_pixel_size(in_px.outline, size, INTERVALS) == at_once


def test_photograph_never_reaches_the_network():
    photograph = np.random.default_rng(0).integers(0, 256, (216, 320, 3), dtype=np.uint8)
    model = FixedModel(INTERVALS)
    found = measure_frame(model, photograph, [from_table(0.3)])
    assert found.measurement.status is Status.NO_HEAD
    assert "photograph" in found.measurement.reason
    assert (model.n_calls, found.detection) == (0, None)


def test_refinement_gets_the_image_and_the_detected_ellipse():
    refined = Ellipse.from_axes(161.0, 107.0, 95.0, 73.0, 0.25)
    found = measure(FixedModel(INTERVALS, refined), from_table(0.3))
    assert found.ellipse_px == refined
    assert found.hc_mm == pytest.approx(0.3 * refined.circumference())


def test_detection_is_the_one_that_was_measured():
    found = measure_frame(FixedModel(INTERVALS), GREY_IMAGE, [from_table(0.3)])
    assert found.detection is not None
    assert found.detection.score == found.measurement.score


def test_region_around_the_ellipse_counts_before_the_table_and_both_are_named():
    seen = []

    def calibrate(ellipse_px: Ellipse | None) -> Calibration:
        seen.append(ellipse_px)
        return from_region((0.25, 0.25), "region 1 of 1")

    found = measure(FixedModel(INTERVALS), from_table(0.3), calibrate=calibrate)
    assert seen == [found.ellipse_px]
    assert (found.calibration.source, found.calibration.pixel_size_xy_mm) == (
        CalibrationSource.DICOM_REGION,
        (0.25, 0.25),
    )
    assert "0.3 mm per pixel, which was not used" in found.calibration.warnings[0]
    assert found.flags == (Flag.PIXEL_SIZES_DISAGREE,)


def test_without_any_candidate_the_reason_says_what_to_do():
    assert "Type the pixel size" in measure(FixedModel(INTERVALS)).reason


def test_public_face_measures_a_file_and_an_array_in_three_lines(tmp_path):
    pixels = draw_head(Ellipse(80.0, 56.0, 40.0, 30.0, 0.4))
    path = tmp_path / "a.png"
    Image.fromarray(pixels).save(path)
    model = hc18.load_model(write_bright_object_model(tmp_path / "m.onnx", head_spec(min_size=0)))
    of_file = hc18.measure(path, model, pixel_size_mm=0.8)
    assert of_file.hc_mm == pytest.approx(0.8 * Ellipse(80.0, 56.0, 40.0, 30.0, 0.4).circumference(), rel=3e-3)
    assert hc18.measure(pixels, model, pixel_size_mm=(0.8, 0.8)) == of_file


def test_public_face_gives_one_measurement_per_frame(tmp_path):
    head = draw_head(Ellipse(80.0, 56.0, 40.0, 30.0, 0.4))
    path = tmp_path / "cine.dcm"
    path.write_bytes(written(np.stack([head, np.zeros_like(head)]), [region((0, 0, 159, 111), (0.05, 0.05))]))
    found = hc18.measure(path, hc18.load_model(write_bright_object_model(tmp_path / "m.onnx", head_spec(min_size=0))))
    assert [item.status for item in found] == [Status.OK, Status.NO_HEAD]


def test_clip_without_heads_is_warned_of(tmp_path):
    path = tmp_path / "clip.dcm"
    path.write_bytes(written(np.zeros((3, 120, 160, 3), dtype=np.uint8)))
    model = hc18.load_model(write_bright_object_model(tmp_path / "m.onnx", head_spec(min_size=0)))
    with pytest.warns(UserWarning, match=r"clip\.dcm: 3 of 3 frames are flagged or show no head"):
        found = hc18.measure(path, model)
    assert [frame.status for frame in found] == [Status.NO_HEAD] * 3


def test_array_that_is_not_an_image_is_refused():
    with pytest.raises(ImageError, match="expected uint8"):
        hc18.measure(np.zeros((100, 100)), FixedModel())


def test_importing_the_package_loads_no_library():
    script = "import sys, hc18; print(sorted({'numpy', 'onnxruntime', 'torch'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True).stdout
    assert said.strip() == "[]"
