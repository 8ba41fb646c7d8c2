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
# Largest shares of the heads that may be refused and flagged for their plane. A limit is lower where a lower one is
# enough to keep the share of images without a head that pass.
MAX_REFUSED, MAX_FLAGGED = 0.003, 0.02
ENOUGH_MEASURED, ENOUGH_UNFLAGGED = 0.02, 0.003
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
class FittedChecks:
    """The checks for a model, and what they say of each example without its patient.

    Attributes:
        checks: fitted to all examples.
        unseen: for each example, the same checks with classifiers that did not see its patient.
    """

    checks: ImageChecks
    unseen: Sequence[ImageChecks]


def fit_image_checks(examples: Sequence[Example], n_without_outline: int = 0, seed: int = 0) -> FittedChecks:
    """The checks that tell heads from everything else, and home from elsewhere.

    Args:
        examples: outlines in heads of both kinds and in images without a head.
        n_without_outline: images without a head in which no outline was found; they count in the shares.
        seed: decides which patients are left out together.

    Raises:
        DatasetError: if there are too few examples of a kind.
    """
    kinds = np.array([item.kind.value for item in examples])
    for kind in Kind:
        if (count := int((kinds == kind).sum())) < MIN_EXAMPLES:
            raise DatasetError(f"{count} outlines in images of kind '{kind}'; the checks need at least {MIN_EXAMPLES}")
    plane_design, origin_design = (_design(examples, names) for names in (PLANE_EVIDENCE, ORIGIN_EVIDENCE))
    is_head, is_away = kinds != Kind.NO_HEAD, kinds == Kind.AWAY
    fold_of = _folds(examples, seed)
    plane_folds = _cross_fit(plane_design, is_head, np.ones_like(is_head), fold_of, _PLANE_C)
    origin_folds = _cross_fit(origin_design, is_away, is_head, fold_of, _ORIGIN_C)
    plane_odds, origin_odds = (
        np.array([scores[fold].log_odds(item.evidence) for item, fold in zip(examples, fold_of, strict=True)])
        for scores in (plane_folds, origin_folds)
    )
    n_negatives = int((~is_head).sum()) + n_without_outline
    refuse, flag = _limits(plane_odds, kinds, n_negatives)
    slope, offset = _calibration(plane_odds, is_head)
    is_home = kinds == Kind.HOME
    limits = (
        _probability(slope * refuse + offset),
        _probability(slope * flag + offset),
        float(
            np.quantile([item.evidence["midline"] for item in examples if item.kind != Kind.NO_HEAD], NO_MIDLINE_SHARE)
        ),
    )
    unfamiliar = float(
        np.clip(_probability(np.quantile(origin_odds[is_home], 1.0 - MAX_UNFAMILIAR_AT_HOME)), 0.05, 0.5)
    )

    def make(plane: LinearScore, origin: LinearScore) -> ImageChecks:
        return ImageChecks(plane.rescaled(slope, offset), *limits, origin, unfamiliar)

    whole = make(
        _fit(PLANE_EVIDENCE, plane_design, is_head, _PLANE_C),
        _fit(ORIGIN_EVIDENCE, origin_design[is_head], is_away[is_head], _ORIGIN_C),
    )
    folds = [make(plane, origin) for plane, origin in zip(plane_folds, origin_folds, strict=True)]
    return FittedChecks(whole, [folds[fold] for fold in fold_of])


def _design(examples: Sequence[Example], names: Sequence[str]) -> NDArray[np.float64]:
    return np.array([[item.evidence[name] for name in names] for item in examples])


def _folds(examples: Sequence[Example], seed: int) -> NDArray[np.int64]:
    """The fold of each example; those of one patient share it."""
    fold_of = np.zeros(len(examples), dtype=np.int64)
    split = GroupKFold(N_FOLDS, shuffle=True, random_state=seed)
    for fold, (_, left_out) in enumerate(split.split(fold_of, groups=[item.group for item in examples])):
        fold_of[left_out] = fold
    return fold_of


def _cross_fit(
    design: NDArray[np.float64],
    is_positive: NDArray[np.bool_],
    counts: NDArray[np.bool_],
    fold_of: NDArray[np.int64],
    inverse_ridge: float,
) -> list[LinearScore]:
    """One classifier per fold, fitted to the examples of the others that count."""
    names = PLANE_EVIDENCE if design.shape[1] == len(PLANE_EVIDENCE) else ORIGIN_EVIDENCE
    chosen = [counts.astype(bool) & (fold_of != fold) for fold in range(N_FOLDS)]
    return [_fit(names, design[rows], is_positive[rows], inverse_ridge) for rows in chosen]


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


def _limits(odds: NDArray[np.float64], kinds: NDArray[np.str_], n_negatives: int) -> tuple[float, float]:
    """Log-odds below which an outline is refused, and below which it is flagged."""
    of_negatives = np.sort(odds[kinds == Kind.NO_HEAD])[::-1]

    def limit(max_share: float, enough: float) -> float:
        allowed = min(float(np.quantile(odds[kinds == kind], max_share)) for kind in (Kind.HOME, Kind.AWAY))
        passing = int(enough * n_negatives)
        needed = float(of_negatives[passing]) + 1e-6 if passing < len(of_negatives) else -np.inf
        return max(min(allowed, needed), float(odds.min()) - 1.0)

    refuse, flag = limit(MAX_REFUSED, ENOUGH_MEASURED), limit(MAX_FLAGGED, ENOUGH_UNFLAGGED)
    return refuse, max(refuse, flag)


def _calibration(odds: NDArray[np.float64], is_head: NDArray[np.bool_]) -> tuple[float, float]:
    """Slope and offset that make log-odds of unseen examples those of an even chance of a head (Platt scaling)."""
    model = LogisticRegression(C=1.0, class_weight="balanced").fit(odds[:, None], is_head)
    return float(model.coef_[0, 0]), float(model.intercept_[0])


def _probability(log_odds: float) -> float:
    return LinearScore(log_odds, {}).probability({})
