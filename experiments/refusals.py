"""Count how often a model takes an image without a head for one, and how often it misses a real head.

    python -m experiments.refusals [--model FILE.onnx] [--count 40] [--photographs DIR ...] [--dicom DIR] \
        [--heads datasets/hc18_val.json]

Always: synthetic images without a head. On request: photographs, each also in grey, first frames of DICOM ultrasound
files of other organs (the folder is searched for them; DICOM files of other modalities are refused when read), and
labelled images, of which none should be missed. Exit code 1 if a blank, plain or noise image is measured, more than a
tenth of the other images, or if more than one real head in 200 is missed; 2 for bad input.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import get_args

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from fetal_hc.errors import DatasetError
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.images import read_image
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.dicom import read_dicom
from hc18.geometry.pixel_size import from_table
from hc18.measurement.head_model import HeadModel, bundled_model_path, load_model
from hc18.measurement.measurement import Measurement
from hc18.measurement.pipeline import measure_frame
from hc18.phantoms.phantom import DistractorKind, render_distractor

IMAGE_HW = (540, 800)
MAX_STRUCTURED_SHARE = 0.1
MAX_MISSED_SHARE = 1 / 200
PLAIN: tuple[DistractorKind, ...] = ("blank", "grey", "noise")
# Any will do: the count is of heads found, not of their size.
PIXEL_SIZE = from_table(0.1)
NamedImage = tuple[str, NDArray[np.uint8]]


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--model", type=Path, metavar="FILE.onnx", help="default: the shipped model")
    parser.add_argument("--count", type=int, default=40, metavar="N", help="images of each kind (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=77, help="of the first image (default: %(default)s)")
    parser.add_argument("--photographs", type=Path, nargs="+", default=[], metavar="DIR", help="folders of photographs")
    parser.add_argument("--dicom", type=Path, metavar="DIR", help="folder of DICOM files that show other organs")
    parser.add_argument("--heads", type=Path, metavar="FILE.json", help="labelled images of fetal-hc convert")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    predictor = load_model(options.model or bundled_model_path(), num_threads=2)
    passed = True
    for group in _groups(options):
        passed &= _count(predictor, *group)
    if options.heads is not None:
        passed &= _count_missed(predictor, options.heads)
    return 0 if passed else 1


def _groups(options: argparse.Namespace) -> Iterator[tuple[str, Iterable[NamedImage], float]]:
    """Name, images, and the share of them that may be measured."""
    for kind in get_args(DistractorKind):
        images = _distractors(kind, range(options.seed, options.seed + options.count))
        yield kind, images, 0.0 if kind in PLAIN else MAX_STRUCTURED_SHARE
    for folder in options.photographs:
        files = _evenly(sorted(file for file in folder.iterdir() if file.is_file()), options.count)
        photographs = [(file.name, read_image(file)) for file in files]
        yield f"photographs {folder.name}", photographs, MAX_STRUCTURED_SHARE
        yield f"the same in grey {folder.name}", [(name, _grey(rgb)) for name, rgb in photographs], MAX_STRUCTURED_SHARE
    if options.dicom is not None:
        yield "DICOM, other organs", list(_dicom_images(options.dicom)), MAX_STRUCTURED_SHARE


def _distractors(kind: DistractorKind, seeds: Iterable[int]) -> Iterator[NamedImage]:
    for seed in seeds:
        grey = render_distractor(kind, IMAGE_HW, seed)
        yield f"{kind} {seed}", np.repeat(grey[..., None], 3, axis=2)


def _dicom_images(folder: Path) -> Iterator[NamedImage]:
    for file in sorted(folder.rglob("*.dcm")):
        try:
            yield file.name, read_dicom(file).frame_rgb(0)
        except DatasetError:
            continue  # other modality, no pixels: never reaches the network


def _grey(image_rgb: NDArray[np.uint8]) -> NDArray[np.uint8]:
    luma = np.rint(image_rgb @ np.array([0.299, 0.587, 0.114])).astype(np.uint8)
    return np.repeat(luma[..., None], 3, axis=2)


def _evenly(files: list[Path], count: int) -> list[Path]:
    indices = np.linspace(0, len(files) - 1, min(count, len(files))).round().astype(int)
    return [files[index] for index in indices]


def _count(predictor: HeadModel, group: str, images: Iterable[NamedImage], max_share: float) -> bool:
    """Prints how many images are measured and which; whether they are few enough."""
    n_images, measured = 0, []
    for name, image in tqdm(images, group, disable=None, leave=False):
        n_images += 1
        found = _measure(predictor, image)
        if found.hc_mm is not None:
            measured.append(f"{name} ({'flagged' if found.flags else 'NOT flagged'})")
    print(f"{group}: {len(measured)} of {n_images} measured as a head{': ' if measured else ''}{', '.join(measured)}")
    return len(measured) <= max_share * n_images


def _measure(predictor: HeadModel, image_rgb: NDArray[np.uint8]) -> Measurement:
    return measure_frame(predictor, image_rgb, [PIXEL_SIZE]).measurement


def _count_missed(predictor: HeadModel, path: Path) -> bool:
    dataset = read_coco(path)
    missed = [
        image.file_name
        for image in tqdm(dataset.images, "heads", disable=None, leave=False)
        if _measure(predictor, read_image(resolve_image_path(path, dataset, image))).hc_mm is None
    ]
    print(f"real heads: {len(missed)} of {len(dataset.images)} refused{': ' if missed else ''}{', '.join(missed)}")
    return len(missed) <= MAX_MISSED_SHARE * len(dataset.images)


if __name__ == "__main__":
    sys.exit(main())
