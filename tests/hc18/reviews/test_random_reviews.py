"""Random clicks of two reviewers on three cases of a real store: the record stays whole whatever they do."""

import tempfile
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hc18.geometry.pixel_size import from_user
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews.models import ReviewAction, ReviewConflict, ReviewRefused
from hc18.reviews.queue import QueueFilter, QueueView
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import CORRECTED, MODEL_ELLIPSE, new_case

_CLICKS = st.tuples(
    st.integers(1, 3),
    st.sampled_from(["ann", "bob"]),
    st.sampled_from([action for action in ReviewAction if action is not ReviewAction.MEASURED]),
    st.booleans(),
)


@settings(deadline=None, max_examples=12, suppress_health_check=[HealthCheck.too_slow])
@given(clicks=st.lists(_CLICKS, max_size=25))
def test_record_stays_whole_whatever_reviewers_click(clicks: list[tuple[int, str, ReviewAction, bool]]) -> None:
    with tempfile.TemporaryDirectory() as folder, ReviewStore(str(Path(folder) / "reviews.db")) as store:
        store.register_cases([new_case(number) for number in (1, 2, 3)], "ann")
        seen = dict.fromkeys((1, 2, 3), 1)  # the revisions that both reviewers have on their screens
        n_events, n_conflicts = 3, 0
        for case_id, reviewer, action, is_stale in clicks:
            values = {
                ReviewAction.CORRECT: {"ellipse_px": CORRECTED if n_events % 2 else MODEL_ELLIPSE},
                ReviewAction.CALIBRATE: {"calibration": from_user(1.0 + n_events / 100.0)},
                ReviewAction.SET_AGE: {"age": IndependentAge(100.0 + n_events, "dates")},
            }.get(action, {})
            revision = seen[case_id] - 1 if is_stale else seen[case_id]
            try:
                state = store.append(case_id, revision, action, reviewer, reason="why", **values)  # type: ignore[arg-type]
            except ReviewConflict:
                n_conflicts += 1
                continue
            except ReviewRefused:
                continue
            seen[case_id], n_events = state.revision, n_events + 1
        assert n_conflicts == sum(is_stale for *_, is_stale in clicks)
        verification = store.verify()
        assert verification.problems == ()
        assert verification.head.n_events == n_events
        progress = store.progress()
        assert progress.unreviewed + progress.accepted + progress.corrected + progress.rejected == 3
        assert progress.to_sign + progress.signed + progress.unreviewed == 3
        assert store.queue(QueueView(QueueFilter.SIGNED)).n_rows == progress.signed
        assert {row.case_id: row.revision for row in store.rows()} == seen
