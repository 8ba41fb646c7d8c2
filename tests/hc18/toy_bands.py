"""Rendered heads in HC18's COCO form with rough outlines of a first network, and a refiner to train on them."""

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from hc18.geometry.ellipse import Ellipse
from hc18.measurement.rows import MEASUREMENT_TABLE, MeasurementRow, RowStatus
from hc18.phantoms.phantom import render_phantom
from hc18.phantoms.spec import sample_spec
from tests.fetal_hc.engine.toy_heads import head_annotation

N_HEADS = 6
IMAGE_HW = (270, 400)
# How far the rough outlines are too large.
START_FACTOR = 1.04

TINY = {
    "MODEL": {
        "META_ARCHITECTURE": "OutlineRefiner",
        "DEVICE": "cpu",
        "OUTLINE_REFINER": {"CHANNELS": 4, "DROPOUT": 0.0},
    },
    "INPUT": {"RANDOM_FLIP": "horizontal", "AUG": {"SPECKLE_SD": 0.1, "BLUR_SIGMA_MAX": 0.5, "OCCLUSION_PROB": 0.2}},
    "DATASETS": {"TRAIN": ["heads"], "TEST": ["heads"]},
    "DATALOADER": {"NUM_WORKERS": 0, "ASPECT_RATIO_GROUPING": False, "CACHE_IMAGES": True},
    "SOLVER": {
        "OPTIMIZER": "AdamW",
        "MAX_ITER": 3,
        "STEPS": [],
        "IMS_PER_BATCH": 4,
        "WARMUP_ITERS": 0,
        "BASE_LR": 0.01,
    },
    "TEST": {"EVALUATORS": ["hc"], "BEST_METRIC": "hc/ADF_all", "BEST_MODE": "min"},
    "SEED": 3,
}


def write_bands_config(folder: Path, output_dir: Path, *, missed: int = 0) -> Path:
    """Writes images, heads.json, details.csv and the configuration into `folder`; returns the YAML file.

    Args:
        folder: where to.
        output_dir: OUTPUT_DIR of the configuration.
        missed: so many heads have a row without an outline.
    """
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations, rows = [], [], []
    for number in range(1, N_HEADS + 1):
        phantom = render_phantom(sample_spec(np.random.default_rng(number), image_hw=IMAGE_HW))
        name, ellipse = f"{number:03d}_HC.png", phantom.ellipse
        Image.fromarray(phantom.image).save(folder / name)
        image = {"id": number, "file_name": name, "height": IMAGE_HW[0], "width": IMAGE_HW[1]}
        images.append({**image, "pixel_size_mm": phantom.pixel_size_mm, "hc_mm": phantom.hc_mm})
        annotations.append(head_annotation(number, ellipse))
        rows.append(_missed_row(name) if number <= missed else _row(name, ellipse))
    content = {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "head"}]}
    (folder / "heads.json").write_text(json.dumps(content))
    write_details(folder / "details.csv", rows)
    tree = {**TINY, "OUTPUT_DIR": str(output_dir)}
    tree["DATASETS"] = {
        **TINY["DATASETS"],
        "ROOT": str(folder),
        "START_OUTLINES": [str(folder / "details.csv")],
    }
    path = folder / "bands.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def write_details(path: Path, rows: list[MeasurementRow]) -> None:
    """Writes rows as fetal-hc score does."""
    lines = [",".join(MEASUREMENT_TABLE.names), *(",".join(MEASUREMENT_TABLE.to_texts(row)) for row in rows)]
    path.write_text("\n".join(lines) + "\n")


def _row(name: str, ellipse: Ellipse) -> MeasurementRow:
    start = Ellipse(
        ellipse.center_x,
        ellipse.center_y,
        START_FACTOR * ellipse.semi_axis_a,
        START_FACTOR * ellipse.semi_axis_b,
        ellipse.angle_rad,
    )
    return MeasurementRow(
        name, RowStatus.NO_PIXEL_SIZE, "", hc_px=start.circumference(), ellipse_px=start, image_hw=IMAGE_HW
    )


def _missed_row(name: str) -> MeasurementRow:
    return MeasurementRow(name, RowStatus.NO_HEAD, "nothing detected", image_hw=IMAGE_HW)
