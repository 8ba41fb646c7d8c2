"""From uploaded images to cases in the review store, with the file that each came from."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from fetal_hc.errors import FetalHCError
from hc18.reviews.images import ImageFile, StillImage
from hc18.reviews.measuring import MOST_WORKERS, Model, Sizes, measure_still
from hc18.reviews.models import CaseId, NewCase, Registration
from hc18.reviews.store import ReviewStore

_PER_TRANSACTION = 16
NOBODY = "no name given"  # for measurements before the reviewer has typed a name; decisions need one


@dataclass(frozen=True, slots=True)
class UploadSource:
    """The upload and frame from which a case of this session came.

    Attributes:
        image: the file and its frame.
        is_new: False if the same pixels were in the store already.
    """

    image: ImageFile
    is_new: bool


def register_still(
    store: ReviewStore, model: Model, still: StillImage, sizes: Sizes, reviewer: str
) -> tuple[CaseId, UploadSource]:
    """Measures an image and puts it into the store.

    Raises:
        ModelError: if the network fails on the image.
        StoreError: if the case cannot be written.
    """
    registration = store.register_case(measure_still(model, still, sizes), reviewer or NOBODY)
    return _to_source(still, registration)


def register_many(
    store: ReviewStore, model: Model, stills: Sequence[StillImage], sizes: Sizes, reviewer: str
) -> Iterator[list[tuple[StillImage, tuple[CaseId, UploadSource] | FetalHCError]]]:
    """Measures many images on all cores and puts them into the store, some in one transaction.

    Args:
        store: to add to.
        model: whose network uses one thread for an image.
        stills: the images.
        sizes: that the session knows.
        reviewer: who adds them.

    Yields:
        What became of the next images, in their order; an image that cannot be measured has its error.

    Raises:
        StoreError: if the cases cannot be written.
    """

    def attempt(still: StillImage) -> NewCase | FetalHCError:
        try:
            return measure_still(model, still, sizes)
        except FetalHCError as error:
            return error

    pool = ThreadPoolExecutor(max_workers=min(os.cpu_count() or 1, MOST_WORKERS))
    try:
        waiting = [pool.submit(attempt, still) for still in stills]
        for start in range(0, len(stills), _PER_TRANSACTION):  # the next images are measured while these are stored
            chunk = stills[start : start + _PER_TRANSACTION]
            found = [future.result() for future in waiting[start : start + _PER_TRANSACTION]]
            new = [case for case in found if isinstance(case, NewCase)]
            registered = iter(store.register_cases(new, reviewer or NOBODY))
            yield [
                (still, case if isinstance(case, FetalHCError) else _to_source(still, next(registered)))
                for still, case in zip(chunk, found, strict=True)
            ]
    finally:
        pool.shutdown(cancel_futures=True)


def _to_source(still: StillImage, registration: Registration) -> tuple[CaseId, UploadSource]:
    return registration.case_id, UploadSource(still.file, registration.is_new)
