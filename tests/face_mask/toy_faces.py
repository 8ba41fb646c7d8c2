"""Tiny face-mask datasets and configurations, so that every family of models trains in a test."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from PIL import Image

from face_mask.data.convert import ConversionOptions, convert_face_mask
from fetal_hc.io.masks import mask_to_rle
from tests.synthetic_face_mask import write_class_folders

CONFIGS = Path(__file__).resolve().parents[2] / "configs" / "face_mask"
IMAGE_HW = (60, 80)
CLASSES = ("with_mask", "without_mask", "mask_weared_incorrect")


def write_faces(
    folder: Path,
    name: str = "faces",
    *,
    count: int = 6,
    faces: int = 1,
    with_masks: bool = True,
    n_classes: int = len(CLASSES),
) -> Path:
    """COCO file NAME.json of photos with bright faces; faces of class 0 wear a blue mask with known pixels."""
    folder.mkdir(parents=True, exist_ok=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    rng = np.random.default_rng(3)
    for number in range(1, count + 1):
        pixels = rng.integers(0, 60, (*IMAGE_HW, 3)).astype(np.uint8)
        for place in range(faces):
            x0, y0 = 8 + 30 * place + number, 6 + number
            is_masked = (number + place) % 2 == 0
            pixels[y0 : y0 + 30, x0 : x0 + 24] = (220, 170, 140)
            mask = np.zeros(IMAGE_HW, dtype=bool)
            mask[y0 + 15 : y0 + 30, x0 : x0 + 24] = is_masked
            pixels[mask] = (90, 140, 230)
            annotation = {"id": len(annotations) + 1, "image_id": number, "category_id": 1 if is_masked else 2}
            shape = {"bbox": [x0, y0, 24, 30], "area": 720, "iscrowd": 0}
            has_pixels = with_masks and is_masked
            annotations.append({**annotation, **shape, "segmentation": mask_to_rle(mask) if has_pixels else None})
        Image.fromarray(pixels).save(folder / f"{name}_{number}.png")
        image = {"id": number, "file_name": f"{name}_{number}.png", "height": IMAGE_HW[0], "width": IMAGE_HW[1]}
        images.append({**image, "group": f"group{(number - 1) // 2}"})
    categories = [{"id": number, "name": label} for number, label in enumerate(CLASSES[:n_classes], start=1)]
    content = {"info": {}, "images": images, "annotations": annotations, "categories": categories}
    path = folder / f"{name}.json"
    path.write_text(json.dumps(content))
    return path


def write_manifest_dataset(root: Path) -> Path:
    """Class folders converted to ROOT/photos.csv; returns ROOT."""
    write_class_folders(root / "folders")
    convert_face_mask(
        "folders", root / "folders", root, ConversionOptions(name="photos", val_fraction=0.4, n_overlays=0)
    )
    return root


def write_config(folder: Path, base: str, changes: dict[str, Any]) -> Path:
    """A configuration on top of configs/face_mask/BASE with a few small iterations, its output in FOLDER/output."""
    small = {
        "DATASETS": {"ROOT": str(folder)},
        "SOLVER": {"MAX_ITER": 2, "STEPS": [], "IMS_PER_BATCH": 2, "WARMUP_ITERS": 0, "CHECKPOINT_PERIOD": 0},
        "TEST": {"EVAL_PERIOD": 1},
        "OUTPUT_DIR": str(folder / "output"),
        "_BASE_": str(CONFIGS / base),
    }
    path = folder / "tiny.yaml"
    path.write_text(yaml.safe_dump(_merge(small, changes)))
    return path


def _merge(tree: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    merged = dict(tree)
    for key, value in changes.items():
        merged[key] = _merge(merged.get(key, {}), value) if isinstance(value, dict) else value
    return merged
