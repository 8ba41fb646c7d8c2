"""The work of a batch on each image file; a domain derives its own from `BatchWork`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Generic

from fetal_hc.batch.tasks import Facts, Failure, ImageTask, RowT, TaskResult
from fetal_hc.errors import DatasetError, ModelError
from fetal_hc.io.columns import ColumnTable
from fetal_hc.io.storage import FileStamp, read_image_file

# The rows of an image file in two steps: the first decodes the content, in a second thread; the second runs the model.
RowsOf = Callable[[], Sequence[RowT]]
OpenImage = Callable[[ImageTask[Facts], bytes], RowsOf[RowT]]


@dataclass(frozen=True)
class BatchWork(ABC, Generic[Facts, RowT]):
    """The work of one process of a batch, as it is sent to that process.

    Attributes:
        model: model file.
        num_threads: threads for the network.
    """

    model: Path
    num_threads: int

    table: ClassVar[ColumnTable[Any]]  # the columns of a row
    facts_type: ClassVar[type]  # of what a table states about an image: a dataclass of numbers, texts and tuples

    @abstractmethod
    def load(self) -> OpenImage[Facts, RowT]:
        """Loads the model; returns the function from an image file to its rows.

        Raises:
            ModelError: if the model cannot be used.
        """

    @abstractmethod
    def failed_row(self, task: ImageTask[Facts], failure: Failure, reason: str) -> RowT:
        """The row of an image file that could not be processed."""

    def __call__(self) -> Callable[[Iterable[ImageTask[Facts]]], Iterator[TaskResult[RowT]]]:
        """Loads the model; returns the function from tasks to results, one each in their order.

        Raises:
            ModelError: if the model cannot be used.
        """
        return partial(self._process, self.load())

    def crashed_result(self, task: ImageTask[Facts]) -> TaskResult[RowT]:
        """The result of an image that killed its process."""
        reason = "the process that worked on this image died (out of memory, or a damaged file); check the file"
        return TaskResult(task.index, task.path, None, (self.failed_row(task, Failure.INTERNAL_ERROR, reason),))

    def row_of_error(self, task: ImageTask[Facts], error: Exception) -> RowT:
        """The row of an image file, or of one picture in it, for which something was raised."""
        if task.path is None:
            return self.failed_row(task, Failure.MISSING_FILE, task.note)
        if isinstance(error, DatasetError):
            return self.failed_row(task, Failure.UNREADABLE, str(error))
        if isinstance(error, ModelError):
            return self.failed_row(task, Failure.MODEL_FAILED, str(error))
        if isinstance(error, MemoryError):
            reason = f"{task.path}: does not fit into memory; give the program more memory or fewer --workers"
            return self.failed_row(task, Failure.UNREADABLE, reason)
        return self.failed_row(task, Failure.INTERNAL_ERROR, f"{type(error).__name__}: {error}; please report this")

    def _process(
        self, open_image: OpenImage[Facts, RowT], tasks: Iterable[ImageTask[Facts]]
    ) -> Iterator[TaskResult[RowT]]:
        """Results in the order of the tasks; a second thread reads and decodes one file ahead.

        Whatever goes wrong with a file becomes a status and a reason.
        """
        ahead: tuple[ImageTask[Facts], Future[_OpenedFile[RowT]]] | None = None
        with ThreadPoolExecutor(1, thread_name_prefix="read-ahead") as reader:
            for task in tasks:
                current, ahead = ahead, (task, reader.submit(_open_file, open_image, task))
                if current is not None:
                    yield self._result(*current)
            if ahead is not None:
                yield self._result(*ahead)

    def _result(self, task: ImageTask[Facts], opening: Future[_OpenedFile[RowT]]) -> TaskResult[RowT]:
        """The rows of one file."""
        opened = opening.result()
        try:
            if isinstance(opened.rows_of, Exception):
                raise opened.rows_of
            rows = tuple(opened.rows_of())
        except Exception as error:  # noqa: BLE001  # a mistake of ours in one image must not cost the others their results
            rows = (self.row_of_error(task, error),)
        return TaskResult(task.index, task.path, opened.stamp, rows)


@dataclass(frozen=True, slots=True)
class _OpenedFile(Generic[RowT]):
    """A file that was read: its state then, and what gives its rows or why there are none."""

    stamp: FileStamp | None
    rows_of: RowsOf[RowT] | Exception


def _open_file(open_image: OpenImage[Facts, RowT], task: ImageTask[Facts]) -> _OpenedFile[RowT]:
    """Reads and decodes the file of a task; never raises."""
    stamp = None
    try:
        if task.path is None:
            raise FileNotFoundError(task.note)
        data, stamp = read_image_file(task.path)
        return _OpenedFile(stamp, open_image(task, data))
    except Exception as error:  # noqa: BLE001  # becomes the row of this image
        return _OpenedFile(stamp, error)
