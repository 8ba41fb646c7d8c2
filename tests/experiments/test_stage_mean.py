"""Ellipses between two stages, and their rows."""

from pathlib import Path

import pytest

from experiments.stage_mean import blend, main
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.details import read_details
from hc18.measurement.rows import MeasurementRow, RowStatus
from hc18.uncertainty.unseen_images import write_details

DETECTED_PX = Ellipse(100.0, 80.0, 50.0, 40.0, 0.2)
REFINED_PX = Ellipse(100.0, 80.0, 55.0, 44.0, 0.2)


def row(ellipse_px: Ellipse | None, size_mm: float | None = 0.5) -> MeasurementRow:
    if ellipse_px is None:
        return MeasurementRow("a.png", RowStatus.NO_HEAD, "nothing detected")
    ellipse_mm = None if size_mm is None else ellipse_px.to_mm(size_mm, size_mm)
    return MeasurementRow(
        "a.png",
        RowStatus.NO_PIXEL_SIZE if size_mm is None else RowStatus.OK,
        "",
        hc_mm=None if ellipse_mm is None else ellipse_mm.circumference(),
        hc_px=ellipse_px.circumference(),
        ellipse_px=ellipse_px,
        ellipse_mm=ellipse_mm,
        confidence=0.9,
        pixel_size_xy_mm=None if size_mm is None else (size_mm, size_mm),
    )


def test_row_of_a_share_lies_between_those_of_the_stages():
    found = blend(row(REFINED_PX), row(DETECTED_PX), 0.5)
    assert found.hc_px == pytest.approx(1.05 * DETECTED_PX.circumference())
    assert found.hc_mm == pytest.approx(0.5 * found.hc_px)
    assert found.quality.stages_percent == pytest.approx(100.0 / 11.0)


def test_row_without_millimetres_or_without_a_detection_keeps_what_it_has():
    assert blend(row(REFINED_PX, None), row(DETECTED_PX, None), 0.5).hc_mm is None
    assert blend(row(REFINED_PX), row(None), 0.5) == row(REFINED_PX)
    assert blend(row(None), row(DETECTED_PX), 0.5) == row(None)


def test_rows_are_written_and_a_share_beyond_the_stages_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    files = {"--refined": REFINED_PX, "--detected": DETECTED_PX}
    arguments = []
    for option, ellipse_px in files.items():
        write_details(tmp_path / f"{option}.csv", [row(ellipse_px)])
        arguments += [option, str(tmp_path / f"{option}.csv")]
    output = tmp_path / "mean.csv"
    assert main([*arguments, "--share", "0.25", "--output", str(output)]) == 0
    assert read_details(output)[0].hc_px == pytest.approx(1.025 * DETECTED_PX.circumference(), abs=1e-3)
    assert main([*arguments, "--share", "1.5"]) == 2
    assert "--share is 1.5" in capsys.readouterr().err
