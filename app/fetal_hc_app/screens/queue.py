"""The work queue: how far the work is, which cases are listed in which order, and what can be done with them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import streamlit as st

from fetal_hc_app import access, resources, session, wording, worklist
from fetal_hc_app.panels.queue_actions import actions_panel
from fetal_hc_app.panels.queue_exports import queue_exports_panel
from fetal_hc_app.texts import text
from hc18.measurement.flags import Flag
from hc18.reviews import worklist as notes
from hc18.reviews.models import CaseId
from hc18.reviews.queue import Progress, QueueFilter, QueueOrder, QueuePage, QueueRow, QueueView

_PAGE_SIZES = (50, 200, 1000)
_ORDERS = {
    QueueOrder.CASE: "Number",
    QueueOrder.LABEL: "Label",
    QueueOrder.HC: "HC",
    QueueOrder.INTERVAL: "Width of the interval",
    QueueOrder.CONFIDENCE: "Confidence",
    QueueOrder.FLAGS: "Flags",
    QueueOrder.EXAMINATION: "Examination",
    QueueOrder.READER: "Reader",
    QueueOrder.CHANGED: "Last change",
}
_PLANE_FLAGS = frozenset({Flag.NOT_HEAD_PLANE.value, Flag.NO_MIDLINE.value})
_EVERYBODY, _MINE, _NOBODY = "Everybody's cases", "My cases", "Nobody's cases"


def queue_page() -> None:
    """Progress, filters, one page of cases, and actions on many of them."""
    store = resources.store()
    progress = store.progress()
    if not progress.n_cases:
        st.info(text("No image was measured yet. Begin on the page **Measure**."), icon=":material/inbox:")
        return
    _progress_panel(progress)
    view = _view_fields(progress)
    worklist.keep_view(view)
    size = int(st.session_state.get("queue_page_size") or _PAGE_SIZES[0])
    page = store.queue(view, int(st.session_state.get("queue_number", 1)), page_size=size)
    if not page.n_rows:
        st.info(text("No case matches this filter."), icon=":material/filter_alt_off:")
        return
    ticked = _table(page, size)
    with st.container(horizontal=True, vertical_alignment="center"):
        if page.n_pages > 1:
            st.pagination(page.n_pages, key="queue_number")
        st.selectbox(
            text("Rows on a page"),
            _PAGE_SIZES,
            key="queue_page_size",
            persist_state="session",
            on_change=_first_page,
            label_visibility="collapsed",
            width=110,
        )
        queue_exports_panel(view, page.n_rows)
    actions_panel(view, ticked, page.n_rows)


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
        column.metric(text(name), f"{number:,}")
    words = text("{done} of {all} reviewed", done=f"{n_decided:,}", all=f"{progress.n_cases:,}")
    columns[-1].progress(n_decided / progress.n_cases, words)


def _view_fields(progress: Progress) -> QueueView:
    """Filter, search, order and reader, and the button that opens the first case of the list."""
    with st.container(key="stacked-columns-queue"):
        left, right = st.columns([5, 1.6], vertical_alignment="center")
    kept = worklist.view()
    name = left.segmented_control(
        text("Show"),
        list(wording.FILTER_NAMES),
        format_func=lambda known: text(wording.FILTER_NAMES[known]),
        default=QueueFilter.ALL,
        key="queue_filter",
        persist_state="session",
        label_visibility="collapsed",
        on_change=_first_page,
    )
    search, order, direction, reader = st.columns([2.2, 1.6, 1.2, 1.6], vertical_alignment="bottom")
    words = search.text_input(
        text("Search label, examination or patient code"),
        key="queue_search",
        persist_state="session",
        on_change=_first_page,
    )
    chosen = order.selectbox(
        text("Sort by"),
        list(_ORDERS),
        format_func=lambda known: text(_ORDERS[known]),
        key="queue_order",
        persist_state="session",
        on_change=_first_page,
    )
    is_descending = direction.toggle(
        text("Largest first"), key="queue_descending", persist_state="session", on_change=_first_page
    )
    view = QueueView(name or QueueFilter.ALL, words or "", chosen, is_descending, _reader_field(reader))
    has_cases = bool(progress.n_cases)
    if right.button(
        text("Work through this list"),
        type="primary",
        icon=":material/arrow_forward:",
        key="start-list",
        shortcut="N",
        disabled=not has_cases,
        width="stretch",
    ):
        worklist.keep_view(view)
        case_id = resources.store().neighbours(view).following
        if case_id is not None:
            session.open_case(case_id)
    return view if view != kept else kept


def _reader_field(column: Any) -> str | None:
    """Whose cases are listed: a name, empty for nobody's, None for everybody's."""
    with resources.store().reader() as connection:
        names = notes.people(connection)
    choice = column.selectbox(
        text("Given to"),
        [_EVERYBODY, _MINE, _NOBODY, *names],
        format_func=lambda known: text(known) if known in (_EVERYBODY, _MINE, _NOBODY) else known,
        key="queue_reader",
        persist_state="session",
        on_change=_first_page,
    )
    return {_EVERYBODY: None, _NOBODY: "", _MINE: access.reviewer() or "-"}.get(choice, choice)


def _first_page() -> None:
    st.session_state["queue_number"] = 1


def _table(page: QueuePage, size: int) -> list[CaseId]:
    """One page; a click on a cell opens its case, ticks choose cases. Returns those that are ticked."""
    number = st.column_config.NumberColumn(format="%.1f")
    event: Any = st.dataframe(
        [_row(row) for row in page.rows],
        hide_index=True,
        height=min(40 + 35 * len(page.rows), 460),
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        key="queue_table",
        placeholder="–",
        column_config={
            text("HC, mm"): number,
            text("Model, mm"): number,
            text("Confidence"): st.column_config.NumberColumn(format="%.2f"),
        },
        alt=text("The cases of the list"),
    )
    first = (page.page - 1) * size + 1
    st.caption(
        text(
            "Cases {first} to {last} of {count}. Click a case to open it, tick rows to act on several.",
            first=f"{first:,}",
            last=f"{first + len(page.rows) - 1:,}",
            count=f"{page.n_rows:,}",
        )
    )
    if event.selection.cells:
        session.open_case(page.rows[event.selection.cells[0][0]].case_id)
    return [page.rows[index].case_id for index in event.selection.rows if index < len(page.rows)]


def _row(row: QueueRow) -> dict[str, Any]:
    interval = "" if row.interval_mm is None else f"{row.interval_mm[0]:.1f} – {row.interval_mm[1]:.1f}"
    return {
        text("Case"): row.label,
        text("State"): wording.state_name(row),
        text("HC, mm"): row.hc_mm,
        text("Model, mm"): row.model_hc_mm,
        text("Interval, mm"): interval,
        text("Confidence"): row.confidence,
        text("Plane"): text("check") if _PLANE_FLAGS & set(row.flags) else "",
        text("Look at"): wording.attention(row),
        text("Examination"): row.examination,
        text("Patient code"): row.subject,
        text("Reader"): row.reviewer or row.assignee,
        text("In the queue for"): _age(row.registered_at_utc),
        text("Last change (UTC)"): f"{row.changed_at_utc:%Y-%m-%d %H:%M}",
    }


def _age(registered_at_utc: datetime | None) -> str:
    """How long a case has been there, in its largest unit."""
    if registered_at_utc is None:
        return ""
    minutes = (datetime.now(UTC) - registered_at_utc).total_seconds() / 60.0
    for unit, length in (("d", 1440.0), ("h", 60.0)):
        if minutes >= length:
            return f"{minutes / length:.0f} {unit}"
    return f"{max(minutes, 0.0):.0f} min"
