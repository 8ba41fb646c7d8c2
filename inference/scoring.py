"""Measuring a batch: images and pixel sizes -> submission CSV and a details row for every image."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import dataclass
from itertools import chain
from pathlib import Path

from tqdm import tqdm

from hc18.ellipse import Ellipse
from hc18.problems import fatal_problems
from hc18.submission import check_submission, write_submission
from inference.bundled import bundled_model_path, check_checksum, file_sha256
from inference.cores import usable_cores
from inference.details import DetailsWriter, open_details
from inference.jobs import plan_jobs
from inference.rows import RowStatus, ScoreRow
from inference.runners import RUNNERS, Runner
from inference.summary import ScoreSummary, Tally
from inference.worker import ScoreWork, crashed_row
from segdata.atomic import atomic_path
from segdata.errors import ConfigError, HeadSegError, raise_problems


@dataclass(frozen=True, slots=True)
class ScoreSettings:
    """How a batch is measured.

    Attributes:
        model: ONNX file; the shipped model if None.
        workers: number of processes; one per usable core, but not more than images, if None.
        runner: a name of `RUNNERS`; "serial" for one worker and "pool" for more if None.
        min_score: smallest confidence of a detection that counts as a head, 0 to 1.
        overwrite: whether existing output files may be replaced.
        progress: whether to show a progress bar if the error output is a terminal.

    Raises:
        ConfigError: listing every value outside its range.
    """

    model: Path | None = None
    workers: int | None = None
    runner: str | None = None
    min_score: float = 0.5
    overwrite: bool = False
    progress: bool = False

    def __post_init__(self) -> None:
        problems = []
        if self.workers is not None and self.workers < 1:
            problems.append(f"workers is {self.workers}; expected at least 1")
        if self.runner is not None and self.runner not in RUNNERS:
            problems.append(f"runner is '{self.runner}'; expected one of {', '.join(RUNNERS)}")
        if not 0.0 <= self.min_score <= 1.0:
            problems.append(f"smallest score is {self.min_score}; expected 0 to 1")
        if problems:
            raise_problems(ConfigError, problems, "scoring cannot start")


def score_folder(
    images: str | os.PathLike[str],
    pixel_sizes: str | os.PathLike[str],
    submission: Path,
    details: Path,
    settings: ScoreSettings,
) -> ScoreSummary:
    """Measures all images of a folder and writes both result files, each as a whole or not at all.

    Args:
        images: folder of the images.
        pixel_sizes: CSV file in the layout of HC18: file name and mm per pixel.
        submission: CSV file to write, in the challenge's format and the table's order; images without millimetres
            have no row.
        details: CSV file to write, a row for every image of the folder and the table.
        settings: how.

    Raises:
        HeadSegError: if nothing can be measured: no images, no table, no usable model, outputs that cannot be written
            or exist already.
    """
    started = time.perf_counter()
    model = settings.model or bundled_model_path()
    check_outputs((submission, details), inputs=(Path(pixel_sizes), model), overwrite=settings.overwrite)
    check_checksum(model)
    plan = plan_jobs(images, pixel_sizes)
    runner, n_workers, n_threads = _division_of_labour(settings, len(plan.jobs))
    work = ScoreWork(model, n_threads, settings.min_score)
    with closing(runner(work, crashed_row, plan.jobs, n_workers)) as rows:
        first = next(rows)  # before any output is opened: a model that cannot be used leaves nothing behind
        with open_details(details, file_sha256(model)) as writer, atomic_path(submission) as temporary:
            disable = None if settings.progress else True
            bar = tqdm(chain([first], rows), "measuring", len(plan.jobs), unit="img", disable=disable)
            tally, ellipses_mm = _collect(bar, writer)
            write_submission(temporary, ellipses_mm, plan.table_names)
            warnings = _check_written(temporary, submission, [name for name in plan.table_names if name in ellipses_mm])
    seconds = time.perf_counter() - started
    return ScoreSummary(
        submission=submission,
        details=details,
        counts=dict(tally.counts),
        unmeasured=tuple(tally.unmeasured),
        table_problems=plan.table_problems,
        warnings=tuple(warnings),
        n_ignored=plan.n_ignored,
        seconds=seconds,
    )


def check_outputs(outputs: tuple[Path, ...], inputs: tuple[Path, ...], *, overwrite: bool) -> None:
    """Returns if the output files are different from each other and from the inputs, and new or to be replaced.

    Raises:
        ConfigError: listing every conflict.
    """
    problems = []
    taken = {path.resolve() for path in inputs}
    for path in outputs:
        if path.resolve() in taken:
            problems.append(f"{path}: is an input or another output as well; choose another name")
        elif path.exists() and not overwrite:
            problems.append(f"{path}: exists already; choose another name or add --overwrite")
        taken.add(path.resolve())
    if problems:
        raise_problems(ConfigError, problems, "output files")


def _division_of_labour(settings: ScoreSettings, n_jobs: int) -> tuple[Runner, int, int]:
    """Runner, number of processes and threads per process; processes x threads = usable cores."""
    cores = usable_cores()
    n_workers = settings.workers or min(cores, n_jobs)
    name = settings.runner or ("serial" if n_workers == 1 else "pool")
    if name == "serial":
        n_workers = 1
    return RUNNERS[name], n_workers, max(1, cores // n_workers)


def _collect(rows: Iterable[ScoreRow], writer: DetailsWriter) -> tuple[Tally, dict[str, Ellipse]]:
    """Writes the rows as they come; their counts, and the ellipse in mm of every measured image."""
    tally = Tally()
    ellipses_mm = {}
    for row in rows:
        writer.write(row)
        tally.add(row)
        if row.status == RowStatus.OK and row.ellipse_mm is not None:
            ellipses_mm[row.file_name] = row.ellipse_mm
    return tally, ellipses_mm


def _check_written(temporary: Path, submission: Path, names: list[str]) -> list[str]:
    """Warnings about implausible rows of a submission that was just written.

    Raises:
        HeadSegError: if it is not valid, which is a mistake of this program.
    """
    problems = check_submission(temporary, names)
    messages = [problem.message.replace(str(temporary), str(submission)) for problem in problems]
    if fatal_problems(problems):
        raise_problems(HeadSegError, messages, f"{submission} would not be valid and was not written; please report")
    return messages
