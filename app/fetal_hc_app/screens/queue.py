"""The work queue: how far the work is, and which case is next."""

from __future__ import annotations

from typing import Any

import streamlit as st

from fetal_hc_app import resources, session, wording
from fetal_hc_app.panels.queue_exports import queue_exports_panel
from hc18.reviews.queue import Progress, QueueFilter, QueuePage, QueueRow

_PAGE_SIZE = 50


def queue_page() -> None:
    """Progress, filters, one page of cases."""
    store = resources.store()
    progress = store.progress()
    if not progress.n_cases:
        st.info("No image was measured yet. Begin on the page **Measure**.", icon=":material/inbox:")
        return
    _progress_panel(progress)
    chosen, search = _filter_fields(progress)
    number = int(st.session_state.get("queue_number", 1))
    page = store.queue(chosen, number, search=search, page_size=_PAGE_SIZE)
    if not page.n_rows:
        st.info("No case matches this filter.", icon=":material/filter_alt_off:")
        return
    if page.n_pages > 1:
        st.pagination(page.n_pages, key="queue_number")
    _table(page)
    queue_exports_panel(chosen, search, page.n_rows)


def _progress_panel(progress: Progress) -> None:
    """Counts and a bar."""
    n_decided = progress.n_cases - progress.unreviewed
    shown = {
        "Cases": progress.n_cases,
        "To review": progress.unreviewed,
        "of them flagged": progress.flagged,
        "To sign": progress.to_sign,
        "Signed": progress.signed,
    }
    columns = st.columns([1] * len(shown) + [2.4], vertical_alignment="center")
    for column, (name, number) in zip(columns, shown.items(), strict=False):
        column.metric(name, f"{number:,}")
    columns[-1].progress(n_decided / progress.n_cases, f"{n_decided:,} of {progress.n_cases:,} reviewed")


def _filter_fields(progress: Progress) -> tuple[QueueFilter, str]:
    """Filter and search, and the button that opens the next case."""
    left, middle, right = st.columns([5, 2, 1.6], vertical_alignment="center")
    name = left.segmented_control(
        "Show",
        list(wording.FILTER_NAMES.values()),
        default=wording.FILTER_NAMES[QueueFilter.ALL],
        key="queue_filter",
        bind="query-params",
        label_visibility="collapsed",
        on_change=_first_page,
    )
    search = middle.text_input(
        "Search", key="queue_search", placeholder="Search labels", label_visibility="collapsed", on_change=_first_page
    )
    if right.button(
        "Next to review",
        type="primary",
        icon=":material/arrow_forward:",
        disabled=not progress.unreviewed,
        width="stretch",
    ):
        case_id = resources.store().next_case(0, QueueFilter.UNREVIEWED)
        if case_id is not None:
            session.open_case(case_id)
    chosen = next((known for known, shown in wording.FILTER_NAMES.items() if shown == name), QueueFilter.ALL)
    return chosen, search


def _first_page() -> None:
    st.session_state["queue_number"] = 1


def _table(page: QueuePage) -> None:
    """One page; a click on a row opens the case."""
    number = st.column_config.NumberColumn(format="%.1f")
    event: Any = st.dataframe(
        [_row(row) for row in page.rows],
        hide_index=True,
        height=min(38 + 35 * len(page.rows), 420),
        on_select="rerun",
        selection_mode="single-row",
        key="queue_table",
        placeholder="–",
        column_config={
            "HC, mm": number,
            "Model HC, mm": number,
            "Confidence": st.column_config.NumberColumn(format="%.2f"),
        },
    )
    first = (page.page - 1) * _PAGE_SIZE + 1
    last = first + len(page.rows) - 1
    st.caption(f"Cases {first:,} to {last:,} of {page.n_rows:,}. Tick a row on its left to open the case.")
    if event.selection.rows:
        session.open_case(page.rows[event.selection.rows[0]].case_id)


def _row(row: QueueRow) -> dict[str, Any]:
    return {
        "Case": row.label,
        "State": wording.state_name(row),
        "HC, mm": row.hc_mm,
        "Model HC, mm": row.model_hc_mm,
        "Confidence": row.confidence,
        "Look at": wording.attention(row),
        "Reviewer": row.reviewer,
        "Last change (UTC)": f"{row.changed_at_utc:%Y-%m-%d %H:%M}",
    }
