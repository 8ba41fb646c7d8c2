"""Soft masks to ellipses: bias, cuts by box and image, cross-check, refusals."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from fetal_hc.io.masks import mask_grid_to_image_affine, paste_soft_mask, polygon_to_coverage
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.fits import fit_moments, fit_soft_mask
from tests.rendered_heads import box_around, render_soft_mask

HEAD = Ellipse(400.3, 269.8, 180.4, 139.7, 0.7)
IMAGE_HW = (540, 800)


def error_percent(found: Ellipse | None, expected: Ellipse) -> float:
    """Signed error of the circumference."""
    assert found is not None
    return 100 * (found.circumference() / expected.circumference() - 1)


@pytest.mark.parametrize("degrees", range(0, 180, 10))
@pytest.mark.parametrize(("mask_size", "tolerance_percent"), [(28, 0.06), (56, 0.03)])
def test_head_in_a_tight_box_is_measured_at_every_angle(degrees: int, mask_size: int, tolerance_percent: float) -> None:
    head = Ellipse(400.3, 269.8, 180.4, 139.7, math.radians(degrees))
    box = box_around(head, [0.02, -0.01, 0.015, -0.02])
    fit = fit_soft_mask(render_soft_mask(head, box, mask_size), mask_grid_to_image_affine(box, mask_size), IMAGE_HW)
    assert abs(error_percent(fit.ellipse, head)) < tolerance_percent
    assert fit.disagreement_percent is not None
    assert fit.disagreement_percent < 0.3
    assert not fit.touches_border


@given(
    st.lists(st.floats(-0.05, 0.05), min_size=4, max_size=4),
    st.floats(0.65, 1.0),
    st.floats(0.0, 3.14),
    st.floats(0.0, 0.8),
)
@settings(max_examples=40, deadline=None)
def test_wrong_boxes_and_blur_hardly_move_the_circumference(
    margin: list[float], ratio: float, angle: float, blur_cells: float
) -> None:
    head = Ellipse(400.3, 269.8, 180.4, 180.4 * ratio, angle)
    box = box_around(head, margin)
    fit = fit_soft_mask(render_soft_mask(head, box, 56, blur_cells), mask_grid_to_image_affine(box, 56), IMAGE_HW)
    assert abs(error_percent(fit.ellipse, head)) < 0.12


def test_centre_and_axes_are_right_in_stretched_cells() -> None:
    box = box_around(HEAD, [0.1, 0.03, 0.0, 0.05])
    found = fit_soft_mask(render_soft_mask(HEAD, box, 56), mask_grid_to_image_affine(box, 56), IMAGE_HW).ellipse
    assert found is not None
    assert (found.center_x, found.center_y, found.semi_axis_a, found.semi_axis_b, found.angle_rad) == pytest.approx(
        (400.3, 269.8, 180.4, 139.7, 0.7), abs=0.15
    )


def test_pasted_mask_gives_the_same_ellipse_as_the_grid() -> None:
    box = box_around(HEAD, 0.05)
    soft_mask = render_soft_mask(HEAD, box, 56, 0.7)
    pasted = fit_soft_mask(paste_soft_mask(soft_mask, box, IMAGE_HW), image_hw=IMAGE_HW)
    grid = fit_soft_mask(soft_mask, mask_grid_to_image_affine(box, 56), IMAGE_HW)
    assert pasted.ellipse is not None
    assert abs(error_percent(grid.ellipse, pasted.ellipse)) < 0.03


@pytest.mark.parametrize("blur", [0.0, 1.0, 3.0])
def test_moments_ignore_blur_of_a_whole_mask(blur: float) -> None:
    box = box_around(HEAD, 0.1)
    fit = fit_moments(render_soft_mask(HEAD, box, 56, blur), mask_grid_to_image_affine(box, 56))
    assert abs(error_percent(fit.ellipse, HEAD)) < (0.15 if blur == 3.0 else 0.01)


def test_moments_of_pixels_in_or_out_have_no_half_pixel_bias() -> None:
    errors = [
        error_percent(fit_moments(head.mask((120, 120))).ellipse, head)
        for head in (Ellipse(60.0 + shift, 59.3, 45.2, 36.1, shift * 3) for shift in np.linspace(0, 1, 20))
    ]
    assert abs(np.mean(errors)) < 0.02


def cut_mask(
    head: Ellipse, image_hw: tuple[int, int], mask_size: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """Soft mask and affine of a head whose box is clipped to the image, as a detector clips it."""
    box = np.clip(box_around(head), 0.0, [image_hw[1], image_hw[0], image_hw[1], image_hw[0]])
    return render_soft_mask(head, box, mask_size), mask_grid_to_image_affine(box, mask_size)


@pytest.mark.parametrize(
    "center", [(120.0, 270.0), (690.0, 270.0), (400.0, 90.0), (400.0, 450.0), (130.0, 110.0)], ids=str
)
@pytest.mark.parametrize("mask_size", [28, 56])
def test_head_cut_by_the_image_is_completed(center: tuple[float, float], mask_size: int) -> None:
    head = Ellipse(*center, 180.4, 139.7, 0.7)
    fit = fit_soft_mask(*cut_mask(head, IMAGE_HW, mask_size), IMAGE_HW)
    assert abs(error_percent(fit.ellipse, head)) < 0.3
    assert fit.touches_border


def test_outline_along_the_image_border_is_left_out() -> None:
    head = Ellipse(120.0, 270.0, 180.4, 139.7, 0.7)
    box = box_around(head)
    affine = mask_grid_to_image_affine(box, 56)
    mask = render_soft_mask(head, box, 56)
    column_x = affine[0, 0] * np.arange(56) + affine[0, 2]
    mask[:, column_x < 0.0] = 0.0  # the network learned that nothing lies outside the image
    fit = fit_soft_mask(mask, affine, IMAGE_HW)
    assert abs(error_percent(fit.ellipse, head)) < 0.1
    assert abs(error_percent(fit_soft_mask(mask, affine).ellipse, head)) > 2


@pytest.mark.parametrize("margin", [-0.02, -0.05, [-0.15, 0.0, 0.0, 0.0]])
def test_head_cut_by_a_tight_box_is_completed(margin: float | list[float]) -> None:
    box = box_around(HEAD, margin)
    fit = fit_soft_mask(render_soft_mask(HEAD, box, 56), mask_grid_to_image_affine(box, 56), IMAGE_HW)
    assert abs(error_percent(fit.ellipse, HEAD)) < 0.05
    assert abs(error_percent(fit.moments.ellipse, HEAD)) < 0.3
    assert not fit.touches_border


def test_moments_are_no_check_when_most_of_the_head_is_outside() -> None:
    head = Ellipse(50.0, 270.0, 180.4, 139.7, 0.7)
    fit = fit_soft_mask(*cut_mask(head, IMAGE_HW, 56), IMAGE_HW)
    assert fit.ellipse is not None
    assert fit.disagreement_percent is None
    assert "70%" in fit.moments.reason


def test_disagreement_shows_a_region_that_is_no_ellipse() -> None:
    box = box_around(HEAD, 0.15)
    mask = render_soft_mask(HEAD, box, 56)
    whole = fit_soft_mask(mask, mask_grid_to_image_affine(box, 56), IMAGE_HW)
    mask[10:30, :12] = 1.0
    spoilt = fit_soft_mask(mask, mask_grid_to_image_affine(box, 56), IMAGE_HW)
    assert whole.disagreement_percent is not None
    assert spoilt.disagreement_percent is not None
    assert whole.disagreement_percent < 0.2
    assert spoilt.disagreement_percent > 1


def test_second_object_in_the_box_changes_nothing() -> None:
    box = box_around(HEAD, 0.15)
    mask, affine = render_soft_mask(HEAD, box, 56), mask_grid_to_image_affine(box, 56)
    clean = fit_soft_mask(mask, affine, IMAGE_HW)
    mask[:3, :3] = 1.0
    assert fit_soft_mask(mask, affine, IMAGE_HW) == clean


@pytest.mark.parametrize(
    ("mask", "reason"),
    [
        (np.zeros((28, 28)), "no cell of the mask reaches 0.5"),
        (np.full((28, 28), 0.4), "no cell of the mask reaches 0.5"),
        (np.ones((28, 28)), "up to its edges"),
        (np.full((28, 28), np.nan), "not finite"),
        (np.full((28, 28), 3.0), "probabilities"),
        (np.ones((1, 1)), "shape"),
        (np.ones(28), "shape"),
        (np.zeros((0, 0)), "shape"),
        (np.eye(28), "fewer than 5"),
    ],
)
def test_what_gives_no_ellipse_has_a_reason(mask: NDArray[np.float64], reason: str) -> None:
    fit = fit_soft_mask(mask, image_hw=(28, 28))
    assert not fit
    assert (fit.ellipse, fit.disagreement_percent) == (None, None)
    assert reason in fit.reason
    assert not fit.contour


@pytest.mark.parametrize("mask", [np.zeros((5, 5)), np.full((5, 5), np.nan), np.full((5, 5), 1e-30)])
def test_moments_of_nothing_have_a_reason(mask: NDArray[np.float64]) -> None:
    fit = fit_moments(mask)
    assert not fit
    assert fit.reason


@given(st.integers(0, 2**32 - 1), st.integers(2, 30))
@settings(max_examples=50, deadline=None)
def test_noise_never_raises(seed: int, size: int) -> None:
    mask = np.random.default_rng(seed).random((size, size))
    fit = fit_soft_mask(mask, mask_grid_to_image_affine((-3.0, -3.0, 20.0, 40.0), size), (30, 30))
    assert bool(fit) == (not fit.reason)


def test_full_size_mask_needs_no_affine() -> None:
    coverage = polygon_to_coverage(HEAD.outline(720) + 0.5, IMAGE_HW)
    fit = fit_soft_mask(coverage, image_hw=IMAGE_HW)
    assert abs(error_percent(fit.ellipse, HEAD)) < 0.002
    assert abs(error_percent(fit.moments.ellipse, HEAD)) < 0.01
