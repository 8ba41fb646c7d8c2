"""The result of one image, and the table of its columns in `details.csv` and in the shards of a batch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from enum import StrEnum
from typing import Any

from fetal_hc.batch.tasks import Failure
from fetal_hc.errors import MeasurementError
from fetal_hc.io.columns import Column, ColumnTable
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.flags import Status
from hc18.measurement.interval_model import Interval
from hc18.measurement.outline import Quality


class RowStatus(StrEnum):
    """What became of an image; only `OK` rows have millimetres and a row in the submission.

    The status of a measurement, or the failure of a batch that could not measure.
    """

    OK = Status.OK.value
    NO_PIXEL_SIZE = Status.NO_PIXEL_SIZE.value
    NO_HEAD = Status.NO_HEAD.value
    FIT_FAILED = Status.FIT_FAILED.value
    UNREADABLE = Failure.UNREADABLE.value
    MISSING_FILE = Failure.MISSING_FILE.value
    MODEL_FAILED = Failure.MODEL_FAILED.value
    INTERNAL_ERROR = Failure.INTERNAL_ERROR.value


@dataclass(frozen=True, slots=True)
class MeasurementRow:
    """The result of one image; what does not apply is None, never 0.

    Attributes:
        file_name: bare name of the image, or its id in the manifest; `name#2` is the second frame of a DICOM file.
        status: what became of it.
        reason: why it was not measured (in millimetres); empty if it was.
        hc_mm: head circumference.
        hc_px: head circumference in pixels of the original image.
        ellipse_px: in pixels of the original image, pixel centres at integers.
        ellipse_mm: the same in millimetres.
        confidence: score of the detection, 0 to 1.
        flags: quality flags.
        image_hw: height and width in px.
        pixel_size_xy_mm: mm per pixel along x and y.
        pixel_size_source: where that came from, a `hc18.geometry.pixel_size.CalibrationSource`.
        calibration: what the image file itself says about its calibration, and its warnings; empty for others.
        interval: predictive interval and expected error of the head circumference; None if the model is not calibrated.
        quality: of the outline, as the detection stage shows it.
        model_sha256: hex digest of the model file.
        other_sizes_xy_mm: pixel sizes that other sources give and that were not used, as in `Calibration`.
        sharpness: of the picture around the ellipse, see `hc18.measurement.groups.sharpness`.
    """

    file_name: str
    status: RowStatus
    reason: str
    hc_mm: float | None = None
    hc_px: float | None = None
    ellipse_px: Ellipse | None = None
    ellipse_mm: Ellipse | None = None
    confidence: float | None = None
    flags: tuple[str, ...] = ()
    image_hw: tuple[int, int] | None = None
    pixel_size_xy_mm: tuple[float, float] | None = None
    pixel_size_source: str = ""
    calibration: str = ""
    interval: Interval | None = None
    quality: Quality = field(default_factory=Quality)
    model_sha256: str = ""
    other_sizes_xy_mm: tuple[tuple[float, float], ...] = ()
    sharpness: float | None = None


def frame_name(file_name: str, frame: int) -> str:
    """Name of the row of a frame of a file with several; frames count from 1."""
    return f"{file_name}#{frame}"


def frame_number(name: str) -> int:
    """The frame in a name that `frame_name` gave, from 1."""
    return int(name.rpartition("#")[2])


def _number(name: str, decimals: int | None, *, is_required: bool = False) -> Column[MeasurementRow]:
    """The column of a number that is an attribute of the row."""
    return Column(name, float, lambda row: getattr(row, name), decimals, is_required)


def _item(attribute: str, index: int) -> Callable[[MeasurementRow], Any]:
    """Gets an item of an attribute that is a tuple or None."""

    def get(row: MeasurementRow) -> Any:
        values = getattr(row, attribute)
        return None if values is None else values[index]

    return get


def _ellipse_item(unit: str, name: str) -> Callable[[MeasurementRow], float | None]:
    """Gets a number of the ellipse in px or mm."""

    def get(row: MeasurementRow) -> float | None:
        ellipse = row.ellipse_px if unit == "px" else row.ellipse_mm
        return None if ellipse is None else getattr(ellipse, name)

    return get


def _interval_column(name: str, attribute: str, decimals: int | None) -> Column[MeasurementRow]:
    """The column of a number of the interval."""

    def get(row: MeasurementRow) -> float | None:
        return None if row.interval is None else getattr(row.interval, attribute)

    return Column(name, float, get, decimals, is_required=False)


def quality_columns(kind: type[Quality], *, is_original: bool) -> tuple[Column[MeasurementRow], ...]:
    """The columns of the quality figures, those of the first version or those added later."""

    def column(name: str, decimals: int) -> Column[MeasurementRow]:
        return Column(name, float, lambda row: getattr(row.quality, name), decimals, is_required=False)

    chosen = (item for item in fields(kind) if item.metadata["is_original"] == is_original)
    return tuple(column(item.name, item.metadata["decimals"]) for item in chosen)


def _common_pixel_size(row: MeasurementRow) -> float | None:
    """The pixel size if it is the same along x and y."""
    size_x_mm, size_y_mm = row.pixel_size_xy_mm or (None, None)
    return size_x_mm if size_x_mm == size_y_mm else None


def _other_sizes_text(row: MeasurementRow) -> str:
    """Pixel sizes that were not used, as `0.2x0.25;0.3x0.3` (along x, along y)."""
    return ";".join(f"{across!r}x{down!r}" for across, down in row.other_sizes_xy_mm)


def _other_sizes(text: str) -> tuple[tuple[float, float], ...]:
    """The pixel sizes that `_other_sizes_text` gave.

    Raises:
        ValueError: if the text is anything else.
    """
    pairs = [item.split("x") for item in text.split(";")] if text else []
    if any(len(pair) != 2 for pair in pairs):
        raise ValueError(f"'{text}' are not pixel sizes such as 0.2x0.25")
    return tuple((float(across), float(down)) for across, down in pairs)


_ELLIPSE_FIELDS = ("center_x", "center_y", "semi_axis_a", "semi_axis_b")


def _ellipse_columns(unit: str) -> tuple[Column[MeasurementRow], ...]:
    """Centre and semi-axes of the ellipse in px or mm."""
    return tuple(Column(f"{name}_{unit}", float, _ellipse_item(unit, name), 4) for name in _ELLIPSE_FIELDS)


# The order is a contract: columns are only ever added at the end.
_COLUMNS: tuple[Column[MeasurementRow], ...] = (
    Column("filename", str, lambda row: row.file_name),
    Column("status", str, lambda row: row.status.value),
    Column("reason", str, lambda row: row.reason),
    _number("hc_mm", 4, is_required=True),
    *_ellipse_columns("px"),
    Column("angle_rad", float, _ellipse_item("px", "angle_rad"), 8),
    *_ellipse_columns("mm"),
    _number("confidence", 6, is_required=True),
    Column("flags", str, lambda row: ";".join(row.flags)),
    _number("hc_px", 4, is_required=True),
    Column("image_width_px", int, _item("image_hw", 1)),
    Column("image_height_px", int, _item("image_hw", 0)),
    Column("pixel_size_mm", float, _common_pixel_size),
    Column("pixel_size_source", str, lambda row: row.pixel_size_source),
    Column("model_sha256", str, lambda row: row.model_sha256),
    Column("pixel_size_x_mm", float, _item("pixel_size_xy_mm", 0), is_required=False),
    Column("pixel_size_y_mm", float, _item("pixel_size_xy_mm", 1), is_required=False),
    Column("angle_in_mm_rad", float, _ellipse_item("mm", "angle_rad"), 8, is_required=False),
    Column("calibration", str, lambda row: row.calibration, is_required=False),
    _interval_column("hc_low_mm", "low_mm", 4),
    _interval_column("hc_high_mm", "high_mm", 4),
    _interval_column("expected_error_mm", "expected_error_mm", 4),
    *quality_columns(Quality, is_original=True),
    _interval_column("hc_interval_coverage", "coverage", None),
    Column("other_pixel_sizes_mm", str, _other_sizes_text, is_required=False),
    *quality_columns(Quality, is_original=False),
    _number("sharpness", 4),
)


def _from_values(values: Mapping[str, Any]) -> MeasurementRow:
    """The row with these values by column name.

    Raises:
        ValueError: if a value cannot be one of a row.
        KeyError: if one is missing that every row has.
    """
    common = values.get("pixel_size_mm")
    sizes_mm = [common if size is None else size for size in map(values.get, ("pixel_size_x_mm", "pixel_size_y_mm"))]
    angle_px = values.get("angle_rad")
    angle_mm = values.get("angle_in_mm_rad")
    return MeasurementRow(
        file_name=values["filename"],
        status=RowStatus(values["status"]),
        reason=values["reason"],
        hc_mm=values.get("hc_mm"),
        hc_px=values.get("hc_px"),
        ellipse_px=_ellipse(values, "px", angle_px),
        ellipse_mm=_ellipse(values, "mm", angle_px if angle_mm is None else angle_mm),
        confidence=values.get("confidence"),
        flags=tuple(values["flags"].split(";")) if values["flags"] else (),
        image_hw=_pair(values.get("image_height_px"), values.get("image_width_px")),
        pixel_size_xy_mm=_pair(*sizes_mm),
        pixel_size_source=values["pixel_size_source"],
        calibration=values.get("calibration") or "",
        interval=_interval(values),
        quality=Quality.from_values(values),
        model_sha256=values["model_sha256"],
        other_sizes_xy_mm=_other_sizes(values.get("other_pixel_sizes_mm") or ""),
        sharpness=values.get("sharpness"),
    )


def _pair(first: Any, second: Any) -> tuple[Any, Any] | None:
    """Both values; None if one is missing."""
    return None if first is None or second is None else (first, second)


def _interval(values: Mapping[str, Any]) -> Interval | None:
    """The interval; None if a bound is missing. Tables of earlier versions do not state the other numbers."""
    low_mm, high_mm = values.get("hc_low_mm"), values.get("hc_high_mm")
    if low_mm is None or high_mm is None:
        return None
    return Interval(low_mm, high_mm, values.get("expected_error_mm"), values.get("hc_interval_coverage"))


def _ellipse(values: Mapping[str, Any], unit: str, angle_rad: float | None) -> Ellipse | None:
    """The ellipse in px or mm; None if a number is missing.

    Raises:
        ValueError: if the numbers are not those of an ellipse.
    """
    numbers = [*(values.get(f"{name}_{unit}") for name in _ELLIPSE_FIELDS), angle_rad]
    if any(number is None for number in numbers):
        return None
    try:
        return Ellipse.from_axes(*numbers)  # type: ignore[arg-type]  # none of them is None
    except MeasurementError as error:
        raise ValueError(str(error)) from error


MEASUREMENT_TABLE = ColumnTable(_COLUMNS, _from_values)
