"""Results as table, file and check."""

import json
import math
from pathlib import Path

import pytest

from fetal_hc.engine.evaluation.results import (
    check_expected_results,
    check_metric_choices,
    flatten_results,
    results_table,
    write_results,
)
from fetal_hc.errors import ConfigError

RESULTS = {"bbox": {"AP": 51.234567, "APs": math.nan}, "hc": {"ADF_mean": 1.9}}


def test_flat_names_join_task_and_metric() -> None:
    assert flatten_results({"val": {"hc": {"DF": 1.0}}}) == {"val/hc/DF": 1.0}


def test_table_gives_every_task_its_lines_and_marks_what_is_undefined() -> None:
    many = {"hc": {f"m{number}": float(number) for number in range(8)}}
    assert [line.split() for line in results_table({**RESULTS, **many}).splitlines()] == [
        ["bbox", "AP", "51.23", "APs", "-"],
        ["hc", "m0", "0", "m1", "1", "m2", "2", "m3", "3", "m4", "4", "m5", "5"],
        ["hc", "m6", "6", "m7", "7"],
    ]


def test_file_holds_null_where_a_metric_is_undefined(tmp_path: Path) -> None:
    write_results(tmp_path / "results.json", RESULTS)
    assert json.loads((tmp_path / "results.json").read_text())["bbox"] == {"AP": 51.234567, "APs": None}


def test_results_within_tolerance_pass() -> None:
    assert check_expected_results(RESULTS, [["bbox", "AP", 51.0, 0.5], ["hc", "ADF_mean", 2.0, 0.2]]) == []


@pytest.mark.parametrize(
    ("expected", "message"),
    [
        (["bbox", "AP", 53.0, 0.5], "bbox/AP: 51.2346; expected 53.0 +- 0.5"),
        (["bbox", "APs", 53.0, 0.5], "bbox/APs: nan; expected 53.0 +- 0.5"),
        (["segm", "AP", 53.0, 0.5], "segm/AP: not evaluated; expected 53.0 +- 0.5"),
    ],
)
def test_missed_expectation_is_reported(expected: list[object], message: str) -> None:
    assert check_expected_results(RESULTS, [expected]) == [message]


def test_metrics_that_will_not_be_evaluated_are_all_listed() -> None:
    expected = [["bbox", "AP", 50.0], ["segm", "AP", 50.0, 1.0], ["bbox", "AP", 50.0, 1.0]]
    with pytest.raises(ConfigError) as caught:
        check_metric_choices(["bbox/AP", "hc/DF_mean"], "hc/DF", expected)
    assert caught.value.problems == (
        "TEST.BEST_METRIC: 'hc/DF' will not be evaluated",
        "TEST.EXPECTED_RESULTS: ['bbox', 'AP', 50.0] must be [task, metric, value, tolerance]",
        "TEST.EXPECTED_RESULTS: 'segm/AP' will not be evaluated",
    )


def test_evaluated_metrics_are_accepted() -> None:
    check_metric_choices(["bbox/AP", "hc/DF_mean"], "hc/DF_mean", [["bbox", "AP", 50.0, 1.0]])


def test_no_best_metric_is_needed_where_no_model_is_chosen() -> None:
    check_metric_choices(["a/bbox/AP", "b/bbox/AP"], None, [])
