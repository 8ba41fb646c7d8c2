"""From a dataset record to a square image with a class, a box or a mask: the input of everything but Mask R-CNN."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data import augment, colour, geometry
from fetal_hc.engine.data.geometry import Float64Array
from fetal_hc.engine.data.mapper import CACHE_LIMIT_BYTES, ImageCache
from fetal_hc.errors import DatasetError
from fetal_hc.io.images import read_image
from fetal_hc.io.masks import polygon_to_coverage, rle_to_mask
from fetal_hc.model.preprocess import PAD, STRETCH, Fit, place_in_square, to_square

# A random motion that leaves less of a box in the image is not made.
MIN_VISIBLE_SHARE = 0.7


class SquareMapper:
    """Maps a record to {"image": uint8 (3, S, S) in INPUT.FORMAT order, "affine_to_input": (3, 3), ...}.

    `affine_to_input` goes from the original image to the network input (corner convention). Training samples also hold
    the class of the first object, "class_id"; subclasses add or replace what their models learn. Images and masks are
    decoded and resized once when DATALOADER.CACHE_IMAGES is on.

    Args:
        cfg: reads INPUT.* and DATALOADER.CACHE_IMAGES.
        is_train: augmentation and targets, or the resized image alone.
        cache_limit_bytes: memory for resized images.

    Raises:
        ConfigError: if values of INPUT.AUG are outside their ranges.
    """

    def __init__(self, cfg: CfgNode, is_train: bool, *, cache_limit_bytes: int = CACHE_LIMIT_BYTES) -> None:
        augment.check_augmentation(cfg.INPUT.AUG)
        colour.check_colour(cfg.INPUT.AUG)
        self.input = cfg.INPUT
        self.is_train = is_train
        self.size: int = cfg.INPUT.SQUARE.SIZE
        self.has_geometry = augment.has_geometry(cfg.INPUT.AUG)
        self.cache = ImageCache(cache_limit_bytes if cfg.DATALOADER.CACHE_IMAGES else 0)
        self._original_hw: dict[str, tuple[int, int]] = {}

    def __call__(self, record: Mapping[str, Any], seed: Sequence[int] = (0,)) -> dict[str, Any]:
        """Model input of one record; `seed` fixes every random choice.

        Raises:
            DatasetError: if the image cannot be read or its size differs from the record.
        """
        rng = np.random.default_rng(seed)
        image: augment.Uint8Image = self.cache.get(str(record["file_name"]), lambda: self._read_square(record))
        resize = self._resize_matrix(self._hw_of(record))
        sample = {key: value for key, value in record.items() if key != "annotations"}
        sample["affine_to_input"] = resize
        if self.is_train:
            motion = self._draw_motion(record, resize, rng)
            sample["affine_to_input"] = motion @ resize
            sample.update(self._targets(record, motion, resize))
            image = self._move(image, motion)
            image = colour.change_colours(image, self.input.AUG, rng)
            image = augment.change_grey_values(image, self.input.AUG, rng)
        planes = np.repeat(image[..., None], 3, axis=2) if image.ndim == 2 else image
        planes = planes if self.input.FORMAT == "RGB" else planes[..., ::-1]
        sample["image"] = torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))
        return sample

    def _hw_of(self, record: Mapping[str, Any]) -> tuple[int, int]:
        """Size of the original image: the record's, or the file's where a manifest does not say."""
        if "height" in record:
            return int(record["height"]), int(record["width"])
        path = str(record["file_name"])
        if path not in self._original_hw:
            self._read_square(record)
        return self._original_hw[path]

    def _read_square(self, record: Mapping[str, Any]) -> NDArray[np.uint8]:
        """The image resized into the square, RGB (S, S, 3)."""
        image = read_image(record["file_name"])
        image_hw = (image.shape[0], image.shape[1])
        expected_hw = (record.get("height", image_hw[0]), record.get("width", image_hw[1]))
        if image_hw != expected_hw:
            raise DatasetError(
                f"{record['file_name']}: image is {image_hw[0]} x {image_hw[1]} px (height x width), but its record "
                f"says {expected_hw[0]} x {expected_hw[1]}; convert the dataset again or restore the original image"
            )
        self._original_hw[str(record["file_name"])] = image_hw
        return to_square(image, self.size, square_fit(self.input))

    def _resize_matrix(self, image_hw: tuple[int, int]) -> Float64Array:
        """Affine (3, 3) from the original image into the square."""
        return place_in_square(image_hw, self.size, square_fit(self.input)).affine(image_hw)

    def _draw_motion(self, record: Mapping[str, Any], resize: Float64Array, rng: np.random.Generator) -> Float64Array:
        """Random flip and affine within the square; the flip alone where `_may_move` forbids the affine."""
        square_hw = (self.size, self.size)
        flip = augment.flip_matrix(augment.draw_flips(self.input, rng), square_hw)
        if not self.has_geometry:
            return flip
        motion = augment.draw_affine(self.input.AUG, square_hw, rng) @ flip
        return motion if self._may_move(record, motion @ resize) else flip

    def _may_move(self, record: Mapping[str, Any], matrix: Float64Array) -> bool:
        """Whether the image still shows what the model learns after `matrix`, from the original to the input."""
        return True

    def _move(self, image: augment.Uint8Image, motion: Float64Array) -> augment.Uint8Image:
        """The square image after a motion within the square."""
        if self.has_geometry:
            return augment.warp_image(image, motion)
        return np.ascontiguousarray(image[:: int(motion[1, 1]), :: int(motion[0, 0])])

    def _targets(self, record: Mapping[str, Any], motion: Float64Array, resize: Float64Array) -> dict[str, Any]:
        """What the model learns from this sample; `motion` is within the square, `resize` into it."""
        return {"class_id": int(record["annotations"][0]["category_id"])}


class BoxMapper(SquareMapper):
    """`SquareMapper` whose training samples also hold "box_xyxy", float32 (4,) in px of the input."""

    def _may_move(self, record: Mapping[str, Any], matrix: Float64Array) -> bool:
        moved = move_box(record["annotations"][0]["bbox"], matrix)
        visible = np.clip(moved, 0, self.size)
        share = np.prod(visible[2:] - visible[:2]) / np.prod(moved[2:] - moved[:2])
        return bool(share >= MIN_VISIBLE_SHARE)

    def _targets(self, record: Mapping[str, Any], motion: Float64Array, resize: Float64Array) -> dict[str, Any]:
        box_xyxy = np.clip(move_box(record["annotations"][0]["bbox"], motion @ resize), 0, self.size)
        box = torch.from_numpy(box_xyxy.astype(np.float32))
        return {**super()._targets(record, motion, resize), "box_xyxy": box}


class MaskMapper(SquareMapper):
    """`SquareMapper` whose training samples hold "mask", float32 (S, S) in [0, 1], instead of a class."""

    def _targets(self, record: Mapping[str, Any], motion: Float64Array, resize: Float64Array) -> dict[str, Any]:
        key = f"{record['file_name']}#mask"
        mask = self._move(self.cache.get(key, lambda: self._read_mask(record)), motion)
        return {"mask": torch.from_numpy(mask.astype(np.float32) / 255.0)}

    def _read_mask(self, record: Mapping[str, Any]) -> NDArray[np.uint8]:
        """Share of each cell of the square that the record's masks cover, 0..255."""
        image_hw = (int(record["height"]), int(record["width"]))
        place = place_in_square(image_hw, self.size, square_fit(self.input))
        square = np.zeros((self.size, self.size), dtype=np.uint8)
        mask = union_mask(record).astype(np.uint8) * 255
        square[place.top : place.top + place.height, place.left : place.left + place.width] = cv2.resize(
            mask, (place.width, place.height), interpolation=cv2.INTER_AREA
        )
        return square


def square_fit(settings: CfgNode) -> Fit:
    """How images fill the square input, as the node INPUT says."""
    return PAD if settings.SQUARE.KEEP_ASPECT else STRETCH


def union_mask(record: Mapping[str, Any]) -> NDArray[np.bool_]:
    """Pixels (H, W) of all masks of a record, original resolution; all False without masks."""
    image_hw = (int(record["height"]), int(record["width"]))
    union = np.zeros(image_hw, dtype=bool)
    for annotation in record["annotations"]:
        segmentation = annotation.get("segmentation") or []
        if isinstance(segmentation, Mapping):
            union |= rle_to_mask(segmentation)
        else:
            for flat in segmentation:
                polygon = np.asarray(flat, dtype=np.float64).reshape(-1, 2)
                union |= polygon_to_coverage(polygon, image_hw) >= 0.5
    return union


def move_box(bbox_xywh: Sequence[float], matrix: Float64Array) -> Float64Array:
    """Upright box (4,) xyxy around the moved ellipse inscribed in a box.

    For flips, shifts and scalings this is the moved box itself; after a rotation it hugs a round object, which the hull
    of the moved corners does not.
    """
    x0, y0, width, height = bbox_xywh
    center = geometry.transform_points(np.array([[x0 + width / 2, y0 + height / 2]]), matrix)[0]
    half = np.sqrt((matrix[:2, :2] ** 2) @ np.array([width / 2, height / 2]) ** 2)
    return np.concatenate([center - half, center + half])
