"""How a batch is measured, and what of it must stay the same when an interrupted batch is continued."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from fetal_hc.batch.runners import RUNNERS
from fetal_hc.errors import ConfigError, raise_problems
from fetal_hc.model.cores import usable_cores
from hc18.measure.outline import MIN_SCORE

RAY = "ray"
RUNNER_NAMES = (*RUNNERS, RAY)
THREADS = "threads per process"
# Their numbers may differ in the last digits from version to version.
_COMPUTING_LIBRARIES = ("onnxruntime", "numpy", "scipy", "pillow", "opencv-python-headless", "pydicom", "python-gdcm")


@dataclass(frozen=True, slots=True)
class BatchSettings:
    """How a batch is measured.

    Attributes:
        model: ONNX file; the shipped model if None.
        workers: number of processes; one per usable core, but not more than images, if None.
        threads: threads of the network per process; the usable cores divided by the workers if None.
        runner: a name of `RUNNER_NAMES`; "serial" for one worker and "pool" for more if None.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1.
        overwrite: whether existing output files may be replaced, and an unfinished batch given up.
        resume: whether to continue an unfinished batch, if there is one.
        work_folder: path or URL of the unfinished batch; beside the submission if None.
        ray_address: Ray cluster to use; one on this machine if None.
        progress: whether to show a progress bar if the error output is a terminal.

    Raises:
        ConfigError: listing every value outside its range.
    """

    model: Path | None = None
    workers: int | None = None
    threads: int | None = None
    runner: str | None = None
    min_score: float = MIN_SCORE
    overwrite: bool = False
    resume: bool = False
    work_folder: str | None = None
    ray_address: str | None = None
    progress: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.workers is not None and self.workers < 1:
            problems.append(f"workers is {self.workers}; expected at least 1")
        if self.threads is not None and self.threads < 1:
            problems.append(f"threads is {self.threads}; expected at least 1")
        if self.runner is not None and self.runner not in RUNNER_NAMES:
            problems.append(f"runner is '{self.runner}'; expected one of {', '.join(RUNNER_NAMES)}")
        if not 0.0 <= self.min_score <= 1.0:
            problems.append(f"smallest score is {self.min_score}; expected 0 to 1")
        if self.ray_address is not None and self.runner != RAY:
            problems.append(f"a Ray address needs the runner '{RAY}'; add --runner {RAY}")
        if self.work_folder is not None and "://" in self.work_folder and self.runner != RAY:
            problems.append(f"a work folder on remote storage needs the runner '{RAY}'; name a folder of this machine")
        if problems:
            raise_problems(ConfigError, problems, "scoring cannot start")


@dataclass(frozen=True, slots=True)
class WorkerPlan:
    """Who measures.

    Attributes:
        runner: a name of `RUNNER_NAMES`.
        n_workers: number of processes; 0 if Ray decides.
        n_threads: threads of the network in each.
    """

    runner: str
    n_workers: int
    n_threads: int


def plan_workers(settings: BatchSettings, n_jobs: int, threads_before: int | None = None) -> WorkerPlan:
    """Runner, processes and threads, such that processes x threads = usable cores where nothing else is asked.

    Args:
        settings: what was asked for.
        n_jobs: images to measure.
        threads_before: threads with which a batch was begun that is continued.
    """
    threads = settings.threads or threads_before
    if settings.runner == RAY:
        return WorkerPlan(RAY, settings.workers or 0, threads or 1)
    cores = usable_cores()
    n_workers = settings.workers or max(1, min(cores // (threads or 1), n_jobs))
    runner = settings.runner or ("serial" if n_workers == 1 else "pool")
    if runner == "serial":
        n_workers = 1
    return WorkerPlan(runner, n_workers, threads or max(1, cores // n_workers))


def settings_to_keep(model_sha256: str, min_score: float, n_threads: int) -> dict[str, str]:
    """What decides the numbers of a batch, apart from its images: texts by name."""
    return {
        "model (SHA-256)": model_sha256,
        "smallest score": repr(min_score),
        THREADS: str(n_threads),
        **computing_versions(),
    }


def computing_versions() -> dict[str, str]:
    """Versions of the libraries that decide the last digits, by `version of NAME`."""
    return {f"version of {name}": _version(name) for name in _COMPUTING_LIBRARIES}


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "unknown"
