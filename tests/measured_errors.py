"""Measurements whose errors have a known spread."""

import csv
from pathlib import Path

import numpy as np

from fetal_hc.io.coco import write_coco
from fetal_hc.io.records import CocoCategory, CocoDataset, CocoImage
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.interval_model import FEATURES, find_features
from hc18.measurement.outline import Quality
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus
from hc18.uncertainty.calibration import LabelledMeasurement

ELLIPSE = Ellipse(400.0, 270.5, 160.0, 120.25, 0.5)
N_IMAGES = 200  # of `write_fold`


def features_of(
    hc_mm: float,
    residual_percent: float = 1.2,
    disagreement_percent: float = 0.2,
    mask_entropy: float = 0.05,
    unfamiliarity: float = 0.0,
) -> dict[str, float]:
    """Features of a measurement whose figures are all known."""
    quality = Quality(residual_percent, disagreement_percent, mask_entropy, unfamiliarity=unfamiliarity)
    features = find_features(hc_mm, quality, FEATURES)
    assert features is not None
    return features


def errors_of_known_spread(count: int, seed: int = 0) -> list[LabelledMeasurement]:
    """Heads whose error is normal with a standard deviation of 1 % of HC times the entropy over 0.05."""
    rng = np.random.default_rng(seed)
    measured = []
    for index in range(count):
        hc_mm, entropy = rng.uniform(60, 340), 0.05 * np.exp(rng.normal(0, 0.5))
        features = features_of(hc_mm, rng.uniform(0.5, 2), rng.uniform(0, 0.4), entropy)
        reference = hc_mm + rng.normal(0, 0.01 * hc_mm * entropy / 0.05)
        measured.append(LabelledMeasurement(f"{index:03d}_HC.png", f"{index // 2:03d}", hc_mm, features, reference))
    return measured


def write_fold(folder: Path, *, with_quality: bool = True) -> tuple[Path, Path]:
    """Writes details and labels of heads whose error has a standard deviation of 1 % of the circumference."""
    rng = np.random.default_rng(0)
    rows, images = [], []
    for index in range(N_IMAGES):
        name, hc_mm = f"{index:03d}_HC.png", rng.uniform(60, 340)
        shown = Quality(1.0, 0.1, rng.uniform(0.04, 0.06))
        quality = shown if with_quality else Quality()
        rows.append(MeasurementRow(name, RowStatus.OK, "", hc_mm, 880.0, ELLIPSE, ELLIPSE, 0.99, quality=quality))
        reference = {"hc_mm": hc_mm + rng.normal(0, 0.01 * hc_mm), "examination": name[:3]}
        images.append(CocoImage(index + 1, name, 540, 800, reference))
    details, labelled = folder / "details.csv", folder / "val.json"
    with details.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream)
        writer.writerows([MEASUREMENT_TABLE.names, *(MEASUREMENT_TABLE.to_texts(row) for row in rows)])
    write_coco(labelled, CocoDataset(tuple(images), (), (CocoCategory(1, "head"),), {}))
    return details, labelled
