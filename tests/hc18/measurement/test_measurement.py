"""From an outline in px and a pixel size to millimetres, interval and flags."""

import math
from dataclasses import replace

import pytest

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, choose_pixel_size, from_table, from_user, uncalibrated
from hc18.measurement.flags import Flag, Status
from hc18.measurement.interval_model import IntervalModel
from hc18.measurement.measurement import apply_pixel_size
from hc18.measurement.outline import HeadOutline, Quality

ELLIPSE = Ellipse(400.3, 269.8, 180.4, 139.7, 0.7)
OUTLINE = HeadOutline(ELLIPSE, None, "", 0.99, Quality(1.0, 0.1, 0.05), (Flag.TOUCHES_BORDER,), 0)
MODEL = IntervalModel(math.log(2.0), {"entropy": 0.5}, 2.5, 0.9, 3.0, 160)
NO_SIZE = uncalibrated("No millimetres: no table.")


def test_millimetres_follow_from_ellipse_and_pixel_size() -> None:
    found = apply_pixel_size(OUTLINE, from_user((0.1, 0.2)))
    assert (found.status, found.reason, found.flags) == (Status.OK, "", (Flag.TOUCHES_BORDER,))
    assert found.ellipse_mm == ELLIPSE.to_mm(0.1, 0.2)
    assert found.hc_mm == ELLIPSE.to_mm(0.1, 0.2).circumference()
    assert found.hc_px == ELLIPSE.circumference()


def test_without_a_pixel_size_there_is_the_reason() -> None:
    found = apply_pixel_size(OUTLINE, NO_SIZE, MODEL)
    assert (found.status, found.reason) == (Status.NO_PIXEL_SIZE, "No millimetres: no table.")
    assert (found.hc_mm, found.ellipse_mm, found.interval, found.flags) == (None, None, None, (Flag.TOUCHES_BORDER,))


def test_failure_stays_one_whatever_the_pixel_size() -> None:
    found = apply_pixel_size(HeadOutline(failure=Status.NO_HEAD, reason="nothing"), from_table(0.1), MODEL)
    assert (found.status, found.reason, found.hc_mm, found.interval, found.flags) == (
        Status.NO_HEAD,
        "nothing",
        None,
        None,
        (),
    )


def test_interval_is_that_of_the_model_with_its_coverage() -> None:
    found = apply_pixel_size(OUTLINE, from_table(0.15), MODEL)
    assert found.interval is not None
    assert found.hc_mm is not None
    assert (found.interval.low_mm, found.interval.high_mm) == pytest.approx((found.hc_mm - 5.0, found.hc_mm + 5.0))
    assert (found.interval.expected_error_mm, found.interval.coverage) == (pytest.approx(2.0), 0.9)
    assert apply_pixel_size(OUTLINE, from_table(0.15)).interval is None


def test_large_expected_error_is_flagged() -> None:
    doubtful = replace(OUTLINE, quality=Quality(1.0, 0.1, 0.5))
    assert apply_pixel_size(doubtful, from_table(0.15), MODEL).flags == (Flag.TOUCHES_BORDER, Flag.UNCERTAIN)


def test_fits_that_could_not_be_compared_are_flagged_without_an_interval() -> None:
    model = replace(MODEL, weights={"disagreement": 0.1, "entropy": 0.5})
    found = apply_pixel_size(replace(OUTLINE, quality=Quality(1.0, None, 0.05)), from_table(0.15), model)
    assert (found.interval, found.flags) == (None, (Flag.TOUCHES_BORDER, Flag.UNCERTAIN))


def test_unfamiliar_image_has_a_wider_interval_also_when_the_pixel_size_arrives_late() -> None:
    model = replace(MODEL, unfamiliar_above=0.6, unfamiliar_factor=5.0)
    familiar, unfamiliar = (
        replace(OUTLINE, quality=Quality(1.0, 0.1, 0.05, unfamiliarity=value)) for value in (0.2, 0.9)
    )
    widths_mm = []
    for outline in (familiar, unfamiliar):
        late = apply_pixel_size(apply_pixel_size(outline, NO_SIZE, model).outline, from_table(0.15), model)
        assert late == apply_pixel_size(outline, from_table(0.15), model)
        assert late.interval is not None
        widths_mm.append(late.interval.high_mm - late.interval.low_mm)
    assert widths_mm == pytest.approx([10.0, 20.0])


@pytest.mark.parametrize("pixel_size_mm", [0.01, 1.0])
def test_implausible_circumference_is_flagged(pixel_size_mm: float) -> None:
    found = apply_pixel_size(replace(OUTLINE, flags=()), from_table(pixel_size_mm))
    assert (found.status, found.flags) == (Status.OK, (Flag.IMPLAUSIBLE_HC,))


@pytest.mark.parametrize("calibration", [NO_SIZE, from_table(0.15)])
def test_flat_ellipse_is_flagged_with_and_without_millimetres(calibration: Calibration) -> None:
    flat = replace(OUTLINE, ellipse_px=Ellipse(400.0, 270.0, 180.0, 80.0, 0.2), flags=())
    assert apply_pixel_size(flat, calibration).flags == (Flag.IMPLAUSIBLE_HC,)


def test_pixel_sizes_that_disagree_are_flagged() -> None:
    chosen = choose_pixel_size([from_table(0.15), from_user(0.2)])
    assert Flag.PIXEL_SIZES_DISAGREE in apply_pixel_size(OUTLINE, chosen).flags
    agreed = choose_pixel_size([from_table(0.15), from_user(0.151)])
    assert Flag.PIXEL_SIZES_DISAGREE not in apply_pixel_size(OUTLINE, agreed).flags
