"""Results of evaluators as a table, a JSON file, and against what a config expects."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from segdata.atomic import write_text_atomic
from segdata.errors import ConfigError, raise_problems

Results = dict[str, dict[str, Any]]


def flatten_results(results: Mapping[str, Any]) -> dict[str, float]:
    """{"segm": {"AP": 50.0}} as {"segm/AP": 50.0}, at any depth."""
    flat: dict[str, float] = {}
    for key, value in results.items():
        if isinstance(value, Mapping):
            flat.update({f"{key}/{name}": number for name, number in flatten_results(value).items()})
        else:
            flat[key] = value
    return flat


def results_table(results: Mapping[str, Any]) -> str:
    """One line per metric, "task/metric  value"; "-" where a metric is not defined."""
    flat = flatten_results(results)
    width = max((len(name) for name in flat), default=0)
    shown = {name: "-" if not math.isfinite(value) else f"{value:.4g}" for name, value in flat.items()}
    return "\n".join(f"{name:<{width}}  {text:>10}" for name, text in shown.items())


def write_results(path: str | Path, results: Mapping[str, Any]) -> None:
    """Writes the nested results as JSON; a metric that is not defined is null."""
    write_text_atomic(path, json.dumps(_without_nan(results), indent=2) + "\n")


def check_metric_choices(names: Sequence[str], best_metric: str, expected: Sequence[Sequence[Any]]) -> None:
    """Makes sure that the metrics a configuration names will be evaluated.

    Args:
        names: all metrics there will be, as "task/metric".
        best_metric: TEST.BEST_METRIC.
        expected: TEST.EXPECTED_RESULTS, rows [task, metric, value, tolerance].

    Raises:
        ConfigError: listing every metric that will not be evaluated and every row of another form.
    """
    problems = []
    if best_metric not in names:
        problems.append(f"TEST.BEST_METRIC: {best_metric!r} will not be evaluated")
    for row in expected:
        if len(row) != 4:
            problems.append(f"TEST.EXPECTED_RESULTS: {list(row)} must be [task, metric, value, tolerance]")
        elif f"{row[0]}/{row[1]}" not in names:
            problems.append(f"TEST.EXPECTED_RESULTS: '{row[0]}/{row[1]}' will not be evaluated")
    if problems:
        raise_problems(ConfigError, problems, f"TEST: metrics are {', '.join(names)}")


def check_expected_results(results: Mapping[str, Any], expected: Sequence[Sequence[Any]]) -> list[str]:
    """One message for every expectation [task, metric, value, tolerance] that the results miss."""
    flat, failures = flatten_results(results), []
    for task, metric, value, tolerance in expected:
        actual = flat.get(f"{task}/{metric}")
        if actual is None or not math.isfinite(actual) or abs(actual - value) > tolerance:
            found = "not evaluated" if actual is None else f"{actual:.6g}"
            failures.append(f"{task}/{metric}: {found}; expected {value} +- {tolerance}")
    return failures


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _without_nan(item) for key, item in value.items()}
    return None if isinstance(value, float) and not math.isfinite(value) else value
