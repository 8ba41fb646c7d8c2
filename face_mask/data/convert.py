"""From a face-mask dataset to COCO JSON or a classification manifest, split into training, validation and test."""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path

from PIL import Image

from face_mask.data.classes import ClassMap, merge_classes
from face_mask.data.color_mask import read_color_mask
from face_mask.data.crop_files import CROP_FOLDER, faces_with_crops, write_single_face_crops
from face_mask.data.crops import MIN_AREA_PX
from face_mask.data.folders import read_class_folders
from face_mask.data.isic import read_isic
from face_mask.data.mfsd import read_mfsd
from face_mask.data.outputs import to_coco, write_manifest
from face_mask.data.records import LabelledPhoto, Reading
from face_mask.data.sheet import draw_sheet
from face_mask.data.splits import PARTS, check_fractions, split_photos
from face_mask.data.voc import read_voc
from fetal_hc.errors import ConfigError, DatasetError, Problem, raise_if_any
from fetal_hc.io.atomic import atomic_path, write_text_atomic
from fetal_hc.io.coco import IMAGE_ROOT_KEY, write_coco

# Format -> its reader. A new dataset is one reader and one row.
READERS: Mapping[str, Callable[..., Reading]] = {
    "voc": read_voc,
    "mfsd": read_mfsd,
    "color-mask": read_color_mask,
    "color-mask-parts": partial(read_color_mask, parts=True),
    "isic": read_isic,
    "folders": read_class_folders,
}

_SHEET_SEED = "sheet"


@dataclass(frozen=True, slots=True)
class ConversionOptions:
    """Options of a conversion.

    Attributes:
        val_fraction: share of validation, in (0, 1).
        test_fraction: share of the test part, in [0, 1]; 0 for none, 1 for a folder that is all test.
        seed: of the split.
        class_map: explicit map of classes; None takes the format's own.
        strict: whether a problem stops the conversion.
        single_face: write one crop per face and describe the crops instead of the photos.
        min_crop_area_px: least area of such a crop.
        mirrors_all_parts: mirror the crops of the rarest class in every part, not in training alone.
        n_overlays: photos on the contact sheet; 0 for no sheet.
        name: start of the files' names; None for `face_mask_FORMAT`.
        progress: show progress bars if the error output is a terminal.
    """

    val_fraction: float = 0.15
    test_fraction: float = 0.0
    seed: int = 0
    class_map: ClassMap | None = None
    strict: bool = False
    single_face: bool = False
    min_crop_area_px: int = MIN_AREA_PX
    mirrors_all_parts: bool = False
    n_overlays: int = 36
    name: str | None = None
    progress: bool = False


@dataclass(frozen=True, slots=True)
class PhotoConversion:
    """Counts, files and problems of a finished conversion.

    Attributes:
        format: of the dataset.
        single_face: whether photos were cut into crops of one face each.
        image_root: folder of the file names, relative to the output folder.
        n_found: annotations or labelled photos that were looked at.
        n_used: photos that were written, or crops of them.
        n_photos: photos in each part.
        n_labels: labels of each class in each part.
        n_excluded_labels: labels of classes that the map leaves out.
        classes: source class -> class.
        val_fraction: as asked for.
        test_fraction: as asked for.
        seed: of the split.
        n_problems: by kind.
        problems: everything left out or changed, with file, value and outcome.
        files: names of the written files.
    """

    format: str
    single_face: bool
    image_root: str
    n_found: int
    n_used: int
    n_photos: Mapping[str, int]
    n_labels: Mapping[str, Mapping[str, int]]
    n_excluded_labels: Mapping[str, int]
    classes: Mapping[str, str]
    val_fraction: float
    test_fraction: float
    seed: int
    n_problems: Mapping[str, int]
    problems: tuple[Problem, ...]
    files: tuple[str, ...]


def convert_face_mask(
    format_name: str,
    root: str | os.PathLike[str],
    output: str | os.PathLike[str],
    options: ConversionOptions | None = None,
) -> PhotoConversion:
    """Writes `NAME_PART.json` for train, val and test, or `NAME.csv` for class folders, into `output`.

    `NAME_report.json` and `NAME_overlays.png` go to the same folder. Each file is replaced atomically; the same data
    and options give the same bytes.

    Args:
        format_name: a key of `READERS`.
        root: folder of the dataset, in that format's layout.
        output: folder for the files, created if needed.
        options: see `ConversionOptions`.

    Raises:
        DatasetError: if the folder is not in this format, no label is left, or (strict) there is any problem; lists
            all problems.
        ConfigError: if an option is out of range.
        FetalHCError: if `output` cannot be written.
    """
    chosen = options or ConversionOptions()
    _check_options(format_name, chosen)
    reading = READERS[format_name](root, progress=chosen.progress)
    class_map = chosen.class_map or ClassMap(reading.default_classes)
    photos, class_problems, excluded = merge_classes(reading.photos, class_map)
    problems = [*reading.problems, *class_problems]
    _check_usable(photos, problems, root, chosen)
    drawn = faces_with_crops(photos, chosen.min_crop_area_px) if chosen.single_face else photos
    parts = split_photos(drawn, chosen.val_fraction, chosen.seed, test_fraction=chosen.test_fraction)
    folder, image_root = Path(output), reading.image_root
    prefix = chosen.name or f"face_mask_{format_name.replace('-', '_')}"
    if chosen.single_face:
        image_root = folder / f"{prefix}_{CROP_FOLDER}"
        photos, parts, crop_problems = write_single_face_crops(
            photos,
            parts,
            reading.image_root,
            image_root,
            min_area_px=chosen.min_crop_area_px,
            mirrors_all_parts=chosen.mirrors_all_parts,
            progress=chosen.progress,
        )
        problems += crop_problems
    report = _report(format_name, reading.n_found, photos, parts, problems, class_map, chosen)
    report = replace(report, image_root=_relative_folder(image_root, folder), n_excluded_labels=dict(excluded))
    files = _write_labels(folder, prefix, photos, parts, class_map.names, report)
    files += _write_sheet(folder, prefix, photos, parts, class_map.names, image_root, chosen.n_overlays)
    report = replace(report, files=(*files, f"{prefix}_report.json"))
    text = json.dumps(asdict(report), indent=2, ensure_ascii=False)
    write_text_atomic(folder / f"{prefix}_report.json", text + "\n")
    return report


def _check_options(format_name: str, options: ConversionOptions) -> None:
    """Returns if the options can be used.

    Raises:
        ConfigError: for the first that is out of range.
    """
    if format_name not in READERS:
        raise ConfigError(f"format is '{format_name}'; expected one of {', '.join(READERS)}")
    check_fractions(options.val_fraction, options.test_fraction)
    if options.n_overlays < 0:
        raise ConfigError(f"n_overlays is {options.n_overlays}; expected 0 or more photos")
    if options.min_crop_area_px < 1:
        raise ConfigError(f"min_crop_area_px is {options.min_crop_area_px}; expected 1 px or more")


def _check_usable(
    photos: Sequence[LabelledPhoto],
    problems: Sequence[Problem],
    root: str | os.PathLike[str],
    options: ConversionOptions,
) -> None:
    """Returns if there is something to convert.

    Raises:
        DatasetError: lists all problems if they are fatal or no label is left.
        ConfigError: if crops are wanted of photos without boxes.
    """
    if options.strict:
        raise_if_any(problems, f"{root}: not converted, as problems are fatal here")
    if not any(photo.labels for photo in photos):
        raise_if_any(problems, f"{root}: no usable label is left")
        raise DatasetError(f"{root}: holds no label; expected photos with labels; correct the path or the class map")
    if options.single_face and not _has_boxes(photos):
        raise ConfigError("single-face crops need boxes, which class folders do not have; choose another format")


def _report(
    format_name: str,
    n_found: int,
    photos: Sequence[LabelledPhoto],
    parts: Mapping[str, str],
    problems: Sequence[Problem],
    class_map: ClassMap,
    options: ConversionOptions,
) -> PhotoConversion:
    """Counts of a conversion; what depends on the written files is filled in later."""
    labels = Counter((parts[photo.file_name], label.category) for photo in photos for label in photo.labels)
    used = _used_parts(parts)
    return PhotoConversion(
        format=format_name,
        single_face=options.single_face,
        image_root="",
        n_found=n_found,
        n_used=len(photos),
        n_photos={part: sum(parts[photo.file_name] == part for photo in photos) for part in used},
        n_labels={part: {name: labels[part, name] for name in class_map.names} for part in used},
        n_excluded_labels={},
        classes=dict(class_map.targets),
        val_fraction=options.val_fraction,
        test_fraction=options.test_fraction,
        seed=options.seed,
        n_problems=dict(sorted(Counter(problem.kind for problem in problems).items())),
        problems=tuple(problems),
        files=(),
    )


def _used_parts(parts: Mapping[str, str]) -> list[str]:
    """The parts that hold photos, in the order train, val, test."""
    return [part for part in PARTS if part in parts.values()]


def _write_labels(
    folder: Path,
    prefix: str,
    photos: Sequence[LabelledPhoto],
    parts: Mapping[str, str],
    names: Sequence[str],
    report: PhotoConversion,
) -> list[str]:
    """Writes COCO files for photos with boxes, else a manifest; returns the files' names."""
    if not _has_boxes(photos):
        write_manifest(folder / f"{prefix}.csv", photos, parts, names, report.image_root)
        return [f"{prefix}.csv"]
    identifiers = {photo.file_name: number for number, photo in enumerate(photos, start=1)}
    files = []
    for part in _used_parts(parts):
        info = {
            "description": f"faces converted from the format '{report.format}'; boxes and run lengths in the corner "
            "convention (pixel i covers [i, i + 1]); objects without segmentation have a box only",
            IMAGE_ROOT_KEY: report.image_root,
            "split": part,
            "val_fraction": report.val_fraction,
            "test_fraction": report.test_fraction,
            "seed": report.seed,
        }
        members = [photo for photo in photos if parts[photo.file_name] == part]
        files.append(f"{prefix}_{part}.json")
        write_coco(folder / files[-1], to_coco(members, identifiers, names, info))
    return files


def _write_sheet(
    folder: Path,
    prefix: str,
    photos: Sequence[LabelledPhoto],
    parts: Mapping[str, str],
    names: Sequence[str],
    image_root: Path,
    n_overlays: int,
) -> list[str]:
    """Writes the contact sheet: photos of every class in turn, in a random but fixed order; returns its name."""
    if not n_overlays:
        return []
    drawn = sorted(photos, key=lambda photo: hashlib.sha256(f"{_SHEET_SEED}:{photo.file_name}".encode()).digest())
    queues = [[photo for photo in drawn if any(label.category == name for label in photo.labels)] for name in names]
    in_turn = [queue[place] for place in range(len(drawn)) for queue in queues if place < len(queue)]
    shown = list({photo.file_name: photo for photo in in_turn}.values())[:n_overlays]
    sheet = draw_sheet(shown, image_root, names, [parts[photo.file_name] for photo in shown])
    path = folder / f"{prefix}_overlays.png"
    with atomic_path(path) as temporary:
        Image.fromarray(sheet).save(temporary)
    return [path.name]


def _has_boxes(photos: Sequence[LabelledPhoto]) -> bool:
    """Whether the labels are objects rather than labels of whole photos."""
    return any(label.box_xyxy for photo in photos for label in photo.labels)


def _relative_folder(folder: Path, start: Path) -> str:
    """`folder` seen from `start`, in POSIX form; absolute where no relative path exists (two Windows drives)."""
    try:
        return Path(os.path.relpath(folder, start)).as_posix()
    except ValueError:
        return folder.resolve().as_posix()
