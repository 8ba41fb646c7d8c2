"""Pixel sizes that tables and manifests state, and which files of a folder are measured."""

from __future__ import annotations

import os
from array import array
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import ClassVar

from fetal_hc.batch.manifest import ManifestRow
from fetal_hc.batch.manifest import read_manifest as read_any_manifest
from fetal_hc.batch.rules import FolderTable, SourceRules, Stated
from fetal_hc.batch.sources import ImageSource, Location
from fetal_hc.batch.sources import open_source as open_any_source
from fetal_hc.batch.summary import KEPT_AT_MOST, MessageLog
from fetal_hc.errors import raise_if_fatal
from fetal_hc.io.images import is_image_file
from fetal_hc.io.tables import to_number
from hc18.dataset.labelled_image import is_annotation
from hc18.dataset.pixel_size_table import read_pixel_size_table
from hc18.dicom import is_dicom
from hc18.geometry.pixel_size import POSSIBLE_PIXEL_SIZE_MM, pixel_size_problem

_SIZE, _SIZE_X, _SIZE_Y = "pixelsizemm", "pixelsizexmm", "pixelsizeymm"
_FROM_FILE = "dicom"  # what a manifest says of an image file that states its pixel size itself
_ABOUT_REFERENCE = "bad_hc"  # a wrong reference circumference does not concern a measurement


@dataclass(frozen=True, slots=True)
class TablePixelSize:
    """The pixel size that a table states for an image.

    Attributes:
        pixel_size_xy_mm: mm per pixel along x and y; None if the value cannot be used.
    """

    pixel_size_xy_mm: tuple[float, float] | None


UNUSABLE = TablePixelSize(None)


class PixelSizeRules(SourceRules[TablePixelSize]):
    """Tables in the layout of HC18, and manifests with the columns of a pixel size."""

    columns: ClassVar[Mapping[str, str]] = {
        _SIZE: "pixel_size_mm",
        _SIZE_X: "pixel_size_x_mm",
        _SIZE_Y: "pixel_size_y_mm",
    }
    without_table: ClassVar[str] = "no table of pixel sizes was given; add --pixel-sizes"
    without_row: ClassVar[str] = "has no row for this image; add its pixel size"

    def is_image(self, path: str) -> bool:
        """Whether a file is an image or DICOM and not an annotation of HC18."""
        return not is_annotation(os.path.basename(path)) and is_image_file(path, is_dicom=is_dicom)  # noqa: PTH119

    def read_table(self, path: Path) -> FolderTable[TablePixelSize]:
        """The table of pixel sizes of a folder; unusable values cost only their own image its millimetres.

        Raises:
            DatasetError: if no row can be read.
        """
        table = read_pixel_size_table(path).without(_ABOUT_REFERENCE)
        if not table.rows:
            raise_if_fatal(table.problems, f"{table.path} cannot be used")
        rows = table.rows
        problems = MessageLog([str(problem) for problem in table.first_problems(KEPT_AT_MOST)], table.n_problems)

        def stated(index: int) -> Stated[TablePixelSize]:
            row = rows[index]
            if row.pixel_size_mm is not None:
                return Stated(TablePixelSize((row.pixel_size_mm, row.pixel_size_mm)))
            known = "; ".join(map(str, table.problems_of_line(row.row)))
            return Stated(UNUSABLE, note=known or f"{path}, row {row.row}: has no usable pixel size")

        return FolderTable(table.path, rows.filenames, array("q", rows.lines.tolist()), stated, problems)

    def missing_columns(self, found: Collection[str]) -> list[str]:
        """The other half of a pixel size of which a manifest has one."""
        halves = (_SIZE_X, _SIZE_Y)
        if not any(name in found for name in halves):
            return []
        return [self.columns[name] for name in halves if name not in found]

    def parse(self, where: str, values: Mapping[str, str]) -> Stated[TablePixelSize]:
        """The pixel size in a row; an empty one, or `dicom`, means that the image file states it."""
        both = values.get(_SIZE, "")
        texts = (values.get(_SIZE_X) or both, values.get(_SIZE_Y) or both)
        usable = _usable_size(*texts)
        if usable is not None:
            return usable
        if all(text.lower() in ("", _FROM_FILE) for text in texts):
            return Stated(None, note=f"{where}: has no pixel size and the image file has none either; add it")
        wrong = texts[0] if _possible_size(texts[0]) is None else texts[1]
        low, high = POSSIBLE_PIXEL_SIZE_MM
        problem = (
            f"{where}, 'pixel_size_mm': '{wrong}' is not a pixel size between {low:g} and {high:g}; expected mm per "
            "pixel with a decimal point, or nothing if the image file knows it"
        )
        return Stated(UNUSABLE, problem, problem)


def open_source(
    images: Location | None = None, pixel_sizes: Location | None = None, manifest: Location | None = None
) -> ImageSource[TablePixelSize]:
    """The images to measure.

    Args:
        images: folder, pattern or single file; with a manifest the folder its paths start from. A CSV or Parquet file
            is taken as the manifest.
        pixel_sizes: table of pixel sizes in the layout of HC18, for a folder or pattern.
        manifest: CSV or Parquet file that names the images, a path or a URL.

    Raises:
        ConfigError: if the arguments contradict each other or need a library that is not installed.
        DatasetError: if there is nothing to measure, or a table cannot be read.
    """
    return open_any_source(PixelSizeRules(), images, pixel_sizes, manifest)


def read_manifest(manifest: str, folder: str) -> Iterator[ManifestRow[TablePixelSize]]:
    """Every row of a manifest, one after the other; as `fetal_hc.batch.manifest.read_manifest`."""
    return read_any_manifest(manifest, folder, PixelSizeRules())


@lru_cache(maxsize=4096)  # a manifest of an archive repeats a few sizes a million times
def _usable_size(text_x: str, text_y: str) -> Stated[TablePixelSize] | None:
    """A pixel size that can be used; None if the texts do not state one."""
    across, down = _possible_size(text_x), _possible_size(text_y)
    return None if across is None or down is None else Stated(TablePixelSize((across, down)))


def _possible_size(text: str) -> float | None:
    """`text` as mm per pixel; None if it is not a number or no pixel can have that size."""
    value = to_number(text)
    return None if pixel_size_problem((value, value)) else value
