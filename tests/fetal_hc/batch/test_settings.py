"""Who measures: processes and threads from what was asked for and from the cores there are."""

import pytest

from fetal_hc.batch.settings import (
    MAX_WORKERS_PER_CORE,
    MIN_MAX_WORKERS,
    BatchSettings,
    WorkerPlan,
    computing_versions,
    plan_workers,
)
from fetal_hc.errors import ConfigError
from fetal_hc.model.cores import usable_cores

MOST_WORKERS = max(MIN_MAX_WORKERS, MAX_WORKERS_PER_CORE * usable_cores())


@pytest.mark.parametrize(
    ("asked", "n_tasks", "expected"),
    [
        ({}, 100, ("pool", 4, 1)),
        ({}, 1, ("serial", 1, 1)),
        ({}, 3, ("pool", 3, 1)),
        ({"workers": 2}, 100, ("pool", 2, 1)),
        ({"workers": 1}, 100, ("serial", 1, 1)),
        ({"workers": 8}, 100, ("pool", 8, 1)),
        ({"workers": 2, "runner": "serial"}, 100, ("serial", 1, 1)),
        ({"workers": 1, "runner": "pool"}, 100, ("pool", 1, 1)),
        ({"threads": 2}, 100, ("pool", 2, 2)),
        ({"threads": 8}, 100, ("serial", 1, 8)),
        ({"threads": 3, "workers": 5}, 100, ("pool", 5, 3)),
        ({"runner": "ray"}, 100, ("ray", 0, 1)),
        ({"runner": "ray", "workers": 6, "threads": 2}, 100, ("ray", 6, 2)),
    ],
)
def test_default_is_one_thread_per_process_and_a_process_per_core(
    asked: dict[str, object], n_tasks: int, expected: tuple[str, int, int]
) -> None:
    assert plan_workers(BatchSettings(**asked), n_tasks, n_cores=4) == WorkerPlan(*expected)  # type: ignore[arg-type]


def test_continued_batch_keeps_its_threads() -> None:
    assert plan_workers(BatchSettings(), 100, threads_before=4, n_cores=4) == WorkerPlan("serial", 1, 4)
    assert plan_workers(BatchSettings(workers=3), 100, threads_before=4, n_cores=4) == WorkerPlan("pool", 3, 4)


def test_versions_of_the_libraries_that_decide_the_numbers_are_known() -> None:
    assert computing_versions()["version of onnxruntime"][0].isdigit()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"threads": 999_999}, "threads is 999999; expected 1 to 256"),
        ({"workers": 999_999}, f"workers is 999999; expected 1 to {MOST_WORKERS}"),
        ({"workers": 999_999, "runner": "ray"}, "workers is 999999; expected 1 to 4096"),
        ({"checkpoint": "http://169.254.169.254/x", "runner": "ray"}, "'http://169.254.169.254/x' cannot be used"),
    ],
)
def test_numbers_that_would_eat_the_machine_are_refused(asked: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        BatchSettings(**asked)  # type: ignore[arg-type]


def test_there_are_not_more_processes_than_images() -> None:
    assert plan_workers(BatchSettings(workers=8), 3).n_workers == 3
