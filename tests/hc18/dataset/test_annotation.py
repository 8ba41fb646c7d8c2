"""Ellipses of annotation pictures."""

import numpy as np
import pytest

from hc18.dataset.annotation import fit_annotation
from hc18.geometry.ellipse import Ellipse
from tests.synthetic_hc18 import IMAGE_HW, draw_disc, draw_ring

HEAD = Ellipse(80.3, 60.2, 50.4, 38.1, 0.3)
CUT = Ellipse(80.0, 30.0, 55.0, 42.0, 0.2)  # leaves the image at the top


def assert_close(found: Ellipse | None, expected: Ellipse, *, axis_px: float) -> None:
    assert found is not None
    assert found.semi_axis_a == pytest.approx(expected.semi_axis_a, abs=axis_px)
    assert found.semi_axis_b == pytest.approx(expected.semi_axis_b, abs=axis_px)
    assert (found.center_x, found.center_y) == pytest.approx((expected.center_x, expected.center_y), abs=axis_px)
    assert found.angle_rad == pytest.approx(expected.angle_rad, abs=0.01)


@pytest.mark.parametrize("width_px", [1.5, 2.5, 4.0])
def test_ring_gives_its_centre_line_whatever_its_width(width_px: float) -> None:
    fit = fit_annotation(draw_ring(HEAD, width_px=width_px))
    assert (fit.kind, fit.is_closed, fit.touches_border) == ("ring", True, False)
    assert_close(fit.ellipse, HEAD, axis_px=0.08)


def test_disc_gives_its_edge_without_half_pixel_bias() -> None:
    fit = fit_annotation(draw_disc(HEAD))
    assert (fit.kind, fit.is_closed) == ("disc", True)
    assert_close(fit.ellipse, HEAD, axis_px=0.08)


def test_turned_thin_disc_is_not_mistaken_for_a_ring() -> None:
    assert fit_annotation(draw_disc(Ellipse(80.0, 60.0, 55.0, 30.0, 0.785))).kind == "disc"


@pytest.mark.parametrize("draw", [draw_ring, draw_disc])
def test_head_that_leaves_the_image_is_fitted_to_its_visible_part(draw: object) -> None:
    fit = fit_annotation(draw(CUT))  # type: ignore[operator]
    assert fit.touches_border
    assert_close(fit.ellipse, CUT, axis_px=0.3)


def test_outline_open_at_the_border_is_not_closed() -> None:
    assert not fit_annotation(draw_ring(CUT)).is_closed


def test_gap_of_one_pixel_is_not_closed_and_hardly_moves_the_ellipse() -> None:
    ring = draw_ring(HEAD)
    ring[:60, 80] = 0
    fit = fit_annotation(ring)
    assert not fit.is_closed
    assert_close(fit.ellipse, HEAD, axis_px=0.08)


def test_ring_that_touches_the_border_may_be_closed() -> None:
    fit = fit_annotation(draw_ring(Ellipse(80.0, 39.3, 50.0, 38.1, 0.0)))
    assert fit.touches_border
    assert fit.is_closed


def test_brightness_of_the_drawing_does_not_matter() -> None:
    assert fit_annotation(draw_ring(HEAD) // 255).ellipse == fit_annotation(draw_ring(HEAD)).ellipse


def test_residual_of_a_ring_is_that_of_its_width() -> None:
    residual = fit_annotation(draw_ring(HEAD)).rms_residual_px
    assert residual == pytest.approx(2.5 / np.sqrt(12), abs=0.05)  # uniform across 2.5 px


@pytest.mark.parametrize("value", [0, 255])
def test_blank_picture_has_no_ellipse_but_a_reason(value: int) -> None:
    fit = fit_annotation(np.full(IMAGE_HW, value, dtype=np.uint8))
    assert fit.ellipse is None
    assert fit.reason
    assert fit.rms_residual_px is None


def test_straight_line_has_no_ellipse() -> None:
    picture = np.zeros(IMAGE_HW, dtype=np.uint8)
    picture[60, 20:140] = 255
    assert fit_annotation(picture).ellipse is None
