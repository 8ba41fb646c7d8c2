"""PASCAL VOC folders: one XML of boxes per photo.

VOC counts pixels from 1 and includes both ends, so xmin, xmax covers [xmin - 1, xmax] in the corner convention; this
is how Detectron2 reads it too. Boxes give no masks.

References: M. Everingham, J. Winn, The PASCAL VOC2012 development kit (2012), annotation format.
"""

from __future__ import annotations

import math
import os
from functools import partial
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from xml.etree.ElementTree import Element, ParseError

from defusedxml import DefusedXmlException
from defusedxml.ElementTree import fromstring

from face_mask.data.photos import map_files, probe_photo, relative_name, unreadable_image
from face_mask.data.records import Box, Label, LabelledPhoto, Reading
from fetal_hc.errors import DatasetError, ImageError, Problem
from fetal_hc.io.images import find_images

# "weared" as the dataset spells it.
VOC_CLASSES = {name: name for name in ("with_mask", "without_mask", "mask_weared_incorrect")}

ANNOTATION_FOLDERS = ("annotations", "Annotations")
_IMAGE_FOLDERS = ("images", "JPEGImages")
_SIDES = ("xmin", "ymin", "xmax", "ymax")
_OBJECT_LEFT_OUT = "object left out"
_PHOTO_LEFT_OUT = "photo left out"


class VocAnnotation(NamedTuple):
    """What one XML says: bare file name of the photo, its size, classes with their boxes in VOC's own numbers."""

    file_name: str
    image_hw: tuple[int, int]
    objects: tuple[tuple[str, Box], ...]


def read_voc(root: str | os.PathLike[str], *, progress: bool = False) -> Reading:
    """Photos with boxes of a VOC folder: `annotations/` or `Annotations/`, `images/` or `JPEGImages/`.

    Args:
        root: the folder that holds both; a folder with photos and XML files side by side does as well.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        DatasetError: if a folder cannot be listed or there is no XML file.
    """
    base = Path(root)
    annotation_folder, image_folder = (_first_folder(base, names) for names in (ANNOTATION_FOLDERS, _IMAGE_FOLDERS))
    images = {path.name: path for path in find_images(image_folder)}
    files = sorted(path for path in annotation_folder.glob("*.xml") if not path.name.startswith("."))
    if not files:
        raise DatasetError(
            f"{annotation_folder}: holds no .xml file; expected PASCAL VOC annotations; give the folder that holds "
            "annotations/ and images/"
        )
    results = map_files(partial(_read_photo, images=images, root=base), files, "reading VOC", progress=progress)
    photos: dict[str, LabelledPhoto] = {}
    problems: list[Problem] = []
    annotated: dict[str, str] = {}
    for file, (file_name, photo, file_problems) in zip(files, results, strict=True):
        problems += file_problems
        first = annotated.setdefault(file_name, file.name) if file_name else file.name
        if first != file.name:
            value = f"<filename> '{file_name}' is also the name in {first}"
            problems.append(
                Problem.in_file("duplicate_name", relative_name(file, base), value, "second annotation left out")
            )
        elif photo is not None:
            photos[file_name] = photo
    for name in sorted(images.keys() - annotated.keys()):
        path = relative_name(images[name], base)
        problems.append(Problem.in_file("missing_annotation", path, "has no annotation file", _PHOTO_LEFT_OUT))
    ordered = tuple(photos[name] for name in sorted(photos))
    return Reading(image_folder, ordered, tuple(problems), len(files), VOC_CLASSES)


def parse_voc(data: bytes, name: str) -> tuple[VocAnnotation | None, list[Problem]]:
    """What an XML says, None if it is of no use as a whole, and its problems.

    Args:
        data: content of the file; document types and entities are refused.
        name: of the file, for messages.
    """
    try:
        document = fromstring(data, forbid_dtd=True)
    except (DefusedXmlException, ParseError, ValueError, LookupError) as error:
        value = f"is not safe, well-formed XML ({type(error).__name__}: {error})"
        return None, [
            Problem.in_file("bad_xml", name, value, f"expected VOC without DTD or entities; {_PHOTO_LEFT_OUT}")
        ]
    problems = []
    file_name = _text(document, "filename")
    if not file_name or PurePosixPath(file_name.replace("\\", "/")).name != file_name:
        outcome = f"expected the bare name of the photo; {_PHOTO_LEFT_OUT}"
        problems.append(Problem.in_file("missing_field", name, f"<filename> is '{file_name}'", outcome))
    height, width = (_number(document, f"size/{side}") for side in ("height", "width"))
    if height is None or width is None or height < 1 or width < 1:
        value = f"<size> is '{_text(document, 'size/width')}' x '{_text(document, 'size/height')}'"
        problems.append(
            Problem.in_file("missing_field", name, value, f"expected width and height in px; {_PHOTO_LEFT_OUT}")
        )
        return None, problems
    if problems:
        return None, problems
    objects = []
    for number, element in enumerate(document.findall("object"), start=1):
        found = _parse_object(element, name, number, problems)
        objects += [found] if found else []
    return VocAnnotation(file_name, (int(height), int(width)), tuple(objects)), problems


def clip_voc_box(box: Box, image_hw: tuple[int, int]) -> Box:
    """A box in VOC's numbers as x0, y0, x1, y1 in the corner convention, clipped to the photo."""
    xmin, ymin, xmax, ymax = box
    height, width = image_hw
    return (
        min(max(xmin - 1.0, 0.0), width),
        min(max(ymin - 1.0, 0.0), height),
        min(max(xmax, 0.0), width),
        min(max(ymax, 0.0), height),
    )


def _read_photo(file: Path, images: dict[str, Path], root: Path) -> tuple[str, LabelledPhoto | None, list[Problem]]:
    """The photo an XML names ("" if it names none), the photo with its labels if usable, and all problems."""
    name = relative_name(file, root)
    try:
        annotation, problems = parse_voc(file.read_bytes(), name)
    except OSError as error:
        return (
            "",
            None,
            [Problem.in_file("bad_xml", name, f"cannot be read ({error.strerror or error})", _PHOTO_LEFT_OUT)],
        )
    if annotation is None:
        return "", None, problems
    file_name = annotation.file_name
    if file_name not in images:
        value, outcome = f"<filename> '{file_name}' does not exist", f"expected a photo; {_PHOTO_LEFT_OUT}"
        return file_name, None, [*problems, Problem.in_file("missing_image", name, value, outcome)]
    try:
        image_hw, fingerprint = probe_photo(images[file_name])
    except ImageError as error:
        problem = unreadable_image(relative_name(images[file_name], root), error)
        return file_name, None, [*problems, problem]
    if image_hw != annotation.image_hw:
        told, is_ = (f"{width} x {height}" for height, width in (annotation.image_hw, image_hw))
        value, outcome = f"<size> is {told}, but {file_name} has {is_} px", f"expected equal sizes; {_PHOTO_LEFT_OUT}"
        return file_name, None, [*problems, Problem.in_file("size_mismatch", name, value, outcome)]
    labels = []
    for number, (category, box) in enumerate(annotation.objects, start=1):
        clipped = _checked_box(box, image_hw, f"{name}, box {number}", problems)
        labels += [Label(category, clipped)] if clipped else []
    return file_name, LabelledPhoto(file_name, image_hw, fingerprint, file.stem, tuple(labels)), problems


def _parse_object(element: Element, name: str, number: int, problems: list[Problem]) -> tuple[str, Box] | None:
    """Class and box of one object in VOC's numbers; None, and a problem, if a field is missing or no number."""
    category = _text(element, "name")
    sides = [_number(element, f"bndbox/{side}") for side in _SIDES]
    missing = [] if category else ["<name> is ''"]
    missing += [
        f"<{side}> is '{_text(element, f'bndbox/{side}')}'"
        for side, value in zip(_SIDES, sides, strict=True)
        if value is None
    ]
    if missing:
        outcome = f"expected a class and four numbers; {_OBJECT_LEFT_OUT}"
        problems.append(Problem.in_file("missing_field", f"{name}, object {number}", ", ".join(missing), outcome))
        return None
    xmin, ymin, xmax, ymax = (float(value) for value in sides if value is not None)
    return category, (xmin, ymin, xmax, ymax)


def _checked_box(box: Box, image_hw: tuple[int, int], where: str, problems: list[Problem]) -> Box | None:
    """The box clipped to the photo, with a problem if that changed it; None if nothing usable is left of it."""
    value = ", ".join(f"{side} {number:g}" for side, number in zip(_SIDES, box, strict=True))
    xmin, ymin, xmax, ymax = box
    if xmin > xmax or ymin > ymax:
        outcome = f"expected xmin <= xmax and ymin <= ymax; {_OBJECT_LEFT_OUT}"
        problems.append(Problem.in_file("inverted_box", where, value, outcome))
        return None
    clipped = clip_voc_box(box, image_hw)
    size = f"{image_hw[1]} x {image_hw[0]}"
    if clipped[0] >= clipped[2] or clipped[1] >= clipped[3]:
        problems.append(
            Problem.in_file("box_outside", where, value, f"outside the photo of {size} px; {_OBJECT_LEFT_OUT}")
        )
        return None
    if clipped != (xmin - 1.0, ymin - 1.0, xmax, ymax):
        problems.append(Problem.in_file("box_clipped", where, value, f"leaves the photo of {size} px; clipped to it"))
    return clipped


def _first_folder(base: Path, names: tuple[str, ...]) -> Path:
    """The first of the named folders that exists, else `base` itself."""
    return next((base / name for name in names if (base / name).is_dir()), base)


def _text(element: Element, path: str) -> str:
    """Text of a field without surrounding space; "" if there is none."""
    return (element.findtext(path) or "").strip()


def _number(element: Element, path: str) -> float | None:
    """A finite number in a field, or None."""
    try:
        value = float(_text(element, path))
    except ValueError:
        return None
    return value if math.isfinite(value) else None
