"""Crowds put together from photos of single faces: many small faces per picture, with their mask pixels.

Photos of one large face teach a detector nothing about small ones. A mosaic shows such photos as tiles, shrunk.
"""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from fetal_hc.errors import ConfigError, DatasetError, FetalHCError
from fetal_hc.io.coco import IMAGE_ROOT_KEY, read_coco, resolve_image_path, write_coco
from fetal_hc.io.images import read_image
from fetal_hc.io.masks import mask_to_rle, rle_to_mask
from fetal_hc.io.records import CocoAnnotation, CocoDataset, CocoImage

# Rows and columns of tiles; a mosaic has one of these grids.
GRIDS = ((2, 2), (2, 3), (3, 4), (4, 5))
MOSAIC_WH = (480, 360)

_JPEG_QUALITY = 92


class _Face(NamedTuple):
    """One photo with its only face."""

    path: Path
    category_id: int
    bbox_xywh: tuple[float, float, float, float]
    mask_rle: Mapping[str, Any] | None


def write_mosaics(
    source: str | os.PathLike[str],
    output: str | os.PathLike[str],
    n_mosaics: int,
    seed: int = 0,
    *,
    class_of_folder: bool = False,
) -> Path:
    """Writes `OUTPUT.json` and the folder `OUTPUT` of mosaics of the photos that show exactly one annotated face.

    The classes are those of the source. Equal sources and seeds give equal pictures.

    Args:
        source: a COCO file, such as the training part of the colour-mask photos, or `faces.json` of a prediction.
        output: path of the new dataset without suffix.
        n_mosaics: pictures to write.
        seed: of photos, grids and mirroring.
        class_of_folder: take the class of a face from the folder of its photo, and its box alone from the source. For
            photos sorted by class, whose boxes a model has found.

    Raises:
        ConfigError: if `n_mosaics` is below 1.
        DatasetError: if the source is no COCO file, or has fewer photos of one face than the largest mosaic has tiles.
        FetalHCError: if a picture cannot be written.
    """
    if n_mosaics < 1:
        raise ConfigError(f"mosaics: {n_mosaics} asked for; expected 1 or more")
    dataset = read_coco(source)
    faces = _single_faces(source, dataset, class_of_folder=class_of_folder)
    largest = max(rows * columns for rows, columns in GRIDS)
    if len(faces) < largest:
        raise DatasetError(
            f"{source}: {len(faces)} photos show exactly one face; expected {largest} or more for mosaics; "
            "give a dataset of single faces"
        )
    folder = Path(output)
    rng = np.random.default_rng(seed)
    images: list[CocoImage] = []
    annotations: list[CocoAnnotation] = []
    for number in range(1, n_mosaics + 1):
        rows, columns = GRIDS[int(rng.integers(len(GRIDS)))]
        chosen = [faces[int(index)] for index in rng.permutation(len(faces))[: rows * columns]]
        pixels, found = _draw_mosaic(chosen, (rows, columns), rng)
        images.append(CocoImage(number, f"{number:04d}.jpg", pixels.shape[0], pixels.shape[1]))
        _save(folder / images[-1].file_name, pixels)
        annotations += [
            CocoAnnotation(len(annotations) + place, number, category, box, area, rle)
            for place, (category, box, area, rle) in enumerate(found, start=1)
        ]
    info = {IMAGE_ROOT_KEY: folder.name, "description": f"mosaics of single faces of {Path(source).name}", "seed": seed}
    path = folder.with_name(f"{folder.name}.json")
    write_coco(path, CocoDataset(tuple(images), tuple(annotations), dataset.categories, info))
    return path


def _single_faces(source: str | os.PathLike[str], dataset: CocoDataset, *, class_of_folder: bool) -> list[_Face]:
    """Photos with exactly one annotation, by image id.

    Raises:
        DatasetError: if a photo lies in a folder that is no class.
    """
    category_ids = {category.name: category.id for category in dataset.categories}
    of_image: Mapping[int, list[CocoAnnotation]] = defaultdict(list)
    for annotation in dataset.annotations:
        of_image[annotation.image_id].append(annotation)
    faces = []
    for image in sorted(dataset.images, key=lambda image: image.id):
        if len(of_image[image.id]) != 1:
            continue
        path, annotation = resolve_image_path(source, dataset, image), of_image[image.id][0]
        mask = annotation.segmentation if isinstance(annotation.segmentation, dict) else None
        if not class_of_folder:
            faces.append(_Face(path, annotation.category_id, annotation.bbox_xywh, mask))
            continue
        if path.parent.name not in category_ids:
            known = ", ".join(category_ids)
            raise DatasetError(
                f"{path}: lies in the folder '{path.parent.name}'; expected one of {known}; give photos sorted by class"
            )
        faces.append(_Face(path, category_ids[path.parent.name], annotation.bbox_xywh, None))
    return faces


_Found = tuple[int, tuple[float, float, float, float], float, dict[str, object] | None]


def _draw_mosaic(
    faces: Sequence[_Face], grid: tuple[int, int], rng: np.random.Generator
) -> tuple[NDArray[np.uint8], list[_Found]]:
    """One mosaic (H, W, 3): category, box xywh, area in px and run lengths of each face."""
    (rows, columns), (width, height) = grid, MOSAIC_WH
    canvas = np.zeros((height, width, 3), dtype=np.uint8)
    found: list[_Found] = []
    for place, face in enumerate(faces):
        row, column = divmod(place, columns)
        left, top = width * column // columns, height * row // rows
        tile_wh = (width * (column + 1) // columns - left, height * (row + 1) // rows - top)
        image = read_image(face.path)
        scale = max(tile_wh[0] / image.shape[1], tile_wh[1] / image.shape[0])
        x, y, box_width, box_height = (scale * value for value in face.bbox_xywh)
        size_wh = (max(round(scale * image.shape[1]), tile_wh[0]), max(round(scale * image.shape[0]), tile_wh[1]))
        # The tile shows the part of the photo that the face's centre is nearest to.
        shift_x = round(min(max(x + box_width / 2 - tile_wh[0] / 2, 0), size_wh[0] - tile_wh[0]))
        shift_y = round(min(max(y + box_height / 2 - tile_wh[1] / 2, 0), size_wh[1] - tile_wh[1]))
        window = (slice(shift_y, shift_y + tile_wh[1]), slice(shift_x, shift_x + tile_wh[0]))
        tile = cv2.resize(image, size_wh, interpolation=cv2.INTER_AREA)[window]
        mask = _resized_mask(face.mask_rle, size_wh)
        x0, x1 = (min(max(value - shift_x, 0.0), tile_wh[0]) for value in (x, x + box_width))
        y0, y1 = (min(max(value - shift_y, 0.0), tile_wh[1]) for value in (y, y + box_height))
        mask = None if mask is None else mask[window]
        if rng.random() < 0.5:
            tile, x0, x1 = tile[:, ::-1], tile_wh[0] - x1, tile_wh[0] - x0
            mask = None if mask is None else mask[:, ::-1]
        canvas[top : top + tile_wh[1], left : left + tile_wh[0]] = tile
        rle, area = None, (x1 - x0) * (y1 - y0)
        if mask is not None:
            whole = np.zeros((height, width), dtype=bool)
            whole[top : top + tile_wh[1], left : left + tile_wh[0]] = mask
            rle, area = mask_to_rle(whole), float(whole.sum())
        found.append((face.category_id, (left + x0, top + y0, x1 - x0, y1 - y0), area, rle))
    return canvas, found


def _resized_mask(mask_rle: Mapping[str, Any] | None, size_wh: tuple[int, int]) -> NDArray[np.bool_] | None:
    """The mask of a face in the size of its shrunk photo; None where there is none."""
    if mask_rle is None:
        return None
    mask = rle_to_mask(mask_rle).astype(np.float32)
    return np.asarray(cv2.resize(mask, size_wh, interpolation=cv2.INTER_AREA) >= 0.5)


def _save(path: Path, pixels: NDArray[np.uint8]) -> None:
    """Writes one picture.

    Raises:
        FetalHCError: if it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(pixels).save(path, quality=_JPEG_QUALITY)
    except OSError as error:
        raise FetalHCError(f"{path}: cannot be written ({error}); choose a writable folder with free space") from error
