"""Folds for cross-validation: no examination in two folds, every fold with the same range of head sizes."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Mapping, Sequence
from statistics import fmean
from typing import Protocol

from fetal_hc.errors import ConfigError
from fetal_hc.io.records import draw_key
from fetal_hc.io.tables import write_csv

FOLD_COLUMNS = ("filename", "examination", "hc_mm", "fold")


class FoldItem(Protocol):
    """The properties of an image that decide its fold."""

    @property
    def filename(self) -> str:
        """Unique file name."""

    @property
    def examination(self) -> str:
        """Images of one examination stay together."""

    @property
    def hc_mm(self) -> float:
        """Head circumference in mm, by which folds are balanced."""


def grouped_stratified_folds(cases: Sequence[FoldItem], n_folds: int, seed: int = 0) -> dict[str, int]:
    """Fold in [0, n_folds) of every file name, in the order of `cases`.

    Examinations are sorted by their mean HC and cut into strata of `n_folds` neighbours; each stratum gives every fold
    one examination. Within a stratum the fold with the fewest images so far takes the examination with the most; ties
    are broken by a hash of the seed, so that a split is the same on every machine and for every library version.

    Args:
        cases: labelled images.
        n_folds: at least 2 and at most the number of examinations.
        seed: another seed gives another, equally balanced split.

    Raises:
        ConfigError: if `n_folds` is out of range.
    """
    examinations: dict[str, list[FoldItem]] = defaultdict(list)
    for case in cases:
        examinations[case.examination].append(case)
    if not 2 <= n_folds <= len(examinations):
        raise ConfigError(f"n_folds is {n_folds}; expected 2 to {len(examinations)}, the number of examinations")

    ranked = sorted(examinations, key=lambda name: (fmean(case.hc_mm for case in examinations[name]), name))
    n_images = [0] * n_folds
    fold_of: dict[str, int] = {}
    for start in range(0, len(ranked), n_folds):
        stratum = sorted(
            ranked[start : start + n_folds], key=lambda name: (-len(examinations[name]), draw_key(seed, name))
        )
        folds = sorted(range(n_folds), key=lambda fold: (n_images[fold], draw_key(seed, f"{start}/{fold}")))
        for name, fold in zip(stratum, folds, strict=False):  # the last stratum may be short
            fold_of[name] = fold
            n_images[fold] += len(examinations[name])
    return {case.filename: fold_of[case.examination] for case in cases}


def write_folds(path: str | os.PathLike[str], cases: Sequence[FoldItem], folds: Mapping[str, int]) -> None:
    """Writes the split as CSV with the columns `FOLD_COLUMNS`, one row per image, atomically.

    Raises:
        FetalHCError: if `path` cannot be written.
    """
    rows = ((case.filename, case.examination, case.hc_mm, folds[case.filename]) for case in cases)
    write_csv(path, FOLD_COLUMNS, rows)
