"""Phantoms and real HC18 images: the figures a detector sees must agree."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hc18.dataset.folder import read_training_set
from hc18.dataset.pixel_size_table import read_pixel_sizes
from hc18.geometry.ellipse import Ellipse
from hc18.phantoms.phantom import render_phantom
from hc18.phantoms.spec import sample_spec

N_REAL, N_PHANTOMS = 40, 24
Sample = tuple[NDArray[np.uint8], NDArray[np.uint8]]  # image; its pixels inside the head


@pytest.fixture(scope="module")
def real(real_hc18_root: Path) -> list[Sample]:
    rows = read_pixel_sizes(real_hc18_root / "training_set_pixel_size_and_HC.csv")
    names = [row.filename for row in rows[:: len(rows) // N_REAL]]
    cases = read_training_set(real_hc18_root, names=names)
    return [_sample(np.asarray(Image.open(case.image_path).convert("L")), case.ellipse_px) for case in cases]


@pytest.fixture(scope="module")
def phantoms() -> list[Sample]:
    rng = np.random.default_rng(0)
    return [_sample(render_phantom(spec).image, spec.ellipse) for spec in (sample_spec(rng) for _ in range(N_PHANTOMS))]


def _sample(image: NDArray[np.uint8], ellipse: Ellipse) -> Sample:
    return image, image[ellipse.mask((image.shape[0], image.shape[1]))]


MEASURES: dict[str, tuple[Callable[[Sample], float], float]] = {
    "mean grey": (lambda sample: float(sample[0].mean()), 0.2),
    "grey at 75 %": (lambda sample: float(np.percentile(sample[0], 75)), 0.25),
    "grey at 99 %": (lambda sample: float(np.percentile(sample[0], 99)), 0.2),
    "mean grey of the head": (lambda sample: float(sample[1].mean()), 0.2),
    "grey of the head at 95 %": (lambda sample: float(np.percentile(sample[1], 95)), 0.25),
    "share of black": (lambda sample: float((sample[0] < 5).mean()), 0.4),
    "row-wise roughness": (lambda sample: float(np.abs(np.diff(sample[0].astype(float), axis=1)).mean()), 0.35),
    "column-wise roughness": (lambda sample: float(np.abs(np.diff(sample[0].astype(float), axis=0)).mean()), 0.35),
}


@pytest.mark.parametrize("name", MEASURES)
def test_median_over_images_agrees_with_hc18(name: str, real: list[Sample], phantoms: list[Sample]) -> None:
    measure, tolerance = MEASURES[name]
    expected = float(np.median([measure(sample) for sample in real]))
    assert np.median([measure(sample) for sample in phantoms]) == pytest.approx(expected, rel=tolerance)
