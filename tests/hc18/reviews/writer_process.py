"""What a process of its own does in the tests of concurrency. It talks through one end of a pipe."""

from itertools import cycle
from multiprocessing.connection import Connection

from hc18.reviews.models import ReviewAction, ReviewConflict
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import new_case

STEPS_TOGETHER = 12


def open_new_store(pipe: Connection, store_url: str, reviewer: str) -> None:
    """Opens a store that does not exist yet, when told to, and registers the one case."""
    pipe.recv()
    with ReviewStore(store_url) as store:
        pipe.send(store.register_case(new_case(1), reviewer).is_new)


def review_together(pipe: Connection, store_url: str, reviewer: str) -> None:
    """Accepts and rejects case 1 a dozen times against others who do the same; sends the revisions it wrote."""
    written = []
    with ReviewStore(store_url) as store:
        pipe.recv()
        while len(written) < STEPS_TOGETHER:
            state = store.state(1)
            action = ReviewAction.REJECT if state.decision == "accepted" else ReviewAction.ACCEPT
            try:
                written.append(store.append(1, state.revision, action, reviewer, reason="why").revision)
            except ReviewConflict:
                continue
    pipe.send(written)


def review_until_killed(pipe: Connection, store_url: str, reviewer: str) -> None:
    """Accepts and rejects case 1 for ever; sends each revision once it is saved."""
    with ReviewStore(store_url) as store:
        revision = store.state(1).revision
        for action in cycle((ReviewAction.ACCEPT, ReviewAction.REJECT)):
            revision = store.append(1, revision, action, reviewer, reason="why").revision
            pipe.send(revision)
