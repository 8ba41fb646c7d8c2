"""Diagram and table show every compared case and the figures of `hc18.evaluation.agreement`."""

import csv
import io
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pytest
from matplotlib.axes import Axes

from hc18.evaluation.agreement import Agreement, ReviewedHc, score_agreement
from hc18.reports.agreement import AGREEMENT_COLUMNS, agreement_csv, agreement_figure, score_reviews
from hc18.reviews.models import ReviewAction
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import CORRECTED, MODEL_ELLIPSE, PIXEL_SIZE_MM, measurement, new_case

CASES = [
    ReviewedHc("a", 170.0, 170.0, False),
    ReviewedHc("b", 182.0, 180.0, True),
    ReviewedHc("c", 240.0, 243.0, True),
    ReviewedHc("d", None, 200.0, True),
]


def draw(agreement: Agreement) -> tuple[Axes, str]:
    """The diagram and all its text."""
    axes = agreement_figure(agreement).axes[0]
    return axes, "\n".join(text.get_text() for text in axes.texts)


def test_points_are_means_and_differences() -> None:
    axes, _ = draw(score_agreement(CASES))
    points = np.concatenate([np.asarray(collection.get_offsets()) for collection in axes.collections])
    assert sorted(map(tuple, points.tolist())) == [(170.0, 0.0), (181.0, 2.0), (241.5, -3.0)]


def test_accepted_and_corrected_have_marks_and_counts_of_their_own() -> None:
    axes, _ = draw(score_agreement(CASES))
    legend = axes.get_legend()
    assert legend is not None
    assert [text.get_text() for text in legend.get_texts()] == ["1 accepted", "2 corrected"]
    first, second = (collection.get_paths()[0].vertices.shape for collection in axes.collections)
    assert first != second


def test_bias_and_limits_are_written_beside_their_lines() -> None:
    agreement = score_agreement(CASES)
    _, text = draw(agreement)
    assert agreement.limits.bias_mm is not None
    assert agreement.limits.upper_mm is not None
    assert f"Bias: {agreement.limits.bias_mm.value:+.2f} mm" in text
    assert f"+1.96 SD: {agreement.limits.upper_mm.value:+.2f} mm" in text


@pytest.mark.parametrize("n_cases", [1, 2, 3])
def test_few_cases_are_drawn_without_blowing_up_the_axis(n_cases: int) -> None:
    axes, text = draw(score_agreement([CASES[0]] * n_cases))
    low, high = axes.get_ylim()
    assert (low, high) == (-1.0, 1.0)
    assert "SD" not in text


def test_no_case_says_so() -> None:
    assert draw(score_agreement([]))[1] == "No case to compare yet"


def test_pyplot_keeps_no_figure() -> None:
    agreement_figure(score_agreement(CASES))
    assert plt.get_fignums() == []


def test_table_has_the_compared_cases() -> None:
    cases = [*CASES[:2], ReviewedHc("=1+1", 240.0, 243.0, True)]
    text = agreement_csv(score_agreement(cases)).encode().decode("utf-8-sig")
    rows = list(csv.reader(io.StringIO(text, newline="")))
    assert rows == [
        list(AGREEMENT_COLUMNS),
        ["a", "accepted", "170.00", "170.00", "170.00", "0.00"],
        ["b", "corrected", "182.00", "180.00", "181.00", "2.00"],
        ["'=1+1", "corrected", "240.00", "243.00", "241.50", "-3.00"],
    ]


def test_agreement_of_a_store_compares_model_and_reviewer(tmp_path: Path) -> None:
    cases = [new_case(number) for number in range(1, 5)] + [new_case(5, found=measurement(None))]
    with ReviewStore(str(tmp_path / "reviews.db")) as store:
        store.register_cases(cases, "ann")
        store.append(1, 1, ReviewAction.ACCEPT, "ann")
        store.append(2, 1, ReviewAction.CORRECT, "ann", ellipse_px=CORRECTED)
        store.append(3, 1, ReviewAction.REJECT, "ann", reason="no skull")
        store.append(5, 1, ReviewAction.CORRECT, "ann", ellipse_px=CORRECTED)
        agreement = score_reviews(store.rows())
    assert (agreement.n, agreement.n_accepted, agreement.n_corrected, agreement.n_rejected) == (2, 1, 2, 1)
    assert agreement.correction_rate == 0.5
    difference = (MODEL_ELLIPSE.circumference() - CORRECTED.circumference()) * PIXEL_SIZE_MM
    assert [case.difference_mm for case in agreement.differences] == pytest.approx([0.0, difference])
    assert [case.label for case in agreement.worst_cases()] == ["Case 2"]
