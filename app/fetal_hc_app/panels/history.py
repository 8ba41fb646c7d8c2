"""What happened to a case, from its record."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import case_session, wording
from fetal_hc_app.resources import store
from fetal_hc_app.texts import text
from hc18.reviews.models import CaseId, ReviewCase, ReviewEvent


def history_panel(case: ReviewCase, events: Sequence[ReviewEvent]) -> None:
    """The events of a case, newest first, and its label."""
    rows = [
        {
            text("When (UTC)"): f"{event.at_utc:%Y-%m-%d %H:%M:%S}",
            text("Who"): event.reviewer,
            text("What"): text(wording.ACTION_NAMES[event.action]),
            text("HC before, mm"): event.before.hc_mm,
            text("HC after, mm"): event.after.hc_mm,
            text("Reason"): event.reason,
        }
        for event in reversed(events)
    ]
    number = st.column_config.NumberColumn(format="%.1f")
    st.dataframe(
        rows,
        hide_index=True,
        column_config={text("HC before, mm"): number, text("HC after, mm"): number},
        height="content",
        key=f"history-{case.case_id}",
        placeholder="–",
    )
    st.caption(
        "Events are only ever added, each with the SHA-256 of the one before; fetal-hc verify checks them. "
        f"Image {case.state.image_sha256[:12]}…, model {wording.plain(case.state.measurement.model.name)} "
        f"{case.state.measurement.model.sha256[:12]}…"
    )
    _label_field(case)


def _label_field(case: ReviewCase) -> None:
    """The neutral name of the case."""
    key = f"label-{case.case_id}"
    st.session_state.setdefault(key, case.label)
    st.text_input(
        text("Label of the case"),
        key=key,
        max_chars=80,
        on_change=_rename,
        args=(case.case_id, key),
        help=text(
            "Do not use the name, number or birthday of a patient. The label can be changed; it is not in the record."
        ),
    )


def _rename(case_id: CaseId, key: str) -> None:
    try:
        store().set_label(case_id, str(st.session_state.get(key) or ""))
    except FetalHCError as error:
        case_session.tell_error(case_id, wording.sentence(str(error)))
    else:
        st.session_state.pop(key, None)
        st.session_state["case_changed"] = True
