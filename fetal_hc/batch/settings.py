"""Settings of a batch, and those that must stay the same when an interrupted batch is continued."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fetal_hc.batch.runners import RUNNERS
from fetal_hc.errors import ConfigError, raise_problems
from fetal_hc.io.storage import is_url, url_problem
from fetal_hc.model.cores import usable_cores

RAY = "ray"
RUNNER_NAMES = (*RUNNERS, RAY)
THREADS = "threads per process"
MAX_THREADS = 256
MAX_WORKERS = 4096  # of a cluster
MAX_WORKERS_PER_CORE = 4  # of this machine
MIN_MAX_WORKERS = 16
# Their numbers may differ in the last digits from version to version.
_COMPUTING_LIBRARIES = ("onnxruntime", "numpy", "scipy", "pillow", "opencv-python-headless", "pydicom", "python-gdcm")


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """Settings of a batch: processes, threads, files; a domain may derive its own.

    Attributes:
        model: ONNX file; the default of the domain if None.
        workers: number of processes; one per usable core, but not more than images, if None.
        threads: threads of the network per process; 1 if None, since two processes are faster than two threads.
        runner: a name of `RUNNER_NAMES`; "serial" for one worker and "pool" for more if None.
        overwrite: whether existing output files may be replaced, and an unfinished batch given up.
        resume: whether to continue an unfinished batch, if there is one.
        checkpoint: path or URL of the checkpoint directory; next to the first result file if None.
        ray_address: Ray cluster to use; one on this machine if None.
        progress: whether to show a progress bar if the error output is a terminal.

    Raises:
        ConfigError: listing every value outside its range.
    """

    model: Path | None = None
    workers: int | None = None
    threads: int | None = None
    runner: str | None = None
    overwrite: bool = False
    resume: bool = False
    checkpoint: str | None = None
    ray_address: str | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        problems = self.find_problems()
        if problems:
            raise_problems(ConfigError, problems, "the batch cannot start")

    def find_problems(self) -> list[str]:
        """What is wrong with the values; a derived class adds its own."""
        problems = []
        here = max(MIN_MAX_WORKERS, MAX_WORKERS_PER_CORE * usable_cores())
        most_workers = MAX_WORKERS if self.runner == RAY else here
        for name, value, largest in (("workers", self.workers, most_workers), ("threads", self.threads, MAX_THREADS)):
            if value is not None and not 1 <= value <= largest:
                problems.append(f"{name} is {value}; expected 1 to {largest}")
        if self.runner is not None and self.runner not in RUNNER_NAMES:
            problems.append(f"runner is '{self.runner}'; expected one of {', '.join(RUNNER_NAMES)}")
        if self.ray_address is not None and self.runner != RAY:
            problems.append(f"a Ray address needs the runner '{RAY}'; add --runner {RAY}")
        if self.checkpoint is not None and is_url(self.checkpoint):
            if self.runner != RAY:
                problems.append(
                    f"a checkpoint directory on remote storage needs the runner '{RAY}'; name a folder of this machine"
                )
            problems.extend(filter(None, [url_problem(self.checkpoint)]))
        return problems


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """The processes that do the work of a batch.

    Attributes:
        runner: a name of `RUNNER_NAMES`.
        n_workers: number of processes; 0 if Ray decides.
        n_threads: threads of the network in each.
    """

    runner: str
    n_workers: int
    n_threads: int


def plan_workers(
    settings: BatchSettings, n_tasks: int, threads_before: int | None = None, *, n_cores: int | None = None
) -> WorkerPlan:
    """Runner, processes and threads: one process with one thread per usable core where nothing else is asked.

    Args:
        settings: what was asked for.
        n_tasks: image files.
        threads_before: threads with which a batch was begun that is continued.
        n_cores: cores to use; those that this process may use if None.
    """
    threads = settings.threads or threads_before
    if settings.runner == RAY:
        return WorkerPlan(RAY, settings.workers or 0, threads or 1)
    cores = n_cores or usable_cores()
    n_workers = min(settings.workers or max(1, cores // (threads or 1)), max(1, n_tasks))
    runner = settings.runner or ("serial" if n_workers == 1 else "pool")
    if runner == "serial":
        n_workers = 1
    return WorkerPlan(runner, n_workers, threads or 1)


def computing_versions() -> dict[str, str]:
    """Versions of the libraries that decide the last digits, by `version of NAME`."""
    return {f"version of {name}": _version(name) for name in _COMPUTING_LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
