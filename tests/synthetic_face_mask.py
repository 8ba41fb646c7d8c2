"""Face-mask datasets of a few small photos of noise with known labels, for tests of readers and converter."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

PHOTO_HW = (60, 80)
FACE_RGB, MASK_RGB = (128, 0, 0), (0, 128, 0)
VOC_BOX = (11, 6, 40, 45)  # pixels 10..39 and 5..44 counted from 0
VOC_XML = """<annotation><filename>{file_name}</filename>
<size><width>{width}</width><height>{height}</height><depth>3</depth></size>{objects}</annotation>"""
VOC_OBJECT = """<object><name>{name}</name><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin><xmax>{box[2]}</xmax>
<ymax>{box[3]}</ymax></bndbox></object>"""


def write_photo(path: Path, seed: int, hw: tuple[int, int] = PHOTO_HW) -> None:
    """A photo of coarse noise: two seeds never look alike."""
    path.parent.mkdir(parents=True, exist_ok=True)
    blocks = np.random.default_rng(seed).integers(0, 256, (8, 9, 3), dtype=np.uint8)
    Image.fromarray(blocks).resize((hw[1], hw[0]), Image.Resampling.NEAREST).save(path)


def write_xml(
    path: Path,
    file_name: str,
    objects: list[tuple[str, tuple[float, ...]]],
    hw: tuple[int, int] = PHOTO_HW,
) -> None:
    """A VOC annotation."""
    path.parent.mkdir(parents=True, exist_ok=True)
    text = "".join(VOC_OBJECT.format(name=name, box=box) for name, box in objects)
    path.write_text(VOC_XML.format(file_name=file_name, width=hw[1], height=hw[0], objects=text), encoding="utf-8")


def write_voc(root: Path, count: int = 6) -> Path:
    """Photos with one face each, masks on every second."""
    for index in range(count):
        write_photo(root / "images" / f"p{index}.jpg", index)
        name = "with_mask" if index % 2 else "without_mask"
        write_xml(root / "annotations" / f"p{index}.xml", f"p{index}.jpg", [(name, VOC_BOX)])
    return root


def colour_mask(hw: tuple[int, int] = PHOTO_HW) -> NDArray[np.uint8]:
    """Face on rows 5..44 and columns 10..49, of which rows 25..44 are mask."""
    mask = np.zeros((*hw, 3), dtype=np.uint8)
    mask[5:25, 10:50] = FACE_RGB
    mask[25:45, 10:50] = MASK_RGB
    return mask


def write_colour_masks(root: Path, count: int = 4) -> Path:
    """`count` photos in each of CWM and IWM."""
    for offset, folder in enumerate(("CWM", "IWM")):
        (root / folder / "masks").mkdir(parents=True)
        for index in range(count):
            name = f"{offset}{index:04}"
            write_photo(root / folder / "images" / f"{name}.jpg", 100 * offset + index)
            Image.fromarray(colour_mask()).save(root / folder / "masks" / f"{name}_gt.png")
    return root


def binary_mask(hw: tuple[int, int] = PHOTO_HW) -> NDArray[np.uint8]:
    """White on rows 20..49 and columns 30..69."""
    mask = np.zeros(hw, dtype=np.uint8)
    mask[20:50, 30:70] = 255
    return mask


def write_mfsd(root: Path, photos: int = 4) -> Path:
    """Two crops of each photo: _1 wears a mask, _2 does not and has no mask file."""
    folder = root / "1"
    (folder / "face_crop_segmentation").mkdir(parents=True)
    rows = ["filename,with_mask"]
    for index in range(photos):
        for crop, wears in ((1, True), (2, False)):
            name = f"{index:06}_{crop}.jpg"
            write_photo(folder / "face_crop" / name, 10 * index + crop)
            rows.append(f"{name},{wears}")
            if wears:
                Image.fromarray(binary_mask()).save(folder / "face_crop_segmentation" / name)
    (folder / "dataset.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")
    return root


def write_isic(root: Path, count: int = 4) -> Path:
    """Pairs of a photo and its mask."""
    for index in range(count):
        write_photo(root / f"ISIC_{index:07}.jpg", index)
        Image.fromarray(binary_mask()).save(root / f"ISIC_{index:07}_Segmentation.png")
    return root


def write_class_folders(root: Path, count: int = 5) -> Path:
    """`count` photos in each of two folders."""
    for offset, folder in enumerate(("with_mask", "without_mask")):
        for index in range(count):
            write_photo(root / folder / f"{folder}_{index}.jpg", 100 * offset + index)
    return root
