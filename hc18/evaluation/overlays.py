"""Overlay pictures: one PNG per image, contact sheets, and the CSV of what they show."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from tqdm import tqdm

from fetal_hc.errors import ConfigError, ImageError
from fetal_hc.io.atomic import write_bytes_atomic
from fetal_hc.io.drawing import PREDICTION_RGB, TRUTH_RGB, draw_contact_sheet, draw_label, draw_outline
from fetal_hc.io.images import read_image
from fetal_hc.io.tables import to_safe_cell, write_csv
from hc18.evaluation.overlay_items import OverlayItem

INDEX_TABLE = "index.csv"
OVERLAY_FOLDER = "overlays"

_COLUMNS = ("filename", "overlay", "truth_hc_mm", "predicted_hc_mm", "difference_mm", "note")
_LABEL_RGB = (255, 255, 255)
_CELL_HW = (216, 320)
_SHEET_COLUMNS = 5
_SHEET_ROWS = 8
_OUTLINE_POINTS = 360


def draw_case(image_rgb: NDArray[np.uint8], case: OverlayItem) -> NDArray[np.uint8]:
    """A copy of an image with reference (blue) and prediction (orange), and their circumferences.

    Args:
        image_rgb: uint8 (H, W, 3).
        case: what to draw on it.
    """
    height = image_rgb.shape[0]
    thickness, letters = max(1, round(height / 270)), max(6, round(height / 40))
    drawn = image_rgb
    for outline in case.truth_outlines_xy:
        drawn = draw_outline(drawn, outline, TRUTH_RGB, thickness_px=thickness)
    if case.predicted_px is not None:
        outline = case.predicted_px.outline(_OUTLINE_POINTS)
        drawn = draw_outline(drawn, outline, PREDICTION_RGB, thickness_px=thickness)
    for line, (text, color) in enumerate(_labels(case)):
        position = (letters // 2, letters // 2 + line * (2 * letters + 2))
        drawn = draw_label(drawn, text, color, position_xy=position, height_px=letters)
    return drawn


def write_gallery(
    cases: Sequence[OverlayItem], output: Path, *, overwrite: bool = False, progress: bool = False
) -> int:
    """Draws all cases and returns how many images could not be read.

    Written under `output`: `overlays/NAME.png` at the resolution of the images, contact sheets `index.png`,
    `index_2.png`, ..., and `index.csv` with the figures of every case in the order of the sheets.

    Args:
        cases: what to draw.
        output: folder.
        overwrite: whether an earlier gallery there may be replaced.
        progress: show a progress bar if the error output is a terminal.

    Raises:
        FetalHCError: if the folder holds a gallery already or cannot be written.
    """
    if (output / INDEX_TABLE).exists() and not overwrite:
        raise ConfigError(f"{output}: holds a gallery already; choose another folder or add --overwrite")
    per_sheet = _SHEET_COLUMNS * _SHEET_ROWS
    cells: list[NDArray[np.uint8]] = []
    rows, n_unreadable, n_sheets = [], 0, 0
    for number, case in enumerate(tqdm(cases, "drawing", unit="img", disable=None if progress else True), start=1):
        name = f"{OVERLAY_FOLDER}/{_overlay_name(case.file_name)}"
        note = case.note
        try:
            overlay = draw_case(read_image(case.image_path), case)
            _write_png(output / name, overlay)
        except ImageError as error:
            n_unreadable, name, note = n_unreadable + 1, "", str(error)
            overlay = draw_label(np.zeros((*_CELL_HW, 3), np.uint8), "unreadable", _LABEL_RGB)
        rows.append(_index_row(case, name, note))
        cells.append(_to_cell(overlay, case.file_name))
        if len(cells) == per_sheet or number == len(cases):
            n_sheets += 1
            _write_png(output / _sheet_name(n_sheets), draw_contact_sheet(cells, _SHEET_COLUMNS))
            cells = []
    write_csv(output / INDEX_TABLE, _COLUMNS, rows)
    while (stale := output / _sheet_name(n_sheets := n_sheets + 1)).exists():  # of an earlier, larger gallery
        stale.unlink()
    return n_unreadable


def _sheet_name(number: int) -> str:
    """File name of a contact sheet, counted from 1."""
    return "index.png" if number == 1 else f"index_{number}.png"


def _labels(case: OverlayItem) -> list[tuple[str, tuple[int, int, int]]]:
    """The lines of text on an overlay, each in the colour of what it describes."""
    lines = []
    if case.truth_hc_mm is not None:
        lines.append((f"reference {case.truth_hc_mm:.1f} mm", TRUTH_RGB))
    if case.predicted_hc_mm is not None:
        difference = "" if case.difference_mm is None else f" ({case.difference_mm:+.1f})"
        lines.append((f"predicted {case.predicted_hc_mm:.1f} mm{difference}", PREDICTION_RGB))
    if case.note:
        lines.append((_to_ascii(case.note)[:60], _LABEL_RGB))
    return lines


def _to_cell(overlay: NDArray[np.uint8], file_name: str) -> NDArray[np.uint8]:
    """A thumbnail of fixed size with the file name in its corner."""
    picture = Image.fromarray(overlay)
    picture.thumbnail((_CELL_HW[1], _CELL_HW[0]), Image.Resampling.LANCZOS)
    cell = np.zeros((*_CELL_HW, 3), np.uint8)
    top, left = (_CELL_HW[0] - picture.height) // 2, (_CELL_HW[1] - picture.width) // 2
    cell[top : top + picture.height, left : left + picture.width] = np.asarray(picture)
    return draw_label(cell, _to_ascii(file_name)[-36:], _LABEL_RGB, position_xy=(0, _CELL_HW[0] - 22), height_px=9)


def _index_row(case: OverlayItem, overlay: str, note: str) -> list[str]:
    numbers = (case.truth_hc_mm, case.predicted_hc_mm, case.difference_mm)
    figures = ("" if number is None else f"{number:.4f}" for number in numbers)
    return [to_safe_cell(case.file_name), to_safe_cell(overlay), *figures, to_safe_cell(note)]


def _overlay_name(file_name: str) -> str:
    """A flat name for the overlay of an image: folders joined by `__`, always ending in .png."""
    flat = "__".join(part for part in Path(file_name).parts if part not in ("..", "/"))
    return flat if flat.lower().endswith(".png") else f"{flat}.png"


def _to_ascii(text: str) -> str:
    """Printable ASCII, the only characters the drawing font has."""
    return "".join(character if " " <= character <= "~" else "?" for character in text)


def _write_png(path: Path, image_rgb: NDArray[np.uint8]) -> None:
    """Writes a picture as a whole or not at all."""
    buffer = io.BytesIO()
    Image.fromarray(image_rgb).save(buffer, format="PNG", compress_level=3)
    write_bytes_atomic(path, buffer.getvalue())
