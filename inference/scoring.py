"""Measuring a batch: images and pixel sizes -> submission CSV and a details row for every image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from inference.batch import Batch
from inference.bundled import bundled_model_path, check_checksum
from inference.result_files import write_results
from inference.rows import ScoreRow
from inference.runners import RUNNERS
from inference.settings import RAY, ScoreSettings, divide_labour
from inference.sources import ImageSource, Location, open_source
from inference.summary import ScoreSummary
from inference.work_folder import FOLDER_SUFFIX, WorkFolder
from inference.worker import ScoreWork, crashed_result
from segdata.errors import ConfigError, HeadSegError, raise_problems

__all__ = ["BatchInterrupted", "ScoreSettings", "check_outputs", "score", "score_batch", "score_folder"]


class BatchInterrupted(KeyboardInterrupt):
    """Ctrl-C after results were kept; the message says how to go on."""


def score(
    images: Location, calibration: Location | None = None, settings: ScoreSettings | None = None
) -> Iterator[ScoreRow]:
    """One row per picture, in order, as they are measured on this machine; no file is written.

    Args:
        images: folder, pattern, image or manifest.
        calibration: table of pixel sizes; None if a manifest or the images themselves hold them.
        settings: how.

    Raises:
        HeadSegError: if nothing can be measured.
    """
    settings = settings or ScoreSettings()
    source = open_source(images, calibration)
    model = settings.model or bundled_model_path()
    check_checksum(model)
    labour = divide_labour(settings, source.n_jobs)
    if labour.runner == RAY:
        raise ConfigError(f"the runner '{RAY}' writes files; expected {' or '.join(RUNNERS)}; or use score_batch")
    work = ScoreWork(model, labour.n_threads, settings.min_score)
    with closing(RUNNERS[labour.runner](work, crashed_result, source.jobs(), labour.n_workers)) as results:
        for result in results:
            yield from result.rows


def score_folder(
    images: Location, pixel_sizes: Location | None, submission: Path, details: Path, settings: ScoreSettings
) -> ScoreSummary:
    """Measures all images of a folder or pattern and writes both result files: `score_batch` of them."""
    return score_batch(open_source(images, pixel_sizes), submission, details, settings)


def score_batch(source: ImageSource, submission: Path, details: Path, settings: ScoreSettings) -> ScoreSummary:
    """Measures all images and writes both result files, each as a whole or not at all.

    Finished results are kept in a work folder until then. A batch that ended early, however it ended, is continued with
    `settings.resume` and gives the same files as one that was never interrupted.

    Args:
        source: the images.
        submission: CSV file to write, in the challenge's format and the order of the images; images without millimetres
            have no row.
        details: CSV file to write, a row for every image.
        settings: how.

    Raises:
        HeadSegError: if nothing can be measured, outputs or an unfinished batch exist already, or it cannot go on.
        BatchInterrupted: at Ctrl-C once results are kept.
    """
    started = time.perf_counter()
    model = settings.model or bundled_model_path()
    check_checksum(model)
    work = WorkFolder(settings.work_folder or str(submission.with_name(submission.name + FOLDER_SUFFIX)))
    begun = _read_begun(work, settings)
    may_exist = settings.overwrite or begun is not None
    check_outputs((submission, details), (*source.tables, model), overwrite=may_exist)
    with Batch(source, work, model, settings, begun) as batch:
        if batch.missing and not settings.overwrite:
            check_outputs((submission, details), (), overwrite=False)
        try:
            batch.measure()
            rows = (row for result in batch.read_results() for row in result.rows)
            replaces = settings.overwrite or begun is None
            tally = write_results(rows, submission, details, batch.model_sha256, may_replace=replaces)
        except KeyboardInterrupt as interrupt:
            if not batch.is_begun:
                raise
            raise BatchInterrupted(f"stopped; {batch.how_to_go_on()}") from interrupt
        except HeadSegError as error:
            if not batch.is_begun:
                raise
            raise type(error)(f"{error}\n{batch.how_to_go_on()}", error.problems) from error
        work.remove()
    return ScoreSummary(
        submission=submission,
        details=details,
        tally=tally,
        table_problems=source.problems,
        n_ignored=source.n_ignored,
        n_before=batch.n_rows_before,
        seconds=time.perf_counter() - started,
    )


def check_outputs(outputs: Sequence[Path], inputs: Sequence[Path], *, overwrite: bool) -> None:
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


def _read_begun(work: WorkFolder, settings: ScoreSettings) -> dict[str, str] | None:
    """The settings of the unfinished batch that is to be continued; None if a new one begins.

    Raises:
        ConfigError: if there is one and nothing was said about it.
    """
    begun = work.read_settings()
    if begun is None or settings.resume:
        return begun
    if not settings.overwrite:
        raise ConfigError(
            f"{work.location}: holds an unfinished batch; continue it with --resume, or give it up with --overwrite"
        )
    return None
