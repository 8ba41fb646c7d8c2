"""Measuring a batch: images and pixel sizes -> submission CSV and a details row for every image."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from pathlib import Path

from fetal_hc.batch.batch import Batch
from fetal_hc.batch.checkpoint.checkpoint_directory import FOLDER_SUFFIX, CheckpointDirectory
from fetal_hc.batch.runners import RUNNERS
from fetal_hc.batch.settings import RAY, BatchSettings, plan_workers
from fetal_hc.batch.sources import ImageSource, Location, open_source
from fetal_hc.batch.summary import BatchSummary
from fetal_hc.errors import ConfigError, FetalHCError, raise_problems
from fetal_hc.model.checksum import check_checksum
from hc18.measure.result_files import write_results
from hc18.measure.rows import MeasurementRow
from hc18.measure.shipped_model import bundled_model_path
from hc18.measure.worker import MeasureWork, crashed_result

__all__ = ["BatchInterrupted", "BatchSettings", "check_outputs", "measure_batch", "score", "score_folder"]


class BatchInterrupted(KeyboardInterrupt):
    """Ctrl-C after results were kept; the message says how to go on."""


def score(
    images: Location, calibration: Location | None = None, settings: BatchSettings | None = None
) -> Iterator[MeasurementRow]:
    """One row per picture, in order, as they are measured on this machine; no file is written.

    Args:
        images: folder, pattern, image or manifest.
        calibration: table of pixel sizes; None if a manifest or the images themselves hold them.
        settings: how.

    Raises:
        FetalHCError: if nothing can be measured.
    """
    settings = settings or BatchSettings()
    source = open_source(images, calibration)
    model = settings.model or bundled_model_path()
    check_checksum(model)
    worker_plan = plan_workers(settings, source.n_jobs)
    if worker_plan.runner == RAY:
        raise ConfigError(f"the runner '{RAY}' writes files; expected {' or '.join(RUNNERS)}; or use measure_batch")
    work = MeasureWork(model, worker_plan.n_threads, settings.min_score)
    with closing(RUNNERS[worker_plan.runner](work, crashed_result, source.jobs(), worker_plan.n_workers)) as results:
        for result in results:
            yield from result.rows


def score_folder(
    images: Location, pixel_sizes: Location | None, submission: Path, details: Path, settings: BatchSettings
) -> BatchSummary:
    """Measures all images of a folder or pattern and writes both result files: `measure_batch` of them."""
    return measure_batch(open_source(images, pixel_sizes), submission, details, settings)


def measure_batch(source: ImageSource, submission: Path, details: Path, settings: BatchSettings) -> BatchSummary:
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
        FetalHCError: if nothing can be measured, outputs or an unfinished batch exist already, or it cannot go on.
        BatchInterrupted: at Ctrl-C once results are kept.
    """
    started = time.perf_counter()
    model = settings.model or bundled_model_path()
    check_checksum(model)
    work = CheckpointDirectory(settings.work_folder or str(submission.with_name(submission.name + FOLDER_SUFFIX)))
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
        except FetalHCError as error:
            if not batch.is_begun:
                raise
            raise type(error)(f"{error}\n{batch.how_to_go_on()}", error.problems) from error
        work.remove()
    return BatchSummary(
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


def _read_begun(work: CheckpointDirectory, settings: BatchSettings) -> dict[str, str] | None:
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
