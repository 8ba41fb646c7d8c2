"""Agreement of readers who measured the same images: Bland-Altman limits, intraclass correlation, repeatability.

Between readers both measured on their own. Within a reader the same person measured twice.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from scipy.stats import f

from hc18.evaluation.agreement import CONFIDENCE_LEVEL, Estimate, Limits, find_limits

REPEATABILITY_FACTOR = 1.959963984540054 * math.sqrt(2.0)


@dataclass(frozen=True, slots=True)
class ReadingPair:
    """Two readings of one image.

    Attributes:
        case_id: number of the case.
        label: neutral name of the case.
        first_reader: who read first.
        second_reader: who read second.
        first_mm: head circumference of the first reading.
        second_mm: of the second one.
        is_settled: whether a person has settled the difference.
    """

    case_id: int
    label: str
    first_reader: str
    second_reader: str
    first_mm: float
    second_mm: float
    is_settled: bool = False

    @property
    def mean_mm(self) -> float:
        """Mean of both readings."""
        return (self.first_mm + self.second_mm) / 2.0

    @property
    def difference_mm(self) -> float:
        """First minus second reading."""
        return self.first_mm - self.second_mm

    @property
    def difference_percent(self) -> float:
        """Size of the difference as a share of the mean, in percent."""
        return 100.0 * abs(self.difference_mm) / self.mean_mm


@dataclass(frozen=True, slots=True)
class ReaderAgreement:
    """How well pairs of readings agree.

    Attributes:
        pairs: the readings.
        limits: of first minus second reading.
        icc: intraclass correlation ICC(1,1) with its confidence interval, without unit; None below two pairs.
        repeatability_mm: two readings differ by less than this in 95 % of the images; None without a pair.
    """

    pairs: tuple[ReadingPair, ...]
    limits: Limits
    icc: Estimate | None
    repeatability_mm: float | None

    def open_disagreements(self, limit_percent: float) -> list[ReadingPair]:
        """Pairs that differ by more than a limit and that nobody has settled, largest difference first."""
        found = [pair for pair in self.pairs if pair.difference_percent > limit_percent and not pair.is_settled]
        return sorted(found, key=lambda pair: -pair.difference_percent)


def score_readers(pairs: Iterable[ReadingPair]) -> ReaderAgreement:
    """Bland-Altman limits, ICC(1,1) and repeatability of pairs of readings.

    The readers of the pairs may differ from image to image, so the one-way random model is used: every image has its
    own pair of readers.

    Args:
        pairs: one for each image.

    References:
        P. E. Shrout, J. L. Fleiss, Intraclass correlations, Psychol. Bull. 86 (1979), case 1; J. M. Bland, D. G.
        Altman, Measuring agreement in method comparison studies, Stat. Methods Med. Res. 8 (1999).
    """
    known = tuple(pairs)
    if not known:
        return ReaderAgreement((), Limits(), None, None)
    limits = find_limits([pair.difference_mm for pair in known])
    values = np.array([(pair.first_mm, pair.second_mm) for pair in known])
    within = float(np.mean((values[:, 0] - values[:, 1]) ** 2) / 2.0)
    repeatability = REPEATABILITY_FACTOR * math.sqrt(within)
    return ReaderAgreement(known, limits, _icc(values.mean(axis=1), within), repeatability)


def _icc(means_mm: np.ndarray[tuple[int], np.dtype[np.float64]], within: float) -> Estimate | None:
    """ICC(1,1) of two readings per image, with the exact interval of the F distribution.

    Args:
        means_mm: (n,) mean of both readings of each image.
        within: mean square within images, mm^2.
    """
    n = len(means_mm)
    if n < 2:
        return None
    between = 2.0 * float(np.var(means_mm, ddof=1))
    if within == 0.0:
        return Estimate(1.0) if between > 0.0 else None
    ratio, tail = between / within, 0.5 + CONFIDENCE_LEVEL / 2.0
    low = ratio / float(f.ppf(tail, n - 1, n))
    high = ratio * float(f.ppf(tail, n, n - 1))
    return Estimate((ratio - 1.0) / (ratio + 1.0), (low - 1.0) / (low + 1.0), (high - 1.0) / (high + 1.0))
