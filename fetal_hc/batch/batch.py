"""One batch from its jobs to part files that hold all results, begun anew or continued."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any

from tqdm import tqdm

from fetal_hc.batch.checkpoint.checkpoint_directory import CheckpointDirectory
from fetal_hc.batch.checkpoint.job_results import TaskResult
from fetal_hc.batch.checkpoint.shards import Shard, ShardWriter, missing_ranges, read_shard
from fetal_hc.batch.checkpoint.storage_watch import until_storage_is_gone
from fetal_hc.batch.jobs import ImageTask
from fetal_hc.batch.runners import RUNNERS
from fetal_hc.batch.settings import RAY, THREADS, BatchSettings, plan_workers, settings_to_keep
from fetal_hc.batch.sources import ImageSource
from fetal_hc.errors import FetalHCError
from fetal_hc.io.extras import import_scale_library
from fetal_hc.model.checksum import file_sha256
from hc18.measure.worker import MeasureWork, crashed_result


class Batch:
    """A batch and its work folder, which stays locked for the length of a `with` block.

    Attributes:
        missing: the jobs that are not done yet, as ascending ranges.
        is_begun: whether the work folder holds anything worth keeping.
        model_sha256: hex digest of the model.
        n_rows_before: rows that an earlier run had finished.
    """

    def __init__(
        self,
        source: ImageSource,
        work: CheckpointDirectory,
        model: Path,
        settings: BatchSettings,
        begun: dict[str, str] | None,
    ) -> None:
        """Checks an unfinished batch when the block is entered; changes nothing on disk.

        Args:
            source: the images.
            work: where results are kept.
            model: ONNX file.
            settings: how.
            begun: settings of the unfinished batch in `work` that is continued; None if a new one begins.
        """
        threads_before = None if begun is None else int(begun.get(THREADS, "1"))
        self.model_sha256 = file_sha256(model)
        self.is_begun = begun is not None
        self.n_rows_before = 0
        self.missing = [range(source.n_jobs)]
        self._source = source
        self._work = work
        self._model = model
        self._settings = settings
        self._begun = begun
        self._worker_plan = plan_workers(settings, source.n_jobs, threads_before)
        kept = settings_to_keep(self.model_sha256, settings.min_score, self._worker_plan.n_threads)
        self._to_keep = {**kept, **source.identity}
        self._n_done = 0
        self._last_read: str | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Batch:
        """Locks an unfinished batch and finds out what is missing.

        Raises:
            FetalHCError: if it is in use, was begun with other settings, or its images have changed.
        """
        if self._begun is not None:
            with ExitStack() as resources:
                resources.enter_context(self._work.locked())
                self._work.check_settings(self._to_keep, self._begun)
                parts = self._work.find_shards()
                self._resources = resources.pop_all()
            self.missing = missing_ranges(parts, self._source.n_jobs)
            self._note_done(parts)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()

    def measure(self) -> None:
        """Measures what is missing.

        Raises:
            FetalHCError: if that cannot go on; what was finished is kept.
        """
        if not self.missing:
            return
        disable = None if self._settings.progress else True
        with tqdm(
            desc="measuring", total=self._source.n_jobs, initial=self._n_done, unit="img", disable=disable
        ) as bar:
            if self._worker_plan.runner == RAY:
                self._measure_with_ray(bar)
            else:
                self._measure_here(bar)

    def read_results(self) -> Iterator[TaskResult]:
        """All results in order.

        Raises:
            FetalHCError: if one is missing.
        """
        expected = 0
        for part in self._work.list_shards():
            for result in read_shard(part):
                if result.index != expected:
                    break
                expected += 1
                yield result
        if expected != self._source.n_jobs:
            raise FetalHCError(
                f"{self._work.location}: the result of image {expected + 1} of {self._source.n_jobs} is missing; "
                "expected the folder to be the same for all processes, and nobody to change it"
            )

    def how_to_go_on(self) -> str:
        """How much is finished, where it is kept and how to continue."""
        return (
            f"{self._n_done} of {self._source.n_jobs} images are finished and kept in {self._work.location}; "
            "continue with the same command and --resume"
        )

    def _note_done(self, parts: Sequence[Shard]) -> None:
        """Takes over what earlier runs have finished."""
        self._n_done = sum(part.n_jobs for part in parts)
        self.n_rows_before = sum(part.n_rows for part in parts)
        self._last_read = next((part.last_read for part in reversed(parts) if part.last_read is not None), None)

    def _begin(self) -> None:
        """Creates the work folder of a new batch."""
        if not self.is_begun:
            self._resources.enter_context(self._work.locked())
            try:
                self._work.create(self._to_keep)
            except FetalHCError:
                self._work.remove()
                raise
            self.is_begun = True

    def _missing_jobs(self) -> Iterator[ImageTask]:
        """The jobs that are not done yet."""
        stream, position = self._source.jobs(), 0
        for wanted in self.missing:
            yield from islice(stream, wanted.start - position, wanted.stop - position)
            position = wanted.stop

    def _measure_here(self, bar: tqdm[Any]) -> None:
        """By this process or a pool."""
        work = MeasureWork(self._model, self._worker_plan.n_threads, self._settings.min_score)
        run = RUNNERS[self._worker_plan.runner]
        with (
            closing(run(work, crashed_result, self._missing_jobs(), self._worker_plan.n_workers)) as all_results,
            closing(until_storage_is_gone(all_results, self._last_read)) as results,
        ):
            first = next(results)  # before anything is written: a model that cannot be used leaves nothing behind
            self._begin()
            with closing(ShardWriter(Path(self._work.location))) as writer:
                for result in chain([first], results):
                    writer.append(result)
                    self._n_done += 1
                    bar.update()

    def _measure_with_ray(self, bar: tqdm[Any]) -> None:
        """By processes of a Ray cluster, which write the parts themselves."""
        import_scale_library("ray.data", f"--runner {RAY}")
        from fetal_hc.batch.ray_runner import RayPlan, measure_with_ray

        work = MeasureWork(self._model, self._worker_plan.n_threads, self._settings.min_score)
        work()  # a model that cannot be used leaves nothing behind
        self._begin()
        self._work.clear_scratch()
        worker_plan = RayPlan(self._settings.ray_address, self._worker_plan.n_workers, work)
        n_missing = sum(map(len, self.missing))
        folder = self._work.absolute_location()
        with closing(measure_with_ray(self._missing_jobs(), n_missing, folder, worker_plan, self._last_read)) as counts:
            for n_jobs in counts:
                self._n_done += n_jobs
                bar.update(n_jobs)
