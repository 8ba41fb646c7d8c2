import numpy as np
import pytest

from hc18.measurement.image_checks import coloured_share, rejection_reason
from hc18.phantoms.phantom import render_distractor


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
