"""What a batch says about itself at the end."""

from dataclasses import replace
from pathlib import Path

import pytest

from inference.rows import RowStatus, ScoreRow
from inference.summary import DISCLAIMER, ScoreSummary, Tally

SUMMARY = ScoreSummary(
    submission=Path("s.csv"),
    details=Path("d.csv"),
    counts={RowStatus.OK: 8, RowStatus.NO_HEAD: 2},
    unmeasured=("a.png: no_head: nothing detected", "b.png: no_head: nothing detected"),
    table_problems=(),
    warnings=(),
    n_ignored=3,
    seconds=2.0,
)


def test_text_has_counts_speed_files_and_disclaimer() -> None:
    assert SUMMARY.to_text().splitlines() == [
        "measured 8 of 10 images (failed: 2 no_head; other files in the folder: 3)",
        "2.0 s, 5.0 images/s",
        "submission: s.csv",
        "details:    d.csv",
        DISCLAIMER,
    ]


def test_problem_text_names_the_images() -> None:
    assert SUMMARY.to_problem_text().splitlines()[0] == "not measured: a.png: no_head: nothing detected"


def test_long_lists_are_cut() -> None:
    summary = replace(SUMMARY, unmeasured=tuple(f"{n}.png: no_head: x" for n in range(25)))
    lines = summary.to_problem_text().splitlines()
    assert len(lines) == 21
    assert lines[-1] == "not measured: 5 more"


@pytest.mark.parametrize(
    ("unmeasured", "table_problems", "warnings", "expected"),
    [((), (), (), True), (("a: b",), (), (), False), ((), ("p",), (), False), ((), (), ("w",), True)],
)
def test_batch_is_complete_without_failures_and_table_problems(
    unmeasured: tuple[str, ...], table_problems: tuple[str, ...], warnings: tuple[str, ...], expected: bool
) -> None:
    summary = replace(SUMMARY, unmeasured=unmeasured, table_problems=table_problems, warnings=warnings)
    assert summary.is_complete is expected


def test_tally_counts_and_keeps_the_reasons_of_failures() -> None:
    tally = Tally()
    tally.add(ScoreRow("a.png", RowStatus.OK, ""))
    tally.add(ScoreRow("=b.png", RowStatus.UNREADABLE, "line 1\nline 2"))
    assert tally.counts == {RowStatus.OK: 1, RowStatus.UNREADABLE: 1}
    assert tally.unmeasured == ["'=b.png: unreadable: line 1 line 2"]
