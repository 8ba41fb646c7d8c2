"""Fits the checks of an image to measurements of heads and of images without a measurable head.

Everything is judged by patient: the score of an image comes from classifiers that saw no image of its patient. The
limits follow from these scores.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold

from fetal_hc.errors import DatasetError
from hc18.measurement.evidence import ORIGIN_EVIDENCE, PLANE_EVIDENCE
from hc18.measurement.image_checks import ImageChecks, LinearScore

N_FOLDS = 10
MIN_EXAMPLES = 20  # of each kind
# Inverse strengths of the ridge: many weak shapes against few strong figures.
_PLANE_C, _ORIGIN_C = 0.03, 1.0
# Shares of the heads that are refused and flagged for their plane: they decide the limits.
MAX_REFUSED, MAX_FLAGGED = 0.003, 0.02
NO_MIDLINE_SHARE = 0.1  # of the heads whose midline counts as not shown
MAX_UNFAMILIAR_AT_HOME = 0.04


class Kind(StrEnum):
    """What an image shows."""

    HOME = "home"  # a head with an exact reference
    AWAY = "away"  # a head of another hospital
    NO_HEAD = "no_head"  # anything else


@dataclass(frozen=True, slots=True)
class Example:
    """The outline found in one image.

    Attributes:
        name: of the image.
        group: its patient; examples of one are never divided.
        kind: what the image shows.
        evidence: of `find_evidence`.
    """

    name: str
    group: str
    kind: Kind
    evidence: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class FittedScore:
    """One classifier.

    Attributes:
        whole: fitted to all examples.
        folds: fitted without the examples of one fold each.
        fold_of: the fold of each example.
        unseen_odds: log-odds of each example by the classifier that did not see its patient.
    """

    whole: LinearScore
    folds: Sequence[LinearScore]
    fold_of: NDArray[np.int64]
    unseen_odds: NDArray[np.float64]

    def rescaled(self, slope: float, offset: float) -> FittedScore:
        """The same with log-odds that are `slope` times these plus `offset`."""
        folds = [fold.rescaled(slope, offset) for fold in self.folds]
        return FittedScore(self.whole.rescaled(slope, offset), folds, self.fold_of, slope * self.unseen_odds + offset)


@dataclass(frozen=True, slots=True)
class FittedChecks:
    """The checks for a model, and what they say of each example without its patient.

    Attributes:
        checks: fitted to all examples.
        unseen: for each example, the same checks with classifiers that did not see its patient.
    """

    checks: ImageChecks
    unseen: Sequence[ImageChecks]


def fit_image_checks(examples: Sequence[Example]) -> FittedChecks:
    """The checks that tell heads from everything else, and home from elsewhere.

    Args:
        examples: outlines in heads of both kinds and in images without a head.

    Raises:
        DatasetError: if there are too few examples of a kind.
    """
    for kind in Kind:
        count = sum(item.kind == kind for item in examples)
        if count < MIN_EXAMPLES:
            raise DatasetError(f"{count} outlines in images of kind '{kind}'; the checks need at least {MIN_EXAMPLES}")
    plane, refuse_below, flag_below = fit_plane(examples)
    heads = np.array([item.kind != Kind.NO_HEAD for item in examples])
    is_away = np.array([item.kind == Kind.AWAY for item in examples])
    origin = _fit_score(examples, ORIGIN_EVIDENCE, is_away, heads, _ORIGIN_C)
    at_home = origin.unseen_odds[heads & ~is_away]
    unfamiliar = _probability(float(np.quantile(at_home, 1.0 - MAX_UNFAMILIAR_AT_HOME)))
    midlines = [item.evidence["midline"] for item in examples if item.kind != Kind.NO_HEAD]
    limits = (refuse_below, flag_below, float(np.quantile(midlines, NO_MIDLINE_SHARE)))

    def make(plane_score: LinearScore, origin_score: LinearScore) -> ImageChecks:
        return ImageChecks(plane_score, *limits, origin_score, min(max(unfamiliar, 0.05), 0.95))

    folds = [make(*scores) for scores in zip(plane.folds, origin.folds, strict=True)]
    return FittedChecks(make(plane.whole, origin.whole), [folds[fold] for fold in plane.fold_of])


def fit_plane(examples: Sequence[Example]) -> tuple[FittedScore, float, float]:
    """The plane score, and below which score an outline is refused and flagged.

    The score is calibrated such that 0.5 is an even chance where as many outlines lie in heads as elsewhere (Platt
    scaling of the log-odds of unseen examples).

    Args:
        examples: as for `fit_image_checks`; one of both kinds of heads may be missing.
    """
    kinds = np.array([item.kind.value for item in examples])
    is_head = kinds != Kind.NO_HEAD
    fitted = _fit_score(examples, PLANE_EVIDENCE, is_head, np.ones_like(is_head), _PLANE_C)
    platt = LogisticRegression(class_weight="balanced").fit(fitted.unseen_odds[:, None], is_head)
    fitted = fitted.rescaled(float(platt.coef_[0, 0]), float(platt.intercept_[0]))
    refuse, flag = (_limit(fitted.unseen_odds, kinds, share) for share in (MAX_REFUSED, MAX_FLAGGED))
    return fitted, _probability(refuse), _probability(flag)


def _limit(odds: NDArray[np.float64], kinds: NDArray[np.str_], share: float) -> float:
    """The log-odds that at most this share of each kind of head lies below."""
    of_heads = [odds[kinds == kind] for kind in (Kind.HOME, Kind.AWAY) if (kinds == kind).any()]
    return min(float(np.quantile(values, share)) for values in of_heads)


def _fit_score(
    examples: Sequence[Example],
    names: Sequence[str],
    is_positive: NDArray[np.bool_],
    counts: NDArray[np.bool_],
    inverse_ridge: float,
) -> FittedScore:
    """A classifier of the examples that count, and one without each fold of patients."""
    design = np.array([[item.evidence[name] for name in names] for item in examples])
    fold_of = np.zeros(len(examples), dtype=np.int64)
    split = GroupKFold(N_FOLDS, shuffle=True, random_state=0)
    for fold, (_, left_out) in enumerate(split.split(fold_of, groups=[item.group for item in examples])):
        fold_of[left_out] = fold
    chosen = [counts & (fold_of != fold) for fold in range(N_FOLDS)]
    folds = [_fit(names, design[rows], is_positive[rows], inverse_ridge) for rows in chosen]
    odds = [folds[fold].log_odds(item.evidence) for item, fold in zip(examples, fold_of, strict=True)]
    whole = _fit(names, design[counts], is_positive[counts], inverse_ridge)
    return FittedScore(whole, folds, fold_of, np.array(odds))


def _fit(
    names: Sequence[str], design: NDArray[np.float64], is_positive: NDArray[np.bool_], inverse_ridge: float
) -> LinearScore:
    """A logistic regression on standardised numbers in which both classes weigh the same."""
    center, spread = design.mean(axis=0), design.std(axis=0) + 1e-9
    model = LogisticRegression(C=inverse_ridge, class_weight="balanced", max_iter=5000)
    model.fit((design - center) / spread, is_positive)
    weights = model.coef_[0] / spread
    intercept = float(model.intercept_[0] - weights @ center)
    return LinearScore(intercept, dict(zip(names, weights.tolist(), strict=True)))


def _probability(log_odds: float) -> float:
    return LinearScore(log_odds, {}).probability({})
