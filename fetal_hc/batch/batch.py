"""One batch from its tasks to its result files, begun or continued."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from types import TracebackType
from typing import Any, Generic

from tqdm import tqdm

from fetal_hc.batch.checkpoint.checkpoint_directory import FOLDER_SUFFIX, CheckpointDirectory, Header
from fetal_hc.batch.checkpoint.shards import CheckpointGoneError, Shard, ShardWriter, missing_ranges, read_shard
from fetal_hc.batch.checkpoint.storage_watch import until_storage_is_gone
from fetal_hc.batch.runners import RUNNERS
from fetal_hc.batch.settings import MAX_THREADS, RAY, THREADS, BatchSettings, computing_versions, plan_workers
from fetal_hc.batch.sources import ImageSource
from fetal_hc.batch.summary import BatchSummary, Tally
from fetal_hc.batch.tasks import Facts, ImageTask, RowT, TaskResult
from fetal_hc.batch.work import BatchWork
from fetal_hc.errors import ConfigError, DatasetError, FetalHCError, raise_problems
from fetal_hc.io.atomic import remove_stale_temporaries
from fetal_hc.io.extras import import_scale_library


class BatchInterrupted(KeyboardInterrupt):
    """Ctrl-C after results were kept; the message says how to continue."""


@dataclass(frozen=True, slots=True)
class BatchPlan(Generic[Facts, RowT]):
    """The work, files and checks that a domain gives to a batch.

    Attributes:
        make_work: the work of a process with so many threads.
        identity: what decides the rows, apart from the images, the threads and the libraries: texts by name.
        outputs: the result files by what the summary calls them; the checkpoint directory lies next to the first.
        write: writes them from all rows, each as a whole or not at all; its second argument says whether existing files
            may be replaced by different ones.
        read_finished: what became of this batch, if the result files that exist are complete and those of exactly this
            batch; else how they differ. Its argument is the threads of a process.
        notice: last line of the summary; empty for none.
    """

    make_work: Callable[[int], BatchWork[Facts, RowT]]
    identity: Mapping[str, str]
    outputs: Mapping[str, Path]
    write: Callable[[Iterator[RowT], bool], Tally]
    read_finished: Callable[[int], Tally | str]
    notice: str = ""


def run_batch(
    source: ImageSource[Facts], plan: BatchPlan[Facts, RowT], model: Path, settings: BatchSettings
) -> BatchSummary:
    """Processes all images and writes the result files.

    Finished results are kept in a checkpoint directory until then. A batch that ended early, however it ended, is
    continued with `settings.resume` and gives the same files as one that was never interrupted. One that is complete
    stays as it is.

    Args:
        source: the images.
        plan: what to do with them.
        model: the model file.
        settings: how.

    Raises:
        FetalHCError: if nothing can be processed, result files or an unfinished batch exist, or it cannot go on.
        BatchInterrupted: at Ctrl-C once results are kept.
    """
    started = time.perf_counter()
    outputs = tuple(plan.outputs.values())
    default = str(outputs[0].with_name(outputs[0].name + FOLDER_SUFFIX))
    checkpoint = CheckpointDirectory(settings.checkpoint or default, plan.make_work(1).table)
    begun = _read_begun(checkpoint, settings)
    if begun is None and settings.resume and not settings.overwrite and all(path.is_file() for path in outputs):
        found = plan.read_finished(plan_workers(settings, source.n_tasks).n_threads)
        if isinstance(found, str):
            raise ConfigError(
                f"{outputs[0]}: exists already, with other results than those of this batch: {found}; choose another "
                "name or add --overwrite"
            )
        notice = "\n".join(filter(None, ("this batch is complete already; nothing was changed", plan.notice)))
        return _to_summary(source, plan, found, found.n_rows, started, notice)
    may_exist = settings.overwrite or begun is not None
    check_outputs(outputs, (*source.tables, model), overwrite=may_exist)
    with Batch(source, plan, checkpoint, settings, begun) as batch:
        if batch.tally is None and batch.missing and not settings.overwrite:
            check_outputs(outputs, (), overwrite=False)
        tally = batch.tally or _finish(batch, plan, replaces=settings.overwrite or begun is None)
        try:
            checkpoint.remove()
        except KeyboardInterrupt as interrupt:
            raise BatchInterrupted("stopped; the results are complete; --resume tidies up") from interrupt
    return _to_summary(source, plan, tally, batch.n_rows_before, started, plan.notice)


def _to_summary(
    source: ImageSource[Facts], plan: BatchPlan[Facts, RowT], tally: Tally, n_before: int, started: float, notice: str
) -> BatchSummary:
    """The summary of a batch that began at `started`, of which an earlier run had finished so many rows."""
    return BatchSummary(
        outputs=dict(plan.outputs),
        tally=tally,
        table_problems=source.problems,
        n_ignored=source.n_ignored,
        n_before=n_before,
        seconds=time.perf_counter() - started,
        notice=notice,
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


def _read_begun(checkpoint: CheckpointDirectory, settings: BatchSettings) -> Header | None:
    """The header of the unfinished batch that is to be continued; None if a new one begins.

    Raises:
        ConfigError: if there is one and nothing was said about it.
    """
    if settings.overwrite and not settings.resume:
        return None
    begun = checkpoint.read_header()
    if begun is None or settings.resume:
        return begun
    raise ConfigError(
        f"{checkpoint.location}: has an unfinished batch; continue it with --resume, or give it up with --overwrite"
    )


def _finish(batch: Batch[Facts, RowT], plan: BatchPlan[Facts, RowT], *, replaces: bool) -> Tally:
    """Processes what is missing and writes the result files; what became of the rows.

    Raises:
        FetalHCError: if it cannot go on; the message says what is kept.
        BatchInterrupted: at Ctrl-C once results are kept.
    """
    try:
        batch.process()
        rows = (row for result in batch.read_results() for row in result.rows)
        for path in plan.outputs.values():
            remove_stale_temporaries(path)
        tally = plan.write(rows, replaces)
        batch.finish(tally)
        return tally
    except KeyboardInterrupt as interrupt:
        if not batch.is_begun:
            raise
        raise BatchInterrupted(f"stopped; {batch.how_to_go_on()}") from interrupt
    except CheckpointGoneError:
        raise
    except FetalHCError as error:
        if not batch.is_begun:
            raise
        raise type(error)(f"{error}\n{batch.how_to_go_on()}", error.problems) from error


class Batch(Generic[Facts, RowT]):
    """A batch and its checkpoint directory, which stays locked for the length of a `with` block.

    Attributes:
        missing: the tasks that are not done yet, as ascending ranges.
        is_begun: whether the checkpoint directory has anything worth keeping.
        n_rows_before: rows that an earlier run had finished.
        tally: what became of a batch whose result files are complete; None while they are not.
    """

    def __init__(
        self,
        source: ImageSource[Facts],
        plan: BatchPlan[Facts, RowT],
        checkpoint: CheckpointDirectory,
        settings: BatchSettings,
        begun: Header | None,
    ) -> None:
        """Checks an unfinished batch when the block is entered; changes nothing on disk.

        Args:
            source: the images.
            plan: what to do with them.
            checkpoint: where results are kept.
            settings: how.
            begun: header of the unfinished batch that is continued; None if a new one begins.
        """
        self.is_begun = begun is not None
        self.n_rows_before = 0
        self.missing = [range(source.n_tasks)]
        self.tally: Tally | None = None
        self._source = source
        self._checkpoint = checkpoint
        self._settings = settings
        self._begun = begun
        self._worker_plan = plan_workers(settings, source.n_tasks, _threads_before(checkpoint, begun))
        self._work = plan.make_work(self._worker_plan.n_threads)
        threads = {THREADS: str(self._worker_plan.n_threads)}
        self._to_keep = {**plan.identity, **threads, **computing_versions(), **source.identity}
        self._outputs = tuple(plan.outputs.values())
        self._n_done = 0
        self._last_read: str | None = None
        self._resources = ExitStack()

    def __enter__(self) -> Batch[Facts, RowT]:
        """Locks an unfinished batch and finds out what is missing.

        Raises:
            FetalHCError: if it is in use, was begun with other settings, or its images have changed.
        """
        if self._begun is not None:
            with ExitStack() as resources:
                resources.enter_context(self._checkpoint.locked())
                self._checkpoint.check_settings(self._to_keep, self._begun.settings)
                self._take_over(self._begun)
                self._resources = resources.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._resources.close()

    def process(self) -> None:
        """Processes what is missing.

        Raises:
            FetalHCError: if that cannot go on; what was finished is kept.
        """
        if not self.missing:
            return
        disable = None if self._settings.progress else True
        with tqdm(
            desc="measuring", total=self._source.n_tasks, initial=self._n_done, unit="img", disable=disable
        ) as bar:
            if self._worker_plan.runner == RAY:
                self._process_with_ray(bar)
            else:
                self._process_here(bar)

    def read_results(self) -> Iterator[TaskResult[RowT]]:
        """All results in order.

        Raises:
            FetalHCError: if one is missing.
        """
        expected = 0
        for shard in self._checkpoint.list_shards():
            for result in read_shard(shard, self._work.table):
                if result.index != expected:
                    break
                expected += 1
                yield result
        if expected != self._source.n_tasks:
            self._n_done = self._checkpoint.count_tasks()
            raise FetalHCError(
                f"{self._checkpoint.location}: the result of image {expected + 1} of {self._source.n_tasks} is "
                "missing; expected the folder to be the same for all processes, and nobody to change it"
            )

    def finish(self, tally: Tally) -> None:
        """Notes in the checkpoint directory that the result files are complete."""
        self._checkpoint.finish(self._to_keep, tally.to_json())

    def how_to_go_on(self) -> str:
        """How much is finished, where it is kept and how to continue."""
        if not self._checkpoint.is_there():
            return f"{self._checkpoint.location} was deleted or moved, so nothing is kept there; start again"
        return (
            f"{self._n_done} of {self._source.n_tasks} images are finished and kept in {self._checkpoint.location}; "
            "continue with the same command and --resume"
        )

    def _take_over(self, begun: Header) -> None:
        """Takes over what earlier runs have finished."""
        if begun.outcome is not None and all(path.exists() for path in self._outputs):
            self.missing = []
            self.tally = Tally.from_json(begun.outcome)
            self.n_rows_before = self.tally.n_rows
            return
        shards = self._checkpoint.find_shards()
        self.missing = missing_ranges(shards, self._source.n_tasks)
        self._note_done(shards)
        if begun.outcome is not None:  # its result files were complete, and are gone
            self._checkpoint.restore(self._to_keep)

    def _note_done(self, shards: Sequence[Shard]) -> None:
        self._n_done = sum(shard.n_tasks for shard in shards)
        self.n_rows_before = sum(shard.n_rows for shard in shards)
        self._last_read = next((shard.last_read for shard in reversed(shards) if shard.last_read is not None), None)

    def _begin(self) -> None:
        """Creates the checkpoint directory of a new batch."""
        if not self.is_begun:
            self._resources.enter_context(self._checkpoint.locked())
            try:
                self._checkpoint.create(self._to_keep)
            except FetalHCError:
                self._checkpoint.remove()
                raise
            self.is_begun = True

    def _missing_tasks(self) -> Iterator[ImageTask[Facts]]:
        """The tasks that are not done yet."""
        stream, position = self._source.tasks(), 0
        for wanted in self.missing:
            yield from islice(stream, wanted.start - position, wanted.stop - position)
            position = wanted.stop

    def _process_here(self, bar: tqdm[Any]) -> None:
        """By this process or a pool."""
        run = RUNNERS[self._worker_plan.runner]
        tasks = self._missing_tasks()
        with (
            closing(run(self._work, self._work.crashed_result, tasks, self._worker_plan.n_workers)) as all_results,
            closing(until_storage_is_gone(all_results, self._last_read)) as results,
        ):
            first = next(results)  # before anything is written: a model that cannot be used leaves nothing behind
            self._begin()
            with closing(ShardWriter(Path(self._checkpoint.location), self._work.table)) as writer:
                for result in chain([first], results):
                    writer.append(result)
                    self._n_done += 1
                    bar.update()

    def _process_with_ray(self, bar: tqdm[Any]) -> None:
        """By processes of a Ray cluster, which write the shards themselves."""
        import_scale_library("ray.data", f"--runner {RAY}")
        from fetal_hc.batch.ray_runner import RayPlan, process_with_ray

        self._work()  # a model that cannot be used leaves nothing behind
        self._begin()
        self._checkpoint.clear_scratch()
        worker_plan = RayPlan(self._settings.ray_address, self._worker_plan.n_workers, self._work)
        n_missing = sum(map(len, self.missing))
        folder = self._checkpoint.absolute_location()
        with closing(
            process_with_ray(self._missing_tasks(), n_missing, folder, worker_plan, self._last_read)
        ) as counts:
            for n_tasks in counts:
                self._n_done += n_tasks
                bar.update(n_tasks)


def _threads_before(checkpoint: CheckpointDirectory, begun: Header | None) -> int | None:
    """The threads with which a batch was begun that is continued.

    Raises:
        DatasetError: if the header states an impossible number.
    """
    if begun is None:
        return None
    text = begun.settings.get(THREADS, "")
    if not text.isdecimal() or len(text) > len(str(MAX_THREADS)) or not 1 <= int(text) <= MAX_THREADS:
        raise DatasetError(
            f"{checkpoint.location}: states '{text[:20]}' {THREADS}; expected 1 to {MAX_THREADS}; start again with "
            "--overwrite and without --resume"
        )
    return int(text)
