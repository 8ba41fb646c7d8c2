"""From a dataset record to one input of the model: reading, resizing, augmentation, targets."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data import augment, colour, geometry
from fetal_hc.engine.data.geometry import Float64Array
from fetal_hc.engine.data.jigsaw import draw_jigsaw
from fetal_hc.engine.data.targets import build_targets
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc.io.images import read_image
from fetal_hc.model.preprocess import resize_image, resized_hw

Uint8Image = NDArray[np.uint8]
# Upper bound of the image cache of one process with DATALOADER.CACHE_IMAGES; workers share it out evenly.
CACHE_LIMIT_BYTES = 2 * 1024**3


class ImageCache:
    """Images kept in memory until a limit in bytes is reached; later ones are made again each time."""

    def __init__(self, limit_bytes: int) -> None:
        self.free_bytes = limit_bytes
        self._images: dict[str, Uint8Image] = {}

    def get(self, key: str, make: Callable[[], Uint8Image]) -> Uint8Image:
        """The image kept under `key`, else the one `make` returns. Callers must not change it in place."""
        image = self._images.get(key)
        if image is None:
            image = make()
            if image.nbytes <= self.free_bytes:
                self._images[key] = image
                self.free_bytes -= image.nbytes
        return image


class DatasetMapper:
    """Maps a dataset record to a model input: the image in network size and, for training, its targets.

    Without geometric augmentation this is Detectron2's pipeline: Pillow's bilinear resize of uint8 pixels, then a flip.
    With it, the resized image is warped once by the composition of all random motions, and outlines move in float64.

    Args:
        cfg: reads INPUT.*, MODEL.MASK_ON and DATALOADER.CACHE_IMAGES.
        is_train: random sizes, augmentation and targets, or the fixed test size alone.
        cache_limit_bytes: memory for decoded images when DATALOADER.CACHE_IMAGES is on.

    Raises:
        ConfigError: if values of INPUT.AUG or INPUT.MIN_SIZE_TRAIN are outside their ranges.
    """

    def __init__(self, cfg: CfgNode, is_train: bool, *, cache_limit_bytes: int = CACHE_LIMIT_BYTES) -> None:
        augment.check_augmentation(cfg.INPUT.AUG)
        colour.check_colour(cfg.INPUT.AUG)
        _check_sizes(cfg.INPUT)
        self.input = cfg.INPUT
        self.is_train = is_train
        self.use_masks: bool = cfg.MODEL.MASK_ON
        self.has_geometry = is_train and augment.has_geometry(cfg.INPUT.AUG)
        self.has_one_size = not is_train or len(set(cfg.INPUT.MIN_SIZE_TRAIN)) == 1
        self.cache = ImageCache(cache_limit_bytes if is_train and cfg.DATALOADER.CACHE_IMAGES else 0)

    def __call__(self, record: Mapping[str, Any], seed: Sequence[int] = (0,)) -> dict[str, Any]:
        """Model input of one record.

        Args:
            record: see `fetal_hc.engine.data.datasets.load_dataset_dicts`; left unchanged.
            seed: numbers that fix every random choice for this sample.

        Returns:
            The record without `annotations`, with `image`, uint8 (3, H, W) in INPUT.FORMAT order, and for training
            `targets` and `affine_to_input`, the (3, 3) float64 affine from the original image (corner convention).

        Raises:
            DatasetError: if the image cannot be read or its size differs from the record.
        """
        rng = np.random.default_rng(seed)
        original_hw = (int(record["height"]), int(record["width"]))
        input_hw = self._draw_input_hw(original_hw, rng)
        image: augment.Uint8Image = self._read_resized(record, input_hw)
        sample = {key: value for key, value in record.items() if key != "annotations"}
        if self.is_train:
            annotations = record["annotations"]
            if self.input.AUG.JIGSAW_PROB > 0 and rng.random() < self.input.AUG.JIGSAW_PROB:
                image, annotations = draw_jigsaw(image, rng), []
            image, matrix = self._augment(image, original_hw, rng)
            sample["affine_to_input"] = matrix
            sample["targets"] = build_targets(
                annotations,
                matrix,
                input_hw,
                use_masks=self.use_masks,
                soft_masks=self.input.SOFT_MASKS,
                tight_boxes=self.has_geometry and self.input.TIGHT_BOXES,
            )
        sample["image"] = _to_tensor(image, self.input.FORMAT)
        return sample

    def _draw_input_hw(self, original_hw: tuple[int, int], rng: np.random.Generator) -> tuple[int, int]:
        """Network size of this sample by Detectron2's ResizeShortestEdge."""
        if not self.is_train:
            return resized_hw(original_hw, self.input.MIN_SIZE_TEST, self.input.MAX_SIZE_TEST)
        sizes = list(self.input.MIN_SIZE_TRAIN)
        if self.input.MIN_SIZE_TRAIN_SAMPLING == "range":
            min_size = int(rng.integers(sizes[0], sizes[1] + 1))
        else:
            min_size = sizes[int(rng.integers(len(sizes)))]
        return resized_hw(original_hw, min_size, self.input.MAX_SIZE_TRAIN)

    def _read_resized(self, record: Mapping[str, Any], input_hw: tuple[int, int]) -> Uint8Image:
        """Image in network size; kept resized when all samples have one size, else kept as decoded."""
        path = str(record["file_name"])
        if self.has_one_size:
            return self.cache.get(path, lambda: resize_image(read_record_image(record), input_hw))
        return resize_image(self.cache.get(path, lambda: read_record_image(record)), input_hw)

    def _augment(
        self, image: augment.Uint8Image, original_hw: tuple[int, int], rng: np.random.Generator
    ) -> tuple[augment.Uint8Image, Float64Array]:
        """Augmented image of the same size and the affine from the original image to it."""
        input_hw = (image.shape[0], image.shape[1])
        flips = augment.draw_flips(self.input, rng)
        motion = augment.flip_matrix(flips, original_hw)
        resize = geometry.scaling(input_hw[1] / original_hw[1], input_hw[0] / original_hw[0])
        if self.has_geometry:
            motion = augment.draw_affine(self.input.AUG, original_hw, rng) @ motion
            image = augment.warp_image(image, resize @ motion @ np.linalg.inv(resize))
        else:
            image = image[:: -1 if flips[1] else 1, :: -1 if flips[0] else 1]
        image = colour.change_colours(np.ascontiguousarray(image), self.input.AUG, rng)
        return augment.change_grey_values(image, self.input.AUG, rng), resize @ motion


def read_record_image(record: Mapping[str, Any]) -> Uint8Image:
    """Image of a record: (H, W) uint8 when its channels are equal, else (H, W, 3) RGB.

    Raises:
        DatasetError: if the file cannot be read or its size differs from the record.
    """
    image = read_image(record["file_name"])
    expected_hw = (int(record["height"]), int(record["width"]))
    if image.shape[:2] != expected_hw:
        raise DatasetError(
            f"{record['file_name']}: image is {image.shape[0]} x {image.shape[1]} px (height x width), but its record "
            f"says {expected_hw[0]} x {expected_hw[1]}; convert the dataset again or restore the original image"
        )
    is_grey = np.array_equal(image[..., 0], image[..., 1]) and np.array_equal(image[..., 0], image[..., 2])
    return np.ascontiguousarray(image[..., 0]) if is_grey else image


def _check_sizes(node: CfgNode) -> None:
    """Refuses training sizes that their sampling style cannot use.

    Raises:
        ConfigError: if there is none, or "range" has other than two in rising order.
    """
    sizes, style = node.MIN_SIZE_TRAIN, node.MIN_SIZE_TRAIN_SAMPLING
    if not sizes or (style == "range" and (len(sizes) != 2 or sizes[0] > sizes[1])):
        expected = "[low, high]" if style == "range" else "at least one size"
        raise ConfigError(f"INPUT.MIN_SIZE_TRAIN: {list(sizes)} with sampling {style!r}; expected {expected} in px")


def _to_tensor(image: augment.Uint8Image, channel_order: str) -> torch.Tensor:
    """Tensor uint8 (3, H, W) in the given channel order, from (H, W) or RGB (H, W, 3)."""
    if image.ndim == 2:
        return torch.from_numpy(np.repeat(image[None], 3, axis=0))
    planes = image if channel_order == "RGB" else image[..., ::-1]
    return torch.from_numpy(np.ascontiguousarray(planes.transpose(2, 0, 1)))
