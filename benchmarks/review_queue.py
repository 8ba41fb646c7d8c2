"""How fast a review queue of many cases opens, and what one click and one check of the record cost.

Every case has an 800x540 PNG and a mask, one in ten is accepted and signed. Prints the median of several runs; exit
code 1 if opening the queue misses its bound. FETAL_HC_POSTGRES_URL names a PostgreSQL database to measure as well; it
must be empty.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np

from fetal_hc.errors import FetalHCError
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table
from hc18.reviews.models import ModelMeasurement, ModelVersion, NewCase, ReviewAction, SoftMask
from hc18.reviews.queue import QueueFilter, QueueView
from hc18.reviews.store import ReviewStore

N_CASES = 10_000
MAX_OPEN_SECONDS = 1.0
RUNS = 5
IMAGE_HW = (540, 800)
_MODEL = ModelVersion("hc18", "1", "ab" * 32)
_FOUND = Ellipse(400.0, 270.0, 220.0, 170.0, 0.3)
_PER_TRANSACTION = 100


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--count", type=int, default=N_CASES, help=f"number of cases (default {N_CASES})")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    with tempfile.TemporaryDirectory() as folder:
        is_fast = _measure(str(Path(folder) / "reviews.db"), options.count)
        if url := os.environ.get("FETAL_HC_POSTGRES_URL"):
            is_fast &= _measure(url, options.count)
    return 0 if is_fast else 1


def _measure(address: str, n_cases: int) -> bool:
    """Prints the times of one store; whether its queue opens within the bound."""
    started = time.perf_counter()
    with ReviewStore(address) as store:
        print(f"{store.name}: {n_cases} cases")
        _fill(store, n_cases)
    print(f"  filled in {time.perf_counter() - started:.0f} s")
    opened = _median_seconds(lambda: _open_queue(address))
    with ReviewStore(address) as store:
        pages = {
            "last page": _median_seconds(lambda: store.queue(page=n_cases)),
            "page of flagged cases": _median_seconds(lambda: store.queue(QueueView(QueueFilter.FLAGGED))),
            "search": _median_seconds(lambda: store.queue(QueueView(search="case 99"))),
            "next case": _median_seconds(lambda: store.neighbours(QueueView(QueueFilter.UNREVIEWED), n_cases // 2)),
            "one case with its image": _median_seconds(lambda: (store.case(7), store.image(7))),
            "one click saved": _median_seconds(lambda: _click(store)),
        }
        started = time.perf_counter()
        problems = store.verify(check_images=False).problems
        checked = time.perf_counter() - started
    print(f"  store opened, progress and first page: {opened:.3f} s (limit {MAX_OPEN_SECONDS:g})")
    for name, seconds in pages.items():
        print(f"  {name}: {seconds * 1e3:.1f} ms")
    print(f"  whole record checked without images: {checked:.1f} s, {len(problems)} problems")
    return opened <= MAX_OPEN_SECONDS and not problems


def _fill(store: ReviewStore, n_cases: int) -> None:
    """Registers cases and reviews one in ten.

    Raises:
        FetalHCError: if the store has cases already.
    """
    if store.progress().n_cases:
        raise FetalHCError(f"{store.name}: holds cases already; expected an empty store; choose another database")
    coarse = np.random.default_rng(0).integers(0, 256, (IMAGE_HW[0] // 8 + 1, IMAGE_HW[1] // 8), dtype=np.uint8)
    grey = coarse.repeat(8, axis=0).repeat(8, axis=1)[: IMAGE_HW[0]]  # 94 kB as PNG, like a scan of HC18
    image = np.repeat(grey[:, :, None], 3, axis=2)
    mask = SoftMask(np.array([180, 100, 620, 440], np.float32), np.full((56, 56), 0.75, np.float32))
    for first in range(0, n_cases, _PER_TRANSACTION):
        numbers = range(first, min(first + _PER_TRANSACTION, n_cases))
        store.register_cases([_case(number, image, mask) for number in numbers], "ann")
    for case_id in range(10, n_cases + 1, 10):
        state = store.append(case_id, 1, ReviewAction.ACCEPT, "bob")
        store.append(case_id, state.revision, ReviewAction.SIGN, "bob")


def _case(number: int, image: np.ndarray, mask: SoftMask) -> NewCase:
    """A case whose pixels differ from every other's."""
    own = image.copy()
    own[0, :4] = np.array([number >> shift & 0xFF for shift in (0, 8, 16, 24)], np.uint8)[:, None]
    flags = ("low_score",) if number % 5 == 0 else ()
    return NewCase(own, from_table(0.2), ModelMeasurement(_MODEL, "ok", "", _FOUND, 0.9, flags), soft_mask=mask)


def _open_queue(address: str) -> None:
    """What the app does before it can show the queue."""
    with ReviewStore(address) as store:
        store.progress()
        store.queue(QueueView(QueueFilter.UNREVIEWED))


def _click(store: ReviewStore) -> None:
    """Corrects case 4, which nobody has signed, a little further."""
    state = store.state(4)
    ellipse = Ellipse(400.0 + state.revision / 100.0, 270.0, 220.0, 170.0, 0.3)
    store.append(4, state.revision, ReviewAction.CORRECT, "ann", ellipse_px=ellipse)


def _median_seconds(task: Callable[[], object]) -> float:
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        task()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


if __name__ == "__main__":
    sys.exit(main())
