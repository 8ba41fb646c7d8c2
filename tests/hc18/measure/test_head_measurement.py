"""One image to one measurement: what is refused before the network, and what its model says of its own error."""

from types import SimpleNamespace

import numpy as np
import pytest

from hc18.geometry.ellipse import Ellipse
from hc18.measure.head_measurement import calibrated, measure_image
from hc18.measure.interval_model import IntervalModel
from hc18.measure.measurement import Flag, Status
from tests.rendered_heads import predict

HEAD = Ellipse.from_axes(160.0, 108.0, 90.0, 70.0, 0.2)
TRUST = IntervalModel(np.log(2.0), {"log_hc": 1.0}, 2.0, 0.9, 100.0, 160)
GREY_IMAGE = np.full((216, 320, 3), 60, np.uint8)


class FixedPredictor:
    """Finds the same head in every image and counts its calls; its second look always finds `refined`."""

    def __init__(self, trust: IntervalModel | None = None, refined: Ellipse | None = None) -> None:
        self.spec = SimpleNamespace(trust=trust)
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


def test_measurement_has_millimetres_and_the_interval_of_its_model():
    found = measure_image(FixedPredictor(TRUST), GREY_IMAGE, (0.3, 0.3))
    assert found.hc_mm == pytest.approx(0.3 * HEAD.circumference(), rel=0.002)
    half_mm = 2.0 * found.expected_error_mm
    assert found.hc_interval_mm == pytest.approx((found.hc_mm - half_mm, found.hc_mm + half_mm))


def test_model_without_calibration_gives_no_interval():
    found = measure_image(FixedPredictor(), GREY_IMAGE, (0.3, 0.3))
    assert found.status is Status.OK
    assert found.hc_interval_mm is None


def test_pixel_size_known_later_gives_the_same_measurement():
    predictor = FixedPredictor(TRUST)
    at_once = measure_image(predictor, GREY_IMAGE, (0.3, 0.25))
    in_px = measure_image(predictor, GREY_IMAGE, None)
    assert in_px.status is Status.NO_PIXEL_SIZE
    assert in_px.hc_interval_mm is None
    assert calibrated(predictor, in_px, (0.3, 0.25)) == at_once


def test_photograph_never_reaches_the_network():
    photograph = np.random.default_rng(0).integers(0, 256, (216, 320, 3), dtype=np.uint8)
    predictor = FixedPredictor(TRUST)
    found = measure_image(predictor, photograph, (0.3, 0.3))
    assert found.status is Status.NO_HEAD
    assert "photograph" in found.reason
    assert predictor.n_calls == 0


def test_the_second_look_replaces_the_ellipse_and_keeps_the_evidence():
    refined = Ellipse.from_axes(161.0, 107.0, 95.0, 73.0, 0.25)
    plain = measure_image(FixedPredictor(TRUST), GREY_IMAGE, (0.3, 0.3))
    found = measure_image(FixedPredictor(TRUST, refined), GREY_IMAGE, (0.3, 0.3))
    assert found.ellipse_px == refined
    assert found.hc_px == refined.circumference()
    assert found.hc_mm == pytest.approx(0.3 * refined.circumference())
    assert found.mask_entropy == plain.mask_entropy
    assert found.flags == ()


def test_flags_are_those_of_the_refined_ellipse():
    flat = Ellipse.from_axes(160.0, 108.0, 109.0, 47.0, 0.0)
    found = measure_image(FixedPredictor(TRUST, flat), GREY_IMAGE, (0.3, 0.3))
    assert found.flags == (Flag.IMPLAUSIBLE_HC,)
    low = Ellipse.from_axes(160.0, 160.0, 90.0, 70.0, 0.2)
    assert measure_image(FixedPredictor(TRUST, low), GREY_IMAGE, (0.3, 0.3)).flags == (Flag.TOUCHES_BORDER,)


@pytest.mark.parametrize("factor", [0.93, 1.07])
def test_looks_that_disagree_are_flagged(factor: float):
    refined = Ellipse.from_axes(160.0, 108.0, factor * 90.0, factor * 70.0, 0.2)
    found = measure_image(FixedPredictor(TRUST, refined), GREY_IMAGE, (0.3, 0.3))
    assert found.flags == (Flag.FITS_DISAGREE,)
    assert found.ellipse_px == refined


@pytest.mark.parametrize("factor", [0.85, 1.15])
def test_looks_that_disagree_widely_have_seen_no_head(factor: float):
    refined = Ellipse.from_axes(160.0, 108.0, factor * 90.0, factor * 70.0, 0.2)
    found = measure_image(FixedPredictor(TRUST, refined), GREY_IMAGE, (0.3, 0.3))
    assert (found.status, found.ellipse_px, found.hc_mm) == (Status.NO_HEAD, None, None)
    assert "no skull along the outline" in found.reason


def test_a_second_look_that_fails_leaves_the_first_flagged():
    predictor = FixedPredictor(TRUST, HEAD)
    predictor.refined = None
    found = measure_image(predictor, GREY_IMAGE, (0.3, 0.3))
    plain = measure_image(FixedPredictor(TRUST), GREY_IMAGE, (0.3, 0.3))
    assert found.flags == (Flag.FITS_DISAGREE,)
    assert found.ellipse_px == plain.ellipse_px
