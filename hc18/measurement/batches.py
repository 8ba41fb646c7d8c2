"""Measuring a batch: images and pixel sizes -> submission CSV and a details row for every image."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from fetal_hc import DISCLAIMER
from fetal_hc.batch.batch import BatchPlan, run_batch
from fetal_hc.batch.runners import RUNNERS
from fetal_hc.batch.settings import RAY, BatchSettings, plan_workers
from fetal_hc.batch.sources import ImageSource, Location
from fetal_hc.batch.summary import BatchSummary, Tally
from fetal_hc.errors import ConfigError
from fetal_hc.model.checksum import check_checksum, file_sha256
from hc18.measurement.head_model import bundled_model_path
from hc18.measurement.pixel_size_rules import TablePixelSize, open_source
from hc18.measurement.result_files import read_finished, write_results
from hc18.measurement.rows import MeasurementRow
from hc18.measurement.worker import MeasureWork


@dataclass(frozen=True)
class MeasureSettings(BatchSettings):
    """Settings of a batch of measurements; the shipped model is the default.

    Attributes:
        min_score: smallest confidence of a detection that counts as a head, 0 to 1; the model's own if None.

    Raises:
        ConfigError: listing every value outside its range.
    """

    min_score: float | None = None

    def find_problems(self) -> list[str]:
        """What is wrong with the values."""
        problems = super().find_problems()
        if self.min_score is not None and not 0.0 <= self.min_score <= 1.0:
            problems.append(f"smallest score is {self.min_score}; expected 0 to 1")
        return problems


def measure_files(
    images: Location, pixel_sizes: Location | None = None, settings: MeasureSettings | None = None
) -> Iterator[MeasurementRow]:
    """One row per picture, in order, as they are measured on this machine; no file is written.

    Args:
        images: folder, pattern, image or manifest.
        pixel_sizes: table of pixel sizes; None if a manifest or the images themselves state them.
        settings: how.

    Raises:
        FetalHCError: if nothing can be measured.
    """
    settings = settings or MeasureSettings()
    source = open_source(images, pixel_sizes)
    model = _checked_model(settings)
    worker_plan = plan_workers(settings, source.n_tasks)
    if worker_plan.runner == RAY:
        raise ConfigError(f"the runner '{RAY}' writes files; expected {' or '.join(RUNNERS)}; or use measure_batch")
    work = MeasureWork(model, worker_plan.n_threads, settings.min_score, file_sha256(model))
    run = RUNNERS[worker_plan.runner]
    with closing(run(work, work.crashed_result, source.tasks(), worker_plan.n_workers)) as results:
        for result in results:
            yield from result.rows


def measure_batch(
    source: ImageSource[TablePixelSize], submission: Path, details: Path, settings: MeasureSettings
) -> BatchSummary:
    """Measures all images and writes both result files, each as a whole or not at all.

    Finished results are kept in a checkpoint directory until then. A batch that ended early, however it ended, is
    continued with `settings.resume` and gives the same files as one that was never interrupted. One that is complete
    stays as it is.

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
    model = _checked_model(settings)
    model_sha256 = file_sha256(model)

    def make_work(n_threads: int) -> MeasureWork:
        return MeasureWork(model, n_threads, settings.min_score, model_sha256)

    plan = BatchPlan(
        make_work=make_work,
        identity={
            "model (SHA-256)": model_sha256,
            "smallest score": "of the model" if settings.min_score is None else repr(settings.min_score),
        },
        outputs={"submission": submission, "details": details},
        write=partial(_write, submission, details),
        read_finished=lambda n_threads: read_finished(source, make_work(n_threads), submission, details),
        notice=DISCLAIMER,
    )
    return run_batch(source, plan, model, settings)


def _write(submission: Path, details: Path, rows: Iterator[MeasurementRow], may_replace: bool) -> Tally:
    return write_results(rows, submission, details, may_replace=may_replace)


def _checked_model(settings: MeasureSettings) -> Path:
    """The model file, which agrees with its checksum if there is one.

    Raises:
        ModelError: if it does not, or there is no model.
    """
    model = settings.model or bundled_model_path()
    check_checksum(model)
    return model
