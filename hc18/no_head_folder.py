"""Writes images without a head as a COCO dataset, so that a network learns to find nothing in them.

HC18 has a head in every image; a network trained on it alone takes noise and tissue for heads.
"""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import trange

from hc18.convert import HEAD_CATEGORY
from hc18.phantom import DistractorKind, render_distractor
from segdata.atomic import atomic_path
from segdata.coco import write_coco
from segdata.records import CocoDataset, CocoImage

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
        HeadSegError: if the folder cannot be written.
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
    info = {"description": "synthetic images without a head", "image_root": NO_HEAD_NAME}
    path = Path(root) / f"{NO_HEAD_NAME}.json"
    write_coco(path, CocoDataset(tuple(images), (), (HEAD_CATEGORY,), info))
    return path
