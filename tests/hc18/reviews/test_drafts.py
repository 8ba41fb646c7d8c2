"""What was drawn but not saved is kept for its reviewer, outside the record."""

import pytest

from hc18.reviews.models import StoreError
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import CORRECTED, MODEL_ELLIPSE, new_case
from tests.hc18.reviews.raw import execute


def test_draft_survives_a_restart_and_belongs_to_its_reviewer(store_url: str) -> None:
    with ReviewStore(store_url) as store:
        store.register_case(new_case(1), "ann")
        store.keep_draft(1, "ann", 1, MODEL_ELLIPSE)
        store.keep_draft(1, " ann ", 1, CORRECTED)
    with ReviewStore(store_url) as store:
        draft = store.draft(1, "ann")
        assert draft is not None
        assert (draft.ellipse_px, draft.revision) == (CORRECTED, 1)
        assert draft.saved_at_utc.tzinfo is not None
        assert store.draft(1, "bob") is None
        store.drop_draft(1, "ann")
        assert store.draft(1, "ann") is None


def test_draft_is_not_part_of_the_record(store: ReviewStore) -> None:
    store.register_case(new_case(1), "ann")
    head = store.verify().head
    store.keep_draft(1, "ann", 1, CORRECTED)
    verification = store.verify()
    assert (verification.problems, verification.head) == ((), head)
    assert store.state(1).revision == 1


def test_draft_of_no_case_is_refused(store: ReviewStore) -> None:
    with pytest.raises(StoreError):
        store.keep_draft(1, "ann", 1, CORRECTED)


def test_damaged_draft_is_forgotten(store_url: str) -> None:
    with ReviewStore(store_url) as store:
        store.register_case(new_case(1), "ann")
        store.keep_draft(1, "ann", 1, CORRECTED)
        execute(store_url, "UPDATE drafts SET semi_axis_b = -5")
        assert store.draft(1, "ann") is None
