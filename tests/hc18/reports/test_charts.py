"""The chart shows the standard's curves and, where there is one, the measurement."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from hc18.obstetrics.growth import intergrowth_percentile_mm
from hc18.reports.charts import PERCENTILES, examination_chart, growth_chart


def test_curves_are_the_percentiles_of_the_standard() -> None:
    lines = growth_chart().axes[0].lines
    assert len(lines) == len(PERCENTILES)
    for line, percentile in zip(lines, PERCENTILES, strict=True):
        weeks, hc_mm = line.get_data()
        assert (weeks[0], weeks[-1]) == (14.0, 40.0)
        assert hc_mm[60] == pytest.approx(intergrowth_percentile_mm(7.0 * weeks[60], percentile))


def test_point_lies_at_the_measurement() -> None:
    point = growth_chart(175.0, 140.0).axes[0].lines[-1]
    assert point.get_gid() == "measurement"
    assert np.array(point.get_data()).ravel() == pytest.approx([20.0, 175.0])


@pytest.mark.parametrize(
    ("hc_mm", "ga_days"), [(None, None), (175.0, None), (None, 140.0), (80.0, 90.0), (340.0, 290.0)]
)
def test_no_point_without_a_percentile(hc_mm: float | None, ga_days: float | None) -> None:
    assert len(growth_chart(hc_mm, ga_days).axes[0].lines) == len(PERCENTILES)


def test_pyplot_keeps_no_figure() -> None:
    growth_chart(175.0, 140.0)
    assert plt.get_fignums() == []


def test_images_of_an_examination_have_their_intervals_and_a_median() -> None:
    axes = examination_chart([("Case 1", 180.0, (176.0, 184.0)), ("Case 2", 184.0, None)], 182.0).axes[0]
    drawn = [(list(line.get_xdata()), list(line.get_ydata())) for line in axes.get_lines()]
    assert drawn == [([0, 0], [176.0, 184.0]), ([0, 1], [180.0, 184.0]), ([0, 1], [182.0, 182.0])]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["Case 1", "Case 2"]
