"""Agreement of the model's head circumferences with the reviewers': Bland-Altman analysis and correction rate.

An accepted case has a difference of exactly zero, because the reviewer saw the model's ellipse before deciding. The
limits therefore describe how far reviewers moved the model's value, not how two blinded readings differ.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.stats import nct, t

LIMITS_Z = 1.959963984540054  # 97.5 % quantile of the normal distribution: limits that hold 95 % of the differences
CONFIDENCE_LEVEL = 0.95  # of the intervals about bias and limits


@dataclass(frozen=True, slots=True)
class ReviewedHc:
    """The two values of one case that a reviewer accepted or corrected.

    Attributes:
        label: neutral name of the case.
        model_hc_mm: of the model's ellipse; None if it found none or there is no calibration.
        reviewer_hc_mm: of the ellipse that the reviewer left; None without a calibration.
        is_corrected: False if the reviewer accepted the model's ellipse.
    """

    label: str
    model_hc_mm: float | None
    reviewer_hc_mm: float | None
    is_corrected: bool


@dataclass(frozen=True, slots=True)
class HcDifference:
    """One point of the Bland-Altman diagram.

    Attributes:
        label: neutral name of the case.
        model_hc_mm: of the model's ellipse.
        reviewer_hc_mm: of the reviewer's.
        is_corrected: whether the reviewer changed the ellipse.
    """

    label: str
    model_hc_mm: float
    reviewer_hc_mm: float
    is_corrected: bool

    @property
    def mean_mm(self) -> float:
        """Mean of both values, mm: the abscissa."""
        return (self.model_hc_mm + self.reviewer_hc_mm) / 2.0

    @property
    def difference_mm(self) -> float:
        """Model minus reviewer, mm: the ordinate."""
        return self.model_hc_mm - self.reviewer_hc_mm


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with its confidence interval.

    Attributes:
        value: the estimate, mm.
        low: lower end of its 95 % confidence interval, mm; None if too few cases.
        high: upper end, mm; None if too few cases.
    """

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bland-Altman figures of a set of differences.

    Attributes:
        bias_mm: mean difference; None without a difference.
        sd_mm: standard deviation of the differences (n - 1); None below two.
        lower_mm: lower 95 % limit of agreement; None below two differences.
        upper_mm: upper 95 % limit of agreement; None below two differences.
    """

    bias_mm: Estimate | None = None
    sd_mm: float | None = None
    lower_mm: Estimate | None = None
    upper_mm: Estimate | None = None


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement of the model with the reviewers, in figures.

    Attributes:
        differences: the compared cases, in the order given.
        n_accepted: cases whose ellipse was accepted as it was.
        n_corrected: cases whose ellipse was changed, or drawn where the model had none.
        n_rejected: cases in which the reviewer left no ellipse.
        limits: of model minus reviewer.
    """

    differences: tuple[HcDifference, ...]
    n_accepted: int
    n_corrected: int
    n_rejected: int
    limits: Limits

    @property
    def n(self) -> int:
        """Number of compared cases."""
        return len(self.differences)

    @property
    def n_reviewed(self) -> int:
        """Number of decided cases."""
        return self.n_accepted + self.n_corrected + self.n_rejected

    @property
    def correction_rate(self) -> float | None:
        """Share of the decided cases that were corrected, 0 to 1; None without any."""
        return self.n_corrected / self.n_reviewed if self.n_reviewed else None

    @property
    def rejection_rate(self) -> float | None:
        """Share of the decided cases that were rejected, 0 to 1; None without any."""
        return self.n_rejected / self.n_reviewed if self.n_reviewed else None

    def worst_cases(self, limit: int = 10) -> tuple[HcDifference, ...]:
        """The compared cases with the largest absolute difference, largest first; accepted ones are never among them.

        Args:
            limit: how many at most.
        """
        corrected = [case for case in self.differences if case.is_corrected]
        return tuple(sorted(corrected, key=lambda case: -abs(case.difference_mm))[:limit])


def score_agreement(reviewed: Iterable[ReviewedHc], n_rejected: int = 0) -> Agreement:
    """Bias, standard deviation and 95 % limits of agreement of model minus reviewer, with confidence intervals.

    The limits are bias -+ 1.96 SD. The interval of the bias is the one of Student's t. Those of the limits are exact
    for normal differences: bias + 1.96 SD lies between bias + k SD for the `limit_factor` k of 2.5 % and of 97.5 %.

    Args:
        reviewed: accepted and corrected cases; those without both values are counted, not compared.
        n_rejected: number of cases that were rejected.

    References:
        J. M. Bland, D. G. Altman, Measuring agreement in method comparison studies, Stat. Methods Med. Res. 8 (1999);
        A. Carkeet, Exact parametric confidence intervals for Bland-Altman limits of agreement, Optom. Vis.
        Sci. 92 (2015).
    """
    cases = list(reviewed)
    differences = tuple(
        HcDifference(case.label, case.model_hc_mm, case.reviewer_hc_mm, case.is_corrected)
        for case in cases
        if case.model_hc_mm is not None and case.reviewer_hc_mm is not None
    )
    n_corrected = sum(case.is_corrected for case in cases)
    limits = find_limits([case.difference_mm for case in differences])
    return Agreement(differences, len(cases) - n_corrected, n_corrected, n_rejected, limits)


def find_limits(differences_mm: Sequence[float]) -> Limits:
    """Bias, SD and limits of agreement of differences in mm; see `score_agreement`."""
    n = len(differences_mm)
    if n == 0:
        return Limits()
    mean = float(np.mean(differences_mm))
    if n == 1:
        return Limits(Estimate(mean))
    sd = float(np.std(differences_mm, ddof=1))
    tails = (0.5 - CONFIDENCE_LEVEL / 2.0, 0.5 + CONFIDENCE_LEVEL / 2.0)
    half_width = float(t.ppf(tails[1], n - 1)) * sd / math.sqrt(n)
    near, far = (sd * limit_factor(tail, n) for tail in tails)
    return Limits(
        Estimate(mean, mean - half_width, mean + half_width),
        sd,
        Estimate(mean - LIMITS_Z * sd, mean - far, mean - near),
        Estimate(mean + LIMITS_Z * sd, mean + near, mean + far),
    )


def limit_factor(probability: float, n: int, z: float = LIMITS_Z) -> float:
    """The factor k for which mean + k SD of a normal sample exceeds the true mean + z SD with a given probability.

    It is a quantile of the noncentral t distribution with n - 1 degrees of freedom and noncentrality z sqrt(n), over
    sqrt(n): the one-sided tolerance factor.

    Args:
        probability: 0 to 1.
        n: size of the sample, at least 2.
        z: quantile of the normal distribution that the limit stands for.
    """
    root = math.sqrt(n)
    return float(nct.ppf(probability, n - 1, z * root)) / root
