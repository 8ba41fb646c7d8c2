"""Writes images without a head as a COCO dataset, so that a network learns to find nothing in them.

HC18 has a head in every image; a network trained on it alone takes noise and tissue for heads.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import trange

from fetal_hc.errors import DatasetError, raise_problems
from fetal_hc.io.atomic import atomic_path
from fetal_hc.io.coco import write_coco
from fetal_hc.io.images import find_images, read_image
from fetal_hc.io.records import CocoDataset, CocoImage
from hc18.dataset.convert import HEAD_CATEGORY
from hc18.phantoms.phantom import DistractorKind, render_distractor

NO_HEAD_NAME = "no_head"
# Half of the images show tissue, which is what a head is hardest to tell from.
KINDS: tuple[DistractorKind, ...] = (
    *("no_skull", "noise", "no_skull", "blobs", "no_skull"),
    *("grey", "no_skull", "noise", "no_skull", "blank"),
)


def write_no_head_folder(
    root: str | os.PathLike[str], count: int, seed: int, *, image_hw: tuple[int, int], progress: bool = False
) -> Path:
    """Path of ROOT/no_head.json, whose images lie in ROOT/no_head; files of the same names are replaced.

    Args:
        root: folder to write to, created if missing.
        count: number of images.
        seed: same seed, same images.
        image_hw: height and width in px.
        progress: whether to show a progress bar if the error output is a terminal.

    Raises:
        FetalHCError: if the folder cannot be written.
    """
    folder = Path(root) / NO_HEAD_NAME
    images = []
    for index in trange(count, desc="images without a head", disable=None if progress else True):
        name = f"{index:03d}_no_head.png"
        image_seed = int(np.random.SeedSequence([seed, index]).generate_state(1)[0])
        grey = render_distractor(KINDS[index % len(KINDS)], image_hw, image_seed)
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_path(folder / name) as temporary:
            Image.fromarray(grey).save(temporary, format="PNG")
        images.append(CocoImage(index + 1, name, *image_hw))
    path = Path(root) / f"{NO_HEAD_NAME}.json"
    _write_dataset(path, images, folder, "synthetic images without a head")
    return path


def write_no_head_json(
    folder: str | os.PathLike[str], path: Path, *, max_count: int | None = None, seed: int = 0
) -> int:
    """Writes a dataset of the images in a folder, none of which shows a head; returns their number.

    Args:
        folder: searched without its subfolders; the images stay where they are.
        path: COCO JSON to write.
        max_count: how many to draw at random; all if None.
        seed: of the draw.

    Raises:
        DatasetError: if the folder holds no image, or listing every image that cannot be read.
        FetalHCError: if the file cannot be written.
    """
    folder = Path(folder)
    files = find_images(folder)
    if not files:
        raise DatasetError(f"{folder}: holds no image; expected a folder of PNG, JPEG, TIFF or BMP files")
    if max_count is not None and max_count < len(files):
        chosen = np.random.default_rng(seed).permutation(len(files))[:max_count]
        files = [files[index] for index in sorted(chosen)]
    images, problems = [], []
    for index, file in enumerate(files):
        try:
            image = read_image(file)
        except DatasetError as error:
            problems.append(str(error))
            continue
        images.append(CocoImage(index + 1, file.name, image.shape[0], image.shape[1]))
    if problems:
        raise_problems(DatasetError, problems, f"{folder}: images that cannot be read")
    _write_dataset(path, images, folder, "images without a head")
    return len(images)


def _write_dataset(path: Path, images: list[CocoImage], folder: Path, description: str) -> None:
    """Writes images without annotations; the file names their folder relative to its own."""
    root = Path(os.path.relpath(folder, path.parent)).as_posix()
    write_coco(path, CocoDataset(tuple(images), (), (HEAD_CATEGORY,), {"description": description, "image_root": root}))
