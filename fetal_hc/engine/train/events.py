"""Reports of a running training: metrics.json, TensorBoard, the log and the progress bar.

metrics.json has one JSON object per line, as Detectron2's: "iteration", "lr", "time" and "data_time" in seconds per
iteration, "total_loss" and each loss, "eta_seconds", and evaluation results under "task/metric". Losses and times
are medians over the last 20 iterations. Values that are not finite are null.
"""

from __future__ import annotations

import json
import logging
import math
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from statistics import median
from types import MappingProxyType, TracebackType
from typing import Any

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from fetal_hc.errors import ConfigError
from fetal_hc.io.atomic import write_text_atomic

METRICS_NAME = "metrics.json"
LOG_NAME = "log.txt"
WINDOW = 20

logger = logging.getLogger(__name__)


class _ConsoleHandler(logging.Handler):
    """Writes log lines to stdout without breaking a progress bar."""

    def emit(self, record: logging.LogRecord) -> None:
        tqdm.write(self.format(record), file=sys.stdout)


class TrainingEvents:
    """Collects the numbers of each iteration and writes them every 20 iterations and at the end.

    Args:
        output_dir: folder of metrics.json and the TensorBoard file.
        start_iteration: lines of an abandoned continuation, from this iteration on, are removed from metrics.json.
        max_iteration: end of the training, for the progress bar and the estimated time.
        is_main: other processes write nothing.
    """

    def __init__(self, output_dir: Path, start_iteration: int, max_iteration: int, *, is_main: bool = True) -> None:
        self._max_iteration = max_iteration
        self._histories: dict[str, deque[float]] = {}
        self._latest: dict[str, float] = {}
        self._path = output_dir / METRICS_NAME
        self._board: SummaryWriter | None = None
        if is_main:
            output_dir.mkdir(parents=True, exist_ok=True)
            drop_from(self._path, start_iteration)
            self._board = SummaryWriter(str(output_dir), purge_step=start_iteration)
        disable = None if is_main else True
        self._bar = tqdm(total=max_iteration, initial=start_iteration, desc="training", unit="it", disable=disable)

    def __enter__(self) -> TrainingEvents:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._bar.close()
        if self._board is not None:
            self._board.close()

    def record(
        self,
        iteration: int,
        losses: Mapping[str, float],
        lr: float,
        time_s: float,
        data_time_s: float,
        metrics: Mapping[str, float] = MappingProxyType({}),
    ) -> None:
        """Takes in one finished 0-based iteration; of `metrics`, the numbers that are not NaN."""
        values = {"total_loss": sum(losses.values()), **losses, "time": time_s, "data_time": data_time_s}
        values |= {name: value for name, value in metrics.items() if not math.isnan(value)}
        for name, value in values.items():
            self._histories.setdefault(name, deque(maxlen=WINDOW)).append(value)
        self._latest = {name: median(history) for name, history in self._histories.items()}
        self._latest["lr"] = lr
        self._latest["eta_seconds"] = self._latest["time"] * (self._max_iteration - iteration - 1)
        self._bar.update()
        if (iteration + 1) % WINDOW == 0 or iteration + 1 == self._max_iteration:
            self._write(iteration, self._latest)
            self._log(iteration)

    def record_results(self, iteration: int, results: Mapping[str, float]) -> None:
        """Writes the flattened results ("task/metric") of an evaluation after a 0-based iteration."""
        self._write(iteration, results)

    def _write(self, iteration: int, values: Mapping[str, float]) -> None:
        if self._board is None:
            return
        line = {name: value if math.isfinite(value) else None for name, value in values.items()}
        with self._path.open("a", encoding="utf-8") as stream:
            stream.write(json.dumps({**line, "iteration": iteration}, sort_keys=True) + "\n")
        for name, value in values.items():
            if math.isfinite(value):
                self._board.add_scalar(name, value, iteration)

    def _log(self, iteration: int) -> None:
        values = self._latest
        losses = "  ".join(f"{name}: {values[name]:.4g}" for name in values if "loss" in name)
        eta = timedelta(seconds=round(values["eta_seconds"]))
        self._bar.set_postfix(loss=f"{values['total_loss']:.4g}", refresh=False)
        logger.info(
            "iter: %d/%d  eta: %s  %s  time: %.4f  data_time: %.4f  lr: %.4g",
            iteration + 1, self._max_iteration, eta, losses, values["time"], values["data_time"], values["lr"],
        )  # fmt: skip


@contextmanager
def logging_to(output_dir: Path, *, is_main: bool = True, loggers: Sequence[str] = ("fetal_hc",)) -> Iterator[None]:
    """Within the block the lines of these loggers go to stdout and to log.txt in `output_dir` (main process only).

    Raises:
        ConfigError: if the folder cannot be written.
    """
    handlers: list[logging.Handler] = []
    if is_main:
        try:
            output_dir.mkdir(parents=True, exist_ok=True)
            handlers = [_ConsoleHandler(), logging.FileHandler(output_dir / LOG_NAME, encoding="utf-8")]
        except OSError as error:
            reason = error.strerror or str(error)
            raise ConfigError(
                f"OUTPUT_DIR {output_dir}: cannot be written ({reason}); choose another folder"
            ) from error
    formatter = logging.Formatter("[%(asctime)s %(levelname)s] %(message)s", datefmt="%Y-%m-%d %H:%M:%S")
    levels = {logging.getLogger(name): logging.getLogger(name).level for name in loggers}
    for handler in handlers:
        handler.setFormatter(formatter)
    for named in levels:
        named.setLevel(logging.INFO)
        for handler in handlers:
            named.addHandler(handler)
    try:
        yield
    finally:
        for named, level in levels.items():
            named.setLevel(level)
            for handler in handlers:
                named.removeHandler(handler)
        for handler in handlers:
            handler.close()


def read_metrics(path: str | Path) -> list[dict[str, Any]]:
    """The lines of a metrics.json, in order; a last line cut off by a crash is left out."""
    lines = Path(path).read_text(encoding="utf-8").splitlines()
    rows = []
    for position, line in enumerate(lines):
        try:
            rows.append(json.loads(line))
        except json.JSONDecodeError:
            if position + 1 < len(lines):
                raise
    return rows


def drop_from(path: Path, iteration: int) -> None:
    """Removes the lines of `iteration` and later from a metrics.json: a resumed training writes them again."""
    if path.is_file():
        kept = [row for row in read_metrics(path) if row["iteration"] < iteration]
        write_text_atomic(path, "".join(json.dumps(row, sort_keys=True) + "\n" for row in kept))
