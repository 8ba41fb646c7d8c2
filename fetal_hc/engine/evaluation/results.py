"""Results of evaluators as a table, a JSON file, and against what a config expects."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fetal_hc.errors import ConfigError, raise_problems
from fetal_hc.io.atomic import write_text_atomic

Results = dict[str, dict[str, Any]]
COLUMNS = 6


def details_path(output_dir: str | Path, task: str, dataset: str, suffix: str = "csv") -> Path:
    """File with the results of one task for every image of the dataset of that name."""
    return Path(output_dir) / f"{task}_{dataset}.{suffix}"


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
    """Metrics in columns, each task on lines of its own; "-" where a metric is not defined."""
    cells: dict[str, list[str]] = {}
    for name, value in flatten_results(results).items():
        task, _, metric = name.rpartition("/")
        cells.setdefault(task, []).append(f"{metric} {value:.4g}" if math.isfinite(value) else f"{metric} -")
    task_width = max((len(task) for task in cells), default=0)
    cell_width = max((len(cell) for row in cells.values() for cell in row), default=0)
    lines = []
    for task, row in cells.items():
        for start in range(0, len(row), COLUMNS):
            padded = "  ".join(f"{cell:<{cell_width}}" for cell in row[start : start + COLUMNS])
            lines.append(f"{task:<{task_width}}  {padded}".rstrip())
    return "\n".join(lines)


def write_results(path: str | Path, results: Mapping[str, Any]) -> None:
    """Writes the nested results as JSON; a metric that is not defined is null."""
    write_text_atomic(path, json.dumps(_without_nan(results), indent=2) + "\n")


def check_metric_choices(names: Sequence[str], best_metric: str | None, expected: Sequence[Sequence[Any]]) -> None:
    """Makes sure that the metrics a configuration names will be evaluated.

    Args:
        names: all metrics there will be, as "task/metric".
        best_metric: TEST.BEST_METRIC; None where no best model is chosen.
        expected: TEST.EXPECTED_RESULTS, rows [task, metric, value, tolerance].

    Raises:
        ConfigError: listing every metric that will not be evaluated and every row of another form.
    """
    problems = []
    if best_metric is not None and best_metric not in names:
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
