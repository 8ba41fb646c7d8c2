"""Scores of single images and their summary over a group: counts, mean, spread and quantiles."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

# INTERGROWTH-21st median HC at 14+0 and 28+0 weeks (Papageorghiou et al., Lancet 384:869-879, 2014). HC18 publishes no
# gestational age, so the trimester follows from the reference HC.
SECOND_TRIMESTER_HC_MM = 97.9
THIRD_TRIMESTER_HC_MM = 260.4
TRIMESTERS = ("first", "second", "third")


@dataclass(frozen=True, slots=True)
class ScoredImage:
    """Scores of one image; all None if there is no prediction.

    Attributes:
        filename: of the image.
        hc_mm: reference circumference.
        predicted_hc_mm: circumference of the predicted ellipse.
        difference_mm: DF = predicted - reference.
        dice: overlap of the two ellipses, 0 to 1.
        hausdorff_mm: symmetric Hausdorff distance of the two ellipses.
    """

    filename: str
    hc_mm: float
    predicted_hc_mm: float | None = None
    difference_mm: float | None = None
    dice: float | None = None
    hausdorff_mm: float | None = None

    @property
    def trimester(self) -> str:
        """Trimester of the reference circumference."""
        return trimester_of(self.hc_mm)


@dataclass(frozen=True, slots=True)
class Statistics:
    """Distribution of one figure; `sd` is that of a sample (n - 1), None for a single value."""

    mean: float
    sd: float | None
    median: float
    q25: float
    q75: float
    p95: float
    min: float
    max: float


@dataclass(frozen=True, slots=True)
class GroupSummary:
    """Scores of a group of images; the statistics are None if none was scored.

    Attributes:
        n_scored: images with a prediction.
        n_failed: images without one.
        difference_mm: DF = predicted - reference circumference.
        absolute_difference_mm: ADF = |DF|.
        dice: DSC, 0 to 1.
        hausdorff_mm: HD.
    """

    n_scored: int
    n_failed: int
    difference_mm: Statistics | None
    absolute_difference_mm: Statistics | None
    dice: Statistics | None
    hausdorff_mm: Statistics | None


def trimester_of(hc_mm: float) -> str:
    """Trimester of the week whose median circumference is `hc_mm`: "first", "second" or "third"."""
    if hc_mm < SECOND_TRIMESTER_HC_MM:
        return TRIMESTERS[0]
    return TRIMESTERS[1] if hc_mm <= THIRD_TRIMESTER_HC_MM else TRIMESTERS[2]


def summarise(cases: Sequence[ScoredImage]) -> GroupSummary:
    """Counts and statistics of some cases."""
    difference_mm = [case.difference_mm for case in cases if case.difference_mm is not None]
    return GroupSummary(
        len(difference_mm),
        len(cases) - len(difference_mm),
        _statistics(difference_mm),
        _statistics([abs(value) for value in difference_mm]),
        _statistics([case.dice for case in cases if case.dice is not None]),
        _statistics([case.hausdorff_mm for case in cases if case.hausdorff_mm is not None]),
    )


def _statistics(values: Sequence[float]) -> Statistics | None:
    """Statistics of the values, None if there are none."""
    if not values:
        return None
    array = np.asarray(values, dtype=np.float64)
    q25, median, q75, p95 = (float(value) for value in np.percentile(array, [25, 50, 75, 95]))
    spread = float(array.std(ddof=1)) if array.size > 1 else None
    return Statistics(float(array.mean()), spread, median, q25, q75, p95, float(array.min()), float(array.max()))


def summary_table(groups: Mapping[str, GroupSummary]) -> str:
    """Text for a terminal: one line per group and metric under a header; lengths in mm, DSC in percent."""
    columns = [field.name.upper() if field.name == "sd" else field.name for field in fields(Statistics)]
    header = f"{'group':<8}{'scored':>7}{'failed':>7}  {'metric':<7}" + "".join(f"{name:>9}" for name in columns)
    lines = [header, "-" * len(header)]
    for name, group in groups.items():
        left = f"{name:<8}{group.n_scored:>7}{group.n_failed:>7}  "
        if group.n_scored == 0:
            lines.append(f"{left}no case scored")
            continue
        for metric, statistics, factor in (
            ("DF mm", group.difference_mm, 1.0),
            ("ADF mm", group.absolute_difference_mm, 1.0),
            ("DSC %", group.dice, 100.0),
            ("HD mm", group.hausdorff_mm, 1.0),
        ):
            lines.append(f"{left}{metric:<7}" + _row(statistics, factor))
            left = " " * len(left)
    return "\n".join(lines)


def _row(statistics: Statistics | None, factor: float) -> str:
    """The values of one metric, "-" for what does not exist."""
    values = [None] * len(fields(Statistics)) if statistics is None else list(astuple(statistics))
    return "".join(f"{'-':>9}" if value is None else f"{value * factor:>9.2f}" for value in values)
