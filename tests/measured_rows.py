"""A measured row with a value in every field."""

from hc18.geometry.ellipse import Ellipse
from hc18.measurement.interval_model import Interval
from hc18.measurement.outline import Quality
from hc18.measurement.rows import MeasurementRow, RowStatus

FULL_ROW = MeasurementRow(
    file_name="a.png",
    status=RowStatus.OK,
    reason="none",
    hc_mm=175.31234567890123,
    hc_px=876.5,
    ellipse_px=Ellipse(400.0, 270.5, 160.0, 120.25, 0.5),
    ellipse_mm=Ellipse(80.0, 54.1, 32.0, 24.05, 0.75),
    confidence=0.98765432,
    flags=("low_score", "touches_border"),
    image_hw=(540, 800),
    pixel_size_xy_mm=(0.2, 0.3),
    pixel_size_source="dicom_region",
    calibration="region 1",
    interval=Interval(171.5, 179.12345678, 1.5, 0.9),
    quality=Quality(1.25, 0.125, 0.0625, 1.5, 0.75, 0.25),
    model_sha256="abc",
    other_sizes_xy_mm=((0.25, 0.3), (0.1, 0.1)),
    sharpness=0.125,
)
