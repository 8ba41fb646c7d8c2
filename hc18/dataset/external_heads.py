"""Fetal heads of other hospitals, whose reference is an ellipse in a table, as a COCO dataset.

The table has one row per image with the columns of `COLUMNS` (pixel centres at integers) and, where they are known,
`pixel_size_mm` and `hc_mm`. Rows of one `patient` belong together: folds never divide them.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fetal_hc.errors import DatasetError, ImageError, MeasurementError, Problem, raise_if_any
from fetal_hc.io.coco import write_coco
from fetal_hc.io.images import MAX_PIXELS, check_pixel_count
from fetal_hc.io.records import CocoAnnotation, CocoDataset, CocoImage
from fetal_hc.io.storage import find_file
from fetal_hc.io.tables import positive_number, read_table, to_number
from hc18.dataset.convert import HEAD_CATEGORY, head_annotation
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.fits import leaves_image
from hc18.geometry.pixel_size import pixel_size_problem

_SIDES = ("height_px", "width_px")
_ELLIPSE = ("center_x_px", "center_y_px", "semi_axis_a_px", "semi_axis_b_px", "angle_rad")
COLUMNS = ("filename", "patient", *_SIDES, *_ELLIPSE)
_KNOWN = ("pixel_size_mm", "hc_mm")
_REMEDY = "correct the row or remove it"


def write_external_heads(table: Path, images: Path, output: Path) -> int:
    """Writes the heads of a table as COCO JSON; returns their number.

    Args:
        table: CSV file, see above.
        images: folder of the images; they stay where they are.
        output: COCO JSON to write.

    Raises:
        DatasetError: listing every row that cannot be used.
        FetalHCError: if the file cannot be written.
    """
    cells = read_table(table, COLUMNS, _KNOWN, what="a table of ellipses")
    raise_if_any([*cells.problems, *cells.uneven_problems()], f"{table} cannot be used")
    entries: list[tuple[CocoImage, CocoAnnotation]] = []
    problems, first_lines = [], dict[str, str]()
    for line, row in sorted(cells.cells.to_dict("index").items(), key=lambda item: str(item[1]["filename"])):
        try:
            first = first_lines.setdefault(str(row["filename"]), str(line))
            if first != str(line):
                raise ValueError(f"already stands in row {first}")
            entries.append(_entry(len(entries) + 1, {str(key): str(value) for key, value in row.items()}, images))
        except (ValueError, ImageError, MeasurementError) as error:
            problems.append(Problem("bad_row", f"{table}, row {line}, '{row['filename']}': {error}; {_REMEDY}"))
    raise_if_any(problems, f"{table} cannot be used")
    if not entries:
        raise DatasetError(f"{table}: has no row; expected one per image")
    info = {
        "description": "heads of other hospitals, one per image",
        "image_root": Path(os.path.relpath(images, output.parent)).as_posix(),
    }
    coco_images, annotations = zip(*entries, strict=True)
    write_coco(output, CocoDataset(coco_images, annotations, (HEAD_CATEGORY,), info))
    return len(entries)


def _entry(number: int, row: Mapping[str, str], images: Path) -> tuple[CocoImage, CocoAnnotation]:
    """Image and annotation of one row.

    Raises:
        ValueError, ImageError, MeasurementError: if the image is missing, a value is not a number or not possible, or
            the values are not an ellipse.
    """
    if find_file(images, row["filename"]) is None:
        raise ValueError(f"is not in {images}")
    wrong = [name for name in _ELLIPSE if math.isnan(to_number(row[name]))]
    wrong += [name for name in _KNOWN if row.get(name) and positive_number(row[name]) is None]
    problems = [f"'{name}' is '{row[name]}'; expected a number" for name in wrong]
    wrong = [name for name in _SIDES if not (to_number(row[name]) >= 1.0 and to_number(row[name]).is_integer())]
    problems += [f"'{name}' is '{row[name]}'; expected a whole number from 1 on" for name in wrong]
    if problems:
        raise ValueError(", ".join(problems))
    height, width = (int(to_number(row[name])) for name in _SIDES)
    check_pixel_count((width, height), MAX_PIXELS, row["filename"])
    size = positive_number(row.get(_KNOWN[0], ""))
    if size is not None and (problem := pixel_size_problem((size, size))):
        raise ValueError(problem)
    ellipse = Ellipse.from_axes(*(to_number(row[name]) for name in _ELLIPSE))
    known: dict[str, Any] = {name: to_number(row[name]) for name in _KNOWN if row.get(name)}
    image = CocoImage(number, row["filename"], height, width, extra={"examination": row["patient"], **known})
    touches = bool(leaves_image(ellipse, (height, width)))
    return image, head_annotation(number, ellipse, (height, width), {"touches_border": touches})
