"""Several processes at one store: nobody overwrites anybody, and a killed one leaves nothing behind that is broken."""

import multiprocessing
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from typing import Any

import pytest
from sqlalchemy import Engine

from hc18.reviews import database
from hc18.reviews.models import ReviewAction, StoreError
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews import writer_process
from tests.hc18.reviews.cases import CORRECTED, new_case
from tests.hc18.reviews.writer_process import STEPS_TOGETHER

SECONDS = 60.0
REVIEWERS = ("ann", "bob", "cleo")
CONTEXT = multiprocessing.get_context("forkserver")  # no process inherits an open database
CONTEXT.set_forkserver_preload([writer_process.__name__])


@contextmanager
def _running(
    task: Callable[[Connection, str, str], None], store_url: str, reviewers: Sequence[str]
) -> Iterator[list[tuple[BaseProcess, Connection]]]:
    """One process for each reviewer, with the pipe to it; whatever still runs at the end is killed."""
    started: list[tuple[BaseProcess, Connection]] = []
    try:
        for reviewer in reviewers:
            mine, theirs = CONTEXT.Pipe()
            process = CONTEXT.Process(target=task, args=(theirs, store_url, reviewer), daemon=True)
            process.start()
            theirs.close()
            started.append((process, mine))
        yield started
    finally:
        for process, pipe in started:
            process.kill()
            process.join(SECONDS)
            pipe.close()


def _results(running: list[tuple[BaseProcess, Connection]]) -> list[Any]:
    """Lets all processes go at once; what they send when they are done."""
    for _, pipe in running:
        pipe.send("go")
    return [pipe.recv() for _, pipe in running]


def test_reviewers_at_the_same_case_never_overwrite_each_other(store_url: str) -> None:
    with ReviewStore(store_url) as store:
        store.register_case(new_case(1), "ann")
        with _running(writer_process.review_together, store_url, REVIEWERS) as running:
            written = dict(zip(REVIEWERS, _results(running), strict=True))
        events = store.events(1)
        assert [event.revision for event in events] == list(range(1, len(REVIEWERS) * STEPS_TOGETHER + 2))
        for reviewer in REVIEWERS:
            assert [event.revision for event in events[1:] if event.reviewer == reviewer] == written[reviewer]
        assert store.verify().problems == ()


def test_new_store_opened_by_several_processes_at_once_is_made_once(store_url: str) -> None:
    with _running(writer_process.open_new_store, store_url, [f"reviewer {number}" for number in range(20)]) as running:
        assert sorted(_results(running)) == [False] * 19 + [True]
    with ReviewStore(store_url, create=False) as store:
        assert store.progress().n_cases == 1
        assert store.verify().problems == ()


def test_process_killed_while_it_writes_loses_nothing_that_was_saved(store_url: str) -> None:
    generator = random.Random(0)
    with ReviewStore(store_url) as store:
        store.register_case(new_case(1), "ann")
        for _ in range(6):
            before = store.state(1).revision
            with _running(writer_process.review_until_killed, store_url, ["bob"]) as [(process, pipe)]:
                saved = [pipe.recv()]
                time.sleep(generator.uniform(0.0, 0.05))
                process.kill()
                process.join(SECONDS)
                saved += _rest_of(pipe)
            revision = store.state(1).revision
            assert saved == list(range(before + 1, saved[-1] + 1))
            assert revision - saved[-1] in (0, 1)  # 1: killed after writing, before saying so
            store.append(1, revision, ReviewAction.CORRECT, "ann", ellipse_px=CORRECTED)
            store.append(1, revision + 1, ReviewAction.REJECT, "ann", reason="undone")
        assert store.verify().problems == ()


def _rest_of(pipe: Connection) -> list[int]:
    """What a killed process had sent."""
    received: list[int] = []
    while True:
        try:
            received.append(pipe.recv())
        except (EOFError, ConnectionResetError):
            return received


def test_threads_of_one_process_share_a_store(store: ReviewStore) -> None:
    store.register_cases([new_case(number) for number in range(1, 5)], "ann")
    failures: list[Exception] = []

    def review(case_id: int) -> None:
        try:
            for revision in range(1, 5):
                action = ReviewAction.ACCEPT if revision % 2 else ReviewAction.REJECT
                store.append(case_id, revision, action, "ann", reason="why")
                store.queue()
        except StoreError as error:
            failures.append(error)

    threads = [threading.Thread(target=review, args=(case_id,)) for case_id in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(SECONDS)
    assert failures == []
    assert [row.revision for row in store.queue().rows] == [5, 5, 5, 5]
    assert store.verify().problems == ()


def test_reader_sees_the_last_saved_state_while_somebody_writes(store: ReviewStore, engine: Engine) -> None:
    store.register_case(new_case(1), "ann")
    with database.writing(engine) as connection:
        connection.exec_driver_sql("UPDATE cases SET label = 'not yet saved'")
        assert store.case(1).label == "Case 1"


def test_writer_that_waits_too_long_says_so(store_url: str, engine: Engine) -> None:
    with ReviewStore(store_url, busy_timeout_ms=100) as store:
        store.register_case(new_case(1), "ann")
        with database.writing(engine), pytest.raises(StoreError, match="being written by somebody else"):
            store.append(1, 1, ReviewAction.ACCEPT, "bob")
        assert store.append(1, 1, ReviewAction.ACCEPT, "bob").revision == 2
