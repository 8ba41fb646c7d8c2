"""One case on its own page, with the way to its neighbours in the list that a person works through."""

from __future__ import annotations

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, resources, session, wording, worklist
from fetal_hc_app.panels.case import show_case
from fetal_hc_app.panels.keys import keys_panel
from fetal_hc_app.texts import text
from hc18.reviews.models import CaseId
from hc18.reviews.queue import Neighbours


def case_page() -> None:
    """The case that the address names."""
    _case_in_its_list()


@st.fragment
def _case_in_its_list() -> None:
    """A fragment: deciding and going on run nothing else of the page again."""
    access.keep_alive()
    case_id = session.chosen_case()
    if case_id is None:
        case_id = resources.store().neighbours(worklist.view()).following
        if case_id is None:
            st.info(text("There is no case to review. Choose one in the **Queue**."), icon=":material/inbox:")
            return
        worklist.show(case_id)
    try:
        case = resources.store().case(case_id)
    except FetalHCError as error:
        st.error(wording.plain(wording.sentence(str(error))), icon=":material/error:")
        return
    around = worklist.neighbours(case_id)
    _way(case_id, case.label, around)
    show_case(case, around.following)
    keys_panel()


def _way(case_id: CaseId, label: str, around: Neighbours) -> None:
    """The label, the place in the list, and the way to the queue and to the neighbours."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.markdown(f"#### {wording.plain(label)}", width="content")
        st.caption(_place(case_id, around), width="stretch")
        if st.button(text("Queue"), icon=":material/list:"):
            session.open_page("queue")
        _step("Previous", "previous-case", ":material/arrow_back:", "P", around.previous)
        _step("Next", "next-case", ":material/arrow_forward:", "N", around.following)


def _place(case_id: CaseId, around: Neighbours) -> str:
    chosen = worklist.view()
    name = text(wording.FILTER_NAMES[chosen.queue_filter])
    if not resources.store().lists(chosen, case_id):
        return text("not in the list {name} ({count})", name=name, count=around.n_rows)
    return text("{position} of {count}, {name}", position=around.position, count=around.n_rows, name=name)


def _step(label: str, key: str, icon: str, shortcut: str, case_id: CaseId | None) -> None:
    st.button(
        text(label),
        key=key,
        icon=icon,
        shortcut=shortcut,
        disabled=case_id is None,
        on_click=worklist.show,
        args=(case_id,),
        help=text("In the list that the queue shows now") if access.reviewer() else None,
    )
