"""The list that a person works through: filter and order of the session, the case on the screen, its neighbours."""

from __future__ import annotations

import streamlit as st

from fetal_hc_app import access, session
from fetal_hc_app.resources import store
from hc18.reviews.models import CaseId
from hc18.reviews.queue import Neighbours, QueueFilter, QueueView

_VIEW_KEY = "queue_view"
_FOLLOWING_KEY = "following_case"
ONE_KEY = "one_key_per_case"


def view() -> QueueView:
    """The cases of this session in their order: those of the queue page, at first all that nobody has decided on."""
    found = st.session_state.get(_VIEW_KEY)
    return found if isinstance(found, QueueView) else QueueView(QueueFilter.UNREVIEWED)


def keep_view(chosen: QueueView) -> None:
    """Remembers what the queue page lists."""
    st.session_state[_VIEW_KEY] = chosen


def neighbours(case_id: CaseId) -> Neighbours:
    """The cases around the one on the screen; the one behind it is where `go_on` leads."""
    found = store().neighbours(view(), case_id)
    st.session_state[_FOLLOWING_KEY] = (case_id, view(), found.following)
    return found


def following(case_id: CaseId) -> CaseId | None:
    """The next case, also after an action has moved `case_id` to another place of the list.

    It was found while the case was drawn; if somebody else has taken it out of the list since, it is looked up again.
    """
    known = st.session_state.get(_FOLLOWING_KEY)
    if isinstance(known, tuple) and known[:2] == (case_id, view()):
        next_id: CaseId | None = known[2]
        if next_id is None or store().lists(view(), next_id):
            return next_id
        case_id = next_id
    return store().neighbours(view(), case_id).following


def show(case_id: CaseId | None) -> None:
    """Puts a case on the screen in the run that follows, if there is one."""
    if case_id is not None:
        st.query_params[session.CASE_PARAMETER] = str(case_id)


def takes_one_key() -> bool:
    """Whether this reviewer has chosen that one key accepts, signs and shows the next case."""
    return bool(st.session_state.get(ONE_KEY)) and bool(access.reviewer())
