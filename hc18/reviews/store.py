"""The review store: cases, their append-only history, their images and the work queue.

One action is one transaction: it is in the record completely or not at all, whenever the process ends.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, update

from fetal_hc import installed_version
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews import drafts, ledger
from hc18.reviews import queue as work_queue
from hc18.reviews.database import BUSY_TIMEOUT_MS, reading, to_url, writing
from hc18.reviews.drafts import KeptDraft
from hc18.reviews.models import (
    CaseId,
    CaseState,
    ModelMeasurement,
    NewCase,
    Registration,
    ReviewAction,
    ReviewCase,
    ReviewConflict,
    ReviewEvent,
    ReviewRefused,
    SoftMask,
    StoreError,
)
from hc18.reviews.pictures import from_mask_content, from_png
from hc18.reviews.queue import ALL_CASES, PAGE_SIZE, Neighbours, Progress, QueuePage, QueueRow, QueueView
from hc18.reviews.state import derive_state
from hc18.reviews.tables import CASES, IMAGES, MASKS
from hc18.reviews.upgrade import open_database
from hc18.reviews.validation import ReviewRequest, to_label, to_reason, to_reviewer
from hc18.reviews.verify import Verification, verify

CASES_PER_READ = 500  # SQLite takes at least 999 values in one statement


def now_utc() -> datetime:
    """The time now, in UTC."""
    return datetime.now(UTC)


class ReviewStore:
    """Cases under review in an SQLite file or a PostgreSQL database. Safe to share between threads.

    Args:
        store: file name or URL, as `hc18.reviews.database.to_url` takes it.
        create: whether to create the tables or bring them up to date; otherwise the store must exist and is opened as
            it is, also with the schema of an earlier version.
        clock: gives the time of an event.
        busy_timeout_ms: how long a writer waits for another one.

    Raises:
        StoreError: if the store cannot be opened, or was written by a newer version of this program.
    """

    def __init__(
        self,
        store: str,
        *,
        create: bool = True,
        clock: Callable[[], datetime] = now_utc,
        busy_timeout_ms: int = BUSY_TIMEOUT_MS,
    ) -> None:
        self._url = to_url(store)
        self._clock = clock
        self.name = self._url.render_as_string(hide_password=True)
        self._version = installed_version()
        self._engine = open_database(self._url, create=create, busy_timeout_ms=busy_timeout_ms)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Ends all connections."""
        self._engine.dispose()

    def register_case(self, case: NewCase, reviewer: str) -> Registration:
        """Adds an image with the model's measurement; the same pixels come back as the case they already are.

        Args:
            case: what to add.
            reviewer: who adds it.

        Raises:
            StoreError: if it cannot be written.
            ReviewRefused: if no reviewer is named.
        """
        return self.register_cases([case], reviewer)[0]

    def register_cases(self, cases: list[NewCase], reviewer: str) -> list[Registration]:
        """Adds several images in one transaction: all of them or none.

        Args:
            cases: what to add.
            reviewer: who adds them.

        Raises:
            StoreError: if they cannot be written.
            ReviewRefused: if no reviewer is named.
        """
        reviewer = to_reviewer(reviewer)
        encoded = [ledger.encode(case) for case in cases]
        with writing(self._engine) as connection:
            return [ledger.register(connection, new, reviewer, self._stamp()) for new in encoded]

    def append(
        self,
        case_id: int,
        expected_revision: int,
        action: ReviewAction,
        reviewer: str,
        *,
        ellipse_px: Ellipse | None = None,
        reason: str = "",
        calibration: Calibration | None = None,
        age: IndependentAge | None = None,
        measurement: ModelMeasurement | None = None,
        soft_mask: SoftMask | None = None,
    ) -> CaseState:
        """Records one action; when this returns, it is on the disk.

        Args:
            case_id: the case.
            expected_revision: `CaseState.revision` of the state that the reviewer saw.
            action: what was done.
            reviewer: who did it.
            ellipse_px: for `correct`: the reviewer's ellipse in px of the stored image.
            reason: why; needed to reject and to reopen. Must not name the patient.
            calibration: for `calibrate`.
            age: for `set_age`.
            measurement: for `measured`: what another model found in the same image.
            soft_mask: for `measured`: that model's mask.

        Returns:
            The state after the action.

        Raises:
            ReviewConflict: if somebody else changed the case since; the message says who, when and what.
            ReviewRefused: if the action is not allowed in the case's state, or incomplete.
            StoreError: if there is no such case, or it cannot be written.
        """
        who, why = to_reviewer(reviewer), to_reason(reason)
        request = ReviewRequest(action, who, why, ellipse_px, calibration, measurement, age)
        with writing(self._engine) as connection:
            return ledger.append(connection, case_id, expected_revision, request, soft_mask, self._stamp())

    def sign_cases(self, revisions: Mapping[CaseId, int], reviewer: str) -> dict[CaseId, str]:
        """Signs several cases in one transaction; those that cannot be signed are left as they are.

        Args:
            revisions: `CaseState.revision` of the state of each case that the reviewer saw.
            reviewer: who signs.

        Returns:
            Why a case was not signed, by case.

        Raises:
            StoreError: if the store cannot be written.
        """
        request = ReviewRequest(ReviewAction.SIGN, to_reviewer(reviewer))
        refused: dict[CaseId, str] = {}
        with writing(self._engine) as connection:
            for case_id, revision in revisions.items():
                try:
                    ledger.append(connection, case_id, revision, request, None, self._stamp())
                except (ReviewConflict, ReviewRefused) as error:
                    refused[case_id] = str(error)
        return refused

    def state(self, case_id: int) -> CaseState:
        """The case as its events leave it.

        Raises:
            StoreError: if there is no such case, or its record was tampered with.
        """
        with reading(self._engine) as connection:
            return derive_state(ledger.existing_events(connection, case_id))

    def case(self, case_id: int) -> ReviewCase:
        """The case with its label.

        Raises:
            StoreError: if there is no such case, or its record was tampered with.
        """
        return next(self.cases([case_id]))

    def cases(self, case_ids: Iterable[int], *, cases_per_read: int = CASES_PER_READ) -> Iterator[ReviewCase]:
        """Many cases with their labels, in the order asked for; `cases_per_read` are read at a time.

        Raises:
            StoreError: if there is no such case, or its record was tampered with.
        """
        wanted = list(case_ids)
        for start in range(0, len(wanted), cases_per_read):
            chunk = wanted[start : start + cases_per_read]
            with reading(self._engine) as connection:
                events = ledger.existing_events_of(connection, chunk)
                query = select(CASES.c.id, CASES.c.label).where(CASES.c.id.in_(chunk))
                labels = {row.id: row.label for row in connection.execute(query)}
            for case_id in chunk:
                yield ReviewCase(CaseId(case_id), labels[case_id], derive_state(events[case_id]))

    def events(self, case_id: int) -> tuple[ReviewEvent, ...]:
        """The history of a case, oldest first.

        Raises:
            StoreError: if there is no such case, or its record was tampered with.
        """
        with reading(self._engine) as connection:
            return tuple(ledger.existing_events(connection, case_id))

    def png(self, case_id: int) -> bytes:
        """The stored picture as the file that it is kept as.

        Raises:
            StoreError: if there is no such case, or its image is damaged.
        """
        content = self._content(case_id)
        if not isinstance(content, bytes):
            from_png(content)
        return bytes(content)

    def image(self, case_id: int) -> NDArray[np.uint8]:
        """The stored pixels, (H, W, 3) uint8 RGB.

        Raises:
            StoreError: if there is no such case, or its image is damaged.
        """
        return from_png(self._content(case_id))

    def soft_mask(self, case_id: int) -> SoftMask | None:
        """The mask of the newest measurement; None if none is stored.

        Raises:
            StoreError: if it is damaged.
        """
        query = select(MASKS.c.content).where(MASKS.c.case_id == case_id).order_by(MASKS.c.revision.desc()).limit(1)
        with reading(self._engine) as connection:
            content = connection.execute(query).scalar_one_or_none()
        return None if content is None else from_mask_content(content)

    def draft(self, case_id: int, reviewer: str) -> KeptDraft | None:
        """What a reviewer has drawn in a case but not saved; None if nothing."""
        with reading(self._engine) as connection:
            return drafts.read_draft(connection, case_id, to_reviewer(reviewer))

    def keep_draft(self, case_id: int, reviewer: str, revision: int, ellipse_px: Ellipse) -> KeptDraft:
        """Keeps what a reviewer has drawn, in place of an earlier draft; it is not part of the record.

        Args:
            case_id: an existing case.
            reviewer: who has drawn.
            revision: `CaseState.revision` of the state that the reviewer saw.
            ellipse_px: in px of the stored image.

        Raises:
            StoreError: if there is no such case, or it cannot be written.
        """
        with writing(self._engine) as connection:
            kept = KeptDraft(ellipse_px, revision, self._clock())
            drafts.write_draft(connection, case_id, to_reviewer(reviewer), kept)
        return kept

    def drop_draft(self, case_id: int, reviewer: str) -> None:
        """Forgets what a reviewer has drawn but not saved."""
        with writing(self._engine) as connection:
            drafts.remove_draft(connection, case_id, to_reviewer(reviewer))

    def set_label(self, case_id: int, label: str) -> None:
        """Renames a case. The label is not part of the record, so that a name typed by mistake can be removed.

        Raises:
            StoreError: if there is no such case, or it cannot be written.
        """
        with writing(self._engine) as connection:
            change = update(CASES).where(CASES.c.id == case_id).values(label=to_label(label, case_id))
            if connection.execute(change).rowcount != 1:
                raise ledger.no_case(case_id)

    def queue(self, view: QueueView = ALL_CASES, page: int = 1, *, page_size: int = PAGE_SIZE) -> QueuePage:
        """One page of the queue, from page 1; see `hc18.reviews.queue.read_page`."""
        with reading(self._engine) as connection:
            return work_queue.read_page(connection, view, page, page_size)

    def rows(self, view: QueueView = ALL_CASES) -> Iterator[QueueRow]:
        """All rows of the queue, streamed; for exports and the agreement page."""
        with reading(self._engine) as connection:
            yield from work_queue.read_rows(connection, view)

    def ids(self, view: QueueView) -> list[CaseId]:
        """The numbers of all cases of a view, in its order."""
        with reading(self._engine) as connection:
            return work_queue.read_ids(connection, view)

    def neighbours(self, view: QueueView, case_id: int = 0) -> Neighbours:
        """The cases before and behind a case in a view; see `hc18.reviews.queue.find_neighbours`."""
        with reading(self._engine) as connection:
            return work_queue.find_neighbours(connection, view, case_id)

    def lists(self, view: QueueView, case_id: int) -> bool:
        """Whether a case is in a view."""
        with reading(self._engine) as connection:
            return work_queue.is_listed(connection, view, case_id)

    def reader(self) -> AbstractContextManager[Connection]:
        """A transaction that sees one state of the store, for the functions of `hc18.reviews.worklist`."""
        return reading(self._engine)

    def writer(self) -> AbstractContextManager[Connection]:
        """A writer's transaction, for the functions of `hc18.reviews.worklist`; the record is written by `append`."""
        return writing(self._engine)

    def progress(self) -> Progress:
        """How many cases are in which state."""
        with reading(self._engine) as connection:
            return work_queue.read_progress(connection)

    def verify(self, *, check_images: bool = True, expected_head: str = "") -> Verification:
        """Checks the whole record; see `hc18.reviews.verify.verify`."""
        with reading(self._engine) as connection:
            return verify(connection, check_images=check_images, expected_head=expected_head)

    def _content(self, case_id: int) -> Any:
        """The stored picture, which a damaged store may have replaced by anything.

        Raises:
            StoreError: if there is no such case.
        """
        with reading(self._engine) as connection:
            png = connection.execute(select(IMAGES.c.png).where(IMAGES.c.case_id == case_id)).scalar_one_or_none()
        if png is None:
            raise StoreError(f"{self.name}: has no image of case {case_id}; choose a case from the queue")
        return png

    def _stamp(self) -> ledger.Stamp:
        return ledger.Stamp(self._clock(), self._version)
