"""Pictures of what a trained model finds on the first images of a dataset."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from face_mask.models.whole_image import ImagePrediction, MaskPrediction
from face_mask.training.square_mapper import union_mask
from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DetectionDataset, Record
from fetal_hc.engine.data.loader import build_test_loader
from fetal_hc.engine.structures import Detections
from fetal_hc.io.drawing import PREDICTION_RGB, TRUTH_RGB, draw_contact_sheet, draw_label, draw_mask, draw_outline
from fetal_hc.io.images import read_image
from fetal_hc.io.masks import paste_soft_mask

TILE_PX = 256
COLUMNS = 6
TEXT_PX = 9
MIN_SCORE = 0.5

Picture = NDArray[np.uint8]


@torch.no_grad()
def draw_predictions(
    cfg: CfgNode, architecture: Architecture, model: nn.Module, dataset: DetectionDataset, limit: int
) -> Picture:
    """A contact sheet uint8 (H, W, 3): truth in blue, prediction in orange, evenly spread over the dataset.

    Args:
        cfg: of the model.
        architecture: of the model.
        model: in eval mode.
        dataset: at least one image.
        limit: most images to show.
    """
    step = max(1, len(dataset.records) // limit)
    records = dataset.records[::step][:limit]
    tiles: list[Picture] = []
    for inputs in build_test_loader(cfg, architecture, dataset.name, records):
        outputs = model(inputs)
        for output in outputs:
            tiles.append(_tile(records[len(tiles)], output, dataset.class_names))
    return draw_contact_sheet(tiles, COLUMNS)


def _tile(record: Record, output: Any, names: Sequence[str]) -> Picture:
    """One image with truth and prediction, fitted into a square."""
    image = read_image(record["file_name"])
    found_boxes, text = _draw_masks_and_text(record, output, names, image)
    scale = TILE_PX / max(image.shape[:2])
    size_wh = (max(round(image.shape[1] * scale), 1), max(round(image.shape[0] * scale), 1))
    shown = np.asarray(cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA), dtype=np.uint8)
    true_boxes = [_corners(item["bbox"]) for item in record["annotations"] if "bbox" in item]
    drawn_boxes = [] if isinstance(output, MaskPrediction) else [(box, TRUTH_RGB) for box in true_boxes]
    for box, colour in [*drawn_boxes, *((box, PREDICTION_RGB) for box in found_boxes)]:
        x0, y0, x1, y1 = (value * scale - 0.5 for value in box)
        shown = draw_outline(shown, [(x0, y0), (x1, y0), (x1, y1), (x0, y1)], colour, thickness_px=1)
    tile = np.full((TILE_PX, TILE_PX, 3), 255, dtype=np.uint8)
    tile[: size_wh[1], : size_wh[0]] = shown
    label = text.encode("ascii", "replace").decode("ascii")
    return draw_label(tile, label, PREDICTION_RGB, position_xy=(2, TILE_PX - 2 * TEXT_PX - 6), height_px=TEXT_PX)


def _draw_masks_and_text(
    record: Record, output: Any, names: Sequence[str], image: Picture
) -> tuple[list[Sequence[float]], str]:
    """Draws masks into `image`; the boxes found and a line of text."""
    if isinstance(output, ImagePrediction):
        found, true = int(output.probabilities.argmax()), int(record["annotations"][0]["category_id"])
        text = f"{names[found]} {float(output.probabilities[found]):.2f}"
        text += "" if found == true else f" (is {names[true]})"
        return ([] if output.box_xyxy is None else [output.box_xyxy.tolist()]), text
    truth = union_mask(record)
    boxes: list[Sequence[float]] = []
    if isinstance(output, MaskPrediction):
        mask = output.probability >= MIN_SCORE
    else:
        mask, boxes = _detected(output, (image.shape[0], image.shape[1]))
    image[:] = draw_mask(draw_mask(image, truth, TRUTH_RGB), mask, PREDICTION_RGB)
    union = int((mask | truth).sum())
    overlap = f"mask IoU {(mask & truth).sum() / union:.2f}" if truth.any() and union else ""
    return boxes, f"{len(boxes)} found {overlap}" if isinstance(output, Detections) else overlap


def _detected(output: Detections, image_hw: tuple[int, int]) -> tuple[NDArray[np.bool_], list[Sequence[float]]]:
    """Union of the instance masks, and the boxes, from MIN_SCORE on."""
    mask = np.zeros(image_hw, dtype=bool)
    boxes: list[Sequence[float]] = []
    for prediction in output.to_predictions():
        if prediction.score >= MIN_SCORE:
            boxes.append(prediction.box_xyxy.tolist())
            if output.masks is not None:
                mask |= paste_soft_mask(prediction.soft_mask, prediction.box_xyxy, image_hw) >= MIN_SCORE
    return mask, boxes


def _corners(bbox_xywh: Sequence[float]) -> tuple[float, float, float, float]:
    x0, y0, width, height = bbox_xywh
    return x0, y0, x0 + width, y0 + height
