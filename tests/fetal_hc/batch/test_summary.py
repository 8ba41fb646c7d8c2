"""What a batch says about itself at the end."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from fetal_hc.batch.summary import BatchSummary, MessageLog, Tally
from fetal_hc.errors import DatasetError
from hc18.measurement.rows import MeasurementRow, RowStatus

SUMMARY = BatchSummary(
    outputs={"submission": Path("s.csv"), "details": Path("d.csv")},
    tally=Tally(
        Counter({RowStatus.OK: 8, RowStatus.NO_HEAD: 2}), MessageLog(["a.png: no_head: x", "b.png: no_head: x"], 2)
    ),
    table_problems=MessageLog(),
    n_ignored=3,
    n_before=0,
    seconds=2.0,
    notice="Research use only.",
)


def test_text_has_counts_speed_files_and_notice() -> None:
    assert SUMMARY.to_text().splitlines() == [
        "measured 8 of 10 images (failed: 2 no_head; other files in the folder: 3)",
        "2.0 s, 5.0 images/s",
        "submission: s.csv",
        "details:    d.csv",
        "Research use only.",
    ]


def test_problem_text_names_the_images() -> None:
    assert SUMMARY.to_problem_text().splitlines()[0] == "not measured: a.png: no_head: x"


def test_speed_is_that_of_this_run() -> None:
    assert replace(SUMMARY, n_before=6).to_text().splitlines()[1] == "2.0 s, 2.0 images/s (6 were finished before)"


def test_long_lists_are_cut() -> None:
    log = MessageLog()
    for n in range(25):
        log.add(f"{n}.png: no_head: x")
    lines = replace(SUMMARY, tally=Tally(Counter(), log)).to_problem_text().splitlines()
    assert len(lines) == 21
    assert lines[-1] == "not measured: 5 more"
    assert len(log.first) == 20


@pytest.mark.parametrize(
    ("unmeasured", "table_problems", "warnings", "expected"),
    [(0, 0, 0, True), (1, 0, 0, False), (0, 1, 0, False), (0, 0, 1, True)],
)
def test_batch_is_complete_without_failures_and_table_problems(
    unmeasured: int, table_problems: int, warnings: int, expected: bool
) -> None:
    tally = Tally(unmeasured=MessageLog(count=unmeasured), warnings=MessageLog(count=warnings))
    summary = replace(SUMMARY, tally=tally, table_problems=MessageLog(count=table_problems))
    assert summary.is_complete is expected


def test_tally_counts_and_keeps_the_reasons_of_failures() -> None:
    tally = Tally()
    tally.add(MeasurementRow("a.png", RowStatus.OK, ""))
    tally.add(MeasurementRow("=b.png", RowStatus.UNREADABLE, "line 1\nline 2"))
    assert tally.counts == {RowStatus.OK: 1, RowStatus.UNREADABLE: 1}
    assert tally.unmeasured.first == ["'=b.png: unreadable: line 1 line 2"]


def test_image_left_out_of_a_result_file_makes_the_batch_incomplete_and_is_named() -> None:
    summary = replace(SUMMARY, tally=Tally(left_out=MessageLog(["s.csv: '=1' has no row"], 1)))
    assert not summary.is_complete
    assert summary.to_problem_text() == "left out: s.csv: '=1' has no row"


def test_tally_comes_back_from_json() -> None:
    tally = SUMMARY.tally
    tally.warnings.add("hc")
    assert Tally.from_json(json.loads(json.dumps(tally.to_json()))) == tally


@pytest.mark.parametrize("values", [{}, {"counts": []}, {"counts": {"ok": "x"}}, {"counts": {}, "unmeasured": 3}])
def test_damaged_tally_is_refused(values: dict[str, object]) -> None:
    with pytest.raises(DatasetError, match="outcome of the batch is damaged"):
        Tally.from_json(values)
