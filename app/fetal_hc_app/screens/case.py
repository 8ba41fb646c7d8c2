"""One case on its own page, with the way to its neighbours."""

from __future__ import annotations

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import resources, session, wording
from fetal_hc_app.panels.case import case_panel
from hc18.reviews.models import CaseId
from hc18.reviews.queue import QueueFilter


def case_page() -> None:
    """The case that the address names."""
    case_id = session.chosen_case()
    if case_id is None:
        case_id = resources.store().next_case(0, QueueFilter.UNREVIEWED)
        if case_id is None:
            st.info("There is no case to review. Choose one in the **Queue**.", icon=":material/inbox:")
            return
        st.query_params[session.CASE_PARAMETER] = str(case_id)
    try:
        case = resources.store().case(case_id)
    except FetalHCError as error:
        st.error(wording.plain(wording.sentence(str(error))), icon=":material/error:")
        return
    _neighbours(case_id, case.label)
    case_panel(case_id)


def _neighbours(case_id: CaseId, label: str) -> None:
    """The label, and buttons to the queue and the next case."""
    left, middle, right = st.columns([6, 1.3, 1.7], vertical_alignment="center")
    left.markdown(f"#### {wording.plain(label)}")
    if middle.button("Queue", icon=":material/list:", width="stretch"):
        session.open_page("queue")
    following = resources.store().next_case(case_id, QueueFilter.UNREVIEWED)
    if right.button("Next to review", icon=":material/arrow_forward:", disabled=following is None, width="stretch"):
        assert following is not None
        session.open_case(following)
