"""A dataset of bright ellipses in HC18's COCO form, and a Mask R-CNN small enough to train on it in a test."""

import json
from pathlib import Path

import numpy as np
import yaml
from PIL import Image

from hc18.geometry.ellipse import Ellipse

IMAGE_HW = (64, 96)
PIXEL_SIZE_MM = 0.5
ELLIPSES = tuple(Ellipse.from_axes(40.0 + 3 * k, 30.0 + k, 26.0 - k, 20.0 - k, 0.4 * k) for k in range(6))

TINY = {
    "MODEL": {
        "DEVICE": "cpu",
        "BACKBONE": {"FREEZE_AT": 0},
        "RESNETS": {
            "DEPTH": 50,
            "STEM_OUT_CHANNELS": 8,
            "WIDTH_PER_GROUP": 4,
            "RES2_OUT_CHANNELS": 16,
            "NORM": "BN",
            "OUT_FEATURES": ["res3", "res4", "res5"],
        },
        "FPN": {"IN_FEATURES": ["res3", "res4", "res5"], "OUT_CHANNELS": 8},
        "ANCHOR_GENERATOR": {"SIZES": [[24], [48], [64], [96]], "ASPECT_RATIOS": [[1.0]]},
        "RPN": {"IN_FEATURES": ["p3", "p4", "p5", "p6"], "POST_NMS_TOPK_TRAIN": 20, "POST_NMS_TOPK_TEST": 5},
        "ROI_HEADS": {"IN_FEATURES": ["p3", "p4", "p5"], "BATCH_SIZE_PER_IMAGE": 8},
        "ROI_BOX_HEAD": {"FC_DIM": 16, "NUM_FC": 1, "POOLER_RESOLUTION": 3},
        "ROI_MASK_HEAD": {"NUM_CONV": 1, "CONV_DIM": 8, "POOLER_RESOLUTION": 7},
    },
    "INPUT": {"MIN_SIZE_TRAIN": [64], "MAX_SIZE_TRAIN": 96, "MIN_SIZE_TEST": 64, "MAX_SIZE_TEST": 96},
    "DATASETS": {"TRAIN": ["heads"], "TEST": ["heads"]},
    "DATALOADER": {"NUM_WORKERS": 0, "ASPECT_RATIO_GROUPING": False},
    "SOLVER": {"MAX_ITER": 3, "STEPS": [], "IMS_PER_BATCH": 2, "WARMUP_ITERS": 0, "BASE_LR": 0.001},
    "TEST": {"EVALUATORS": ["coco", "hc"], "DETECTIONS_PER_IMAGE": 5},
    "SEED": 3,
}


def write_heads(folder: Path) -> Path:
    """Writes the images and heads.json into `folder`; returns the JSON."""
    folder.mkdir(parents=True, exist_ok=True)
    images, annotations = [], []
    for number, ellipse in enumerate(ELLIPSES, start=1):
        name = f"{number:03d}_HC.png"
        Image.fromarray(np.where(ellipse.mask(IMAGE_HW), 200, 20).astype(np.uint8)).save(folder / name)
        hc_mm = ellipse.circumference() * PIXEL_SIZE_MM
        image = {"id": number, "file_name": name, "height": IMAGE_HW[0], "width": IMAGE_HW[1]}
        images.append({**image, "pixel_size_mm": PIXEL_SIZE_MM, "hc_mm": hc_mm})
        annotations.append(head_annotation(number, ellipse))
    content = {"info": {}, "images": images, "annotations": annotations, "categories": [{"id": 1, "name": "head"}]}
    path = folder / "heads.json"
    path.write_text(json.dumps(content))
    return path


def write_config(folder: Path, output_dir: Path) -> Path:
    """Writes the dataset and the tiny configuration into `folder`; returns the YAML file."""
    write_heads(folder)
    base = Path(__file__).resolve().parents[3] / "configs" / "Base-MaskRCNN.yaml"
    tree = {**TINY, "_BASE_": str(base), "OUTPUT_DIR": str(output_dir)}
    tree["DATASETS"] = {**TINY["DATASETS"], "ROOT": str(folder)}
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def head_annotation(number: int, ellipse: Ellipse) -> dict[str, object]:
    """COCO annotation of the only head in image `number`."""
    outline = ellipse.outline(180) + 0.5
    low, size = outline.min(axis=0), np.ptp(outline, axis=0)
    return {
        "id": number,
        "image_id": number,
        "category_id": 1,
        "bbox": [*low.tolist(), *size.tolist()],
        "area": ellipse.area(),
        "segmentation": [outline.ravel().tolist()],
        "iscrowd": 0,
        "ellipse_px": {
            "center_x": ellipse.center_x,
            "center_y": ellipse.center_y,
            "semi_axis_a": ellipse.semi_axis_a,
            "semi_axis_b": ellipse.semi_axis_b,
            "angle_rad": ellipse.angle_rad,
        },
    }
