"""Who measures: processes and threads from what was asked for and from the cores there are."""

import pytest

from fetal_hc.batch import settings
from fetal_hc.batch.settings import BatchSettings, WorkerPlan, plan_workers, settings_to_keep


@pytest.mark.parametrize(
    ("asked", "n_jobs", "expected"),
    [
        ({}, 100, ("pool", 4, 1)),
        ({}, 1, ("serial", 1, 4)),
        ({}, 3, ("pool", 3, 1)),
        ({"workers": 2}, 100, ("pool", 2, 2)),
        ({"workers": 1}, 100, ("serial", 1, 4)),
        ({"workers": 8}, 100, ("pool", 8, 1)),
        ({"workers": 2, "runner": "serial"}, 100, ("serial", 1, 4)),
        ({"workers": 1, "runner": "pool"}, 100, ("pool", 1, 4)),
        ({"threads": 2}, 100, ("pool", 2, 2)),
        ({"threads": 8}, 100, ("serial", 1, 8)),
        ({"threads": 3, "workers": 5}, 100, ("pool", 5, 3)),
        ({"runner": "ray"}, 100, ("ray", 0, 1)),
        ({"runner": "ray", "workers": 6, "threads": 2}, 100, ("ray", 6, 2)),
    ],
)
def test_processes_times_threads_are_the_cores(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, object], n_jobs: int, expected: tuple[str, int, int]
) -> None:
    monkeypatch.setattr(settings, "usable_cores", lambda: 4)
    assert plan_workers(BatchSettings(**asked), n_jobs) == WorkerPlan(*expected)  # type: ignore[arg-type]


def test_continued_batch_keeps_its_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(settings, "usable_cores", lambda: 4)
    assert plan_workers(BatchSettings(), 100, threads_before=4) == WorkerPlan("serial", 1, 4)
    assert plan_workers(BatchSettings(workers=3), 100, threads_before=4) == WorkerPlan("pool", 3, 4)


def test_everything_that_decides_the_numbers_is_kept() -> None:
    kept = settings_to_keep("abc", 0.5, 2)
    assert kept["model (SHA-256)"] == "abc"
    assert kept["smallest score"] == "0.5"
    assert kept["threads per process"] == "2"
    assert kept["version of onnxruntime"][0].isdigit()
