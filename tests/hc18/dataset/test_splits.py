"""Folds grouped by examination and balanced by head circumference."""

from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from fetal_hc.errors import ConfigError
from hc18.dataset.splits import grouped_stratified_folds, write_folds


@dataclass(frozen=True)
class Labelled:
    filename: str
    examination: str
    hc_mm: float


def make_cases(n_examinations: int = 203) -> list[Labelled]:
    """Examinations of one to three images of nearly the same head, shuffled."""
    rng = np.random.default_rng(3)
    cases = []
    for number in range(n_examinations):
        hc_mm = rng.uniform(44, 346)
        for image in range(rng.integers(1, 4)):
            name = f"{number:03d}_{image}HC.png"
            cases.append(Labelled(name, f"{number:03d}", float(hc_mm * rng.normal(1.0, 0.01))))
    return [cases[index] for index in rng.permutation(len(cases))]


CASES = make_cases()


def test_every_image_has_one_fold_in_range() -> None:
    folds = grouped_stratified_folds(CASES, 5)
    assert list(folds) == [case.filename for case in CASES]
    assert set(folds.values()) == {0, 1, 2, 3, 4}


@pytest.mark.parametrize("seed", range(5))
def test_no_examination_is_in_two_folds(seed: int) -> None:
    folds = grouped_stratified_folds(CASES, 5, seed)
    folds_of_examination = defaultdict(set)
    for case in CASES:
        folds_of_examination[case.examination].add(folds[case.filename])
    assert all(len(found) == 1 for found in folds_of_examination.values())


@pytest.mark.parametrize("seed", range(5))
def test_folds_have_equal_sizes_and_equal_heads(seed: int) -> None:
    folds = grouped_stratified_folds(CASES, 5, seed)
    hc_mm = [[case.hc_mm for case in CASES if folds[case.filename] == fold] for fold in range(5)]
    sizes = [len(values) for values in hc_mm]
    assert max(sizes) - min(sizes) <= 2
    for quantile in (0.1, 0.5, 0.9):  # five random folds of these cases differ by up to 100 mm
        values = [np.quantile(fold, quantile) for fold in hc_mm]
        assert max(values) - min(values) < 20.0


def test_split_does_not_depend_on_the_order_of_the_cases() -> None:
    assert grouped_stratified_folds(CASES[::-1], 5) == grouped_stratified_folds(CASES, 5)


def test_another_seed_gives_another_split() -> None:
    assert grouped_stratified_folds(CASES, 5, seed=1) != grouped_stratified_folds(CASES, 5, seed=0)


def test_split_is_the_same_on_every_machine() -> None:
    cases = [Labelled(f"{number}.png", str(number), 50.0 + number) for number in range(8)]
    assert list(grouped_stratified_folds(cases, 4, seed=0).values()) == [2, 1, 0, 3, 0, 2, 1, 3]


@pytest.mark.parametrize("n_folds", [-1, 0, 1, 4])
def test_impossible_number_of_folds_is_refused(n_folds: int) -> None:
    cases = [Labelled(f"{number}.png", str(number), 50.0) for number in range(3)]
    with pytest.raises(ConfigError, match=f"n_folds is {n_folds}; expected 2 to 3, the number of examinations"):
        grouped_stratified_folds(cases, n_folds)


def test_folds_are_saved_one_row_per_image(tmp_path: Path) -> None:
    cases = [Labelled("a.png", "1", 50.25), Labelled("b.png", "2", 60.0)]
    write_folds(tmp_path / "folds.csv", cases, {"a.png": 1, "b.png": 0})
    expected = b"filename,examination,hc_mm,fold\na.png,1,50.25,1\nb.png,2,60.0,0\n"
    assert (tmp_path / "folds.csv").read_bytes() == expected
