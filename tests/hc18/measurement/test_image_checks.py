import numpy as np
import pytest

from fetal_hc.errors import ModelError
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.flags import Flag, Status
from hc18.measurement.image_checks import ImageChecks, LinearScore, coloured_share, rejection_reason
from hc18.measurement.outline import HeadOutline, Quality
from hc18.phantoms.phantom import render_distractor

ELLIPSE = Ellipse(200.0, 150.0, 120.0, 90.0, 0.4)
CHECKS = ImageChecks(LinearScore(0.0, {"skull": 1.0}), 0.1, 0.5, 0.2, LinearScore(0.0, {"text": 1.0}), 0.5)


def tissue(tint_rgb: tuple[float, float, float] = (1, 1, 1)) -> np.ndarray:
    grey = render_distractor("no_skull", (216, 320), 4).astype(float)
    return np.clip(grey[..., None] * tint_rgb, 0, 255).astype(np.uint8)


def test_grey_image_has_no_coloured_pixel():
    assert coloured_share(tissue()) == 0.0


@pytest.mark.parametrize("tint_rgb", [(1.0, 0.85, 0.6), (0.7, 0.85, 1.0)])
def test_tinted_grey_scale_is_no_photograph(tint_rgb: tuple[float, float, float]):
    image = tissue(tint_rgb)
    assert np.abs(image[..., 0].astype(int) - image[..., 2]).max() > 40
    assert coloured_share(image) < 0.01


def test_colour_doppler_box_is_no_photograph():
    image = tissue()
    image[60:130, 100:200, 0] = 220
    image[60:130, 100:200, 1:] = 30
    assert coloured_share(image) == pytest.approx(70 * 100 / (216 * 320), rel=0.1)
    assert rejection_reason(image) == ""


def test_photograph_is_refused_with_its_share():
    rows, columns = np.mgrid[:216, :320]
    image = np.stack([rows % 256, columns % 256, (rows * columns // 64) % 256], axis=-1).astype(np.uint8)
    share = coloured_share(image)
    assert share > 0.6
    assert rejection_reason(image).startswith(f"{share:.0%} of the pixels are coloured")


def judge(
    plane_log_odds: float, *, away_log_odds: float = -3.0, midline: float = 1.0, flags: tuple[Flag, ...] = ()
) -> HeadOutline:
    """The outline of a head with these scores after the checks."""
    outline = HeadOutline(ELLIPSE, None, "", 0.9, Quality(1.0, 0.1, 0.05), flags, 0)
    return CHECKS.judge(outline, {"skull": plane_log_odds, "text": away_log_odds, "midline": midline})


def test_head_in_the_right_plane_keeps_its_flags_and_gains_scores():
    found = judge(2.0, flags=(Flag.TOUCHES_BORDER,))
    assert (found.ellipse_px, found.flags) == (ELLIPSE, (Flag.TOUCHES_BORDER,))
    assert found.quality.plane_score == pytest.approx(1.0 / (1.0 + np.exp(-2.0)))
    assert found.quality.unfamiliarity == pytest.approx(1.0 / (1.0 + np.exp(3.0)))
    assert found.quality.residual_percent == 1.0


def test_doubtful_plane_is_flagged_and_the_missing_midline_named():
    assert judge(-0.5).flags == (Flag.NOT_HEAD_PLANE,)
    assert judge(-0.5, midline=0.1).flags == (Flag.NOT_HEAD_PLANE, Flag.NO_MIDLINE)
    assert judge(2.0, midline=0.1).flags == ()


def test_other_plane_is_refused_with_its_score():
    found = judge(-4.0)
    assert (found.ellipse_px, found.failure, found.detection_index) == (None, Status.NO_HEAD, None)
    assert found.reason == "not a transverse plane of the head: plane score 0.018, at least 0.1"
    assert found.quality.plane_score == pytest.approx(0.018, abs=1e-3)


def test_image_from_elsewhere_is_flagged_as_unfamiliar():
    assert judge(2.0, away_log_odds=1.0).flags == (Flag.UNFAMILIAR_IMAGE,)


def test_outline_without_an_ellipse_stays_as_it_is():
    outline = HeadOutline(failure=Status.NO_HEAD, reason="nothing detected")
    assert CHECKS.apply(outline, np.zeros((100, 100), np.uint8)) is outline


def test_section_gives_the_same_checks_back():
    assert ImageChecks.from_section(CHECKS.to_section(), "m.zip") == CHECKS


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"flag_below": None}, r"image_checks\.flag_below is missing"),
        ({"colour": 1}, r"image_checks\.colour is unknown"),
        ({"plane": {"intercept": 0.0, "weights": {"horoscope": 1.0}}}, "unknown evidence .'horoscope'."),
        ({"plane": {"weights": {}}}, "intercept"),
        ({"refuse_below": "low"}, "could not convert"),
        ({"unfamiliar_above": float("nan")}, "not finite"),
    ],
)
def test_section_that_does_not_fit_names_file_and_field(changes: dict[str, object], message: str):
    section = {name: value for name, value in {**CHECKS.to_section(), **changes}.items() if value is not None}
    with pytest.raises(ModelError, match=rf"m\.zip: model\.json.*(\n.*)?{message}"):
        ImageChecks.from_section(section, "m.zip")
