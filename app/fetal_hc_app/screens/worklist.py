"""What arrived, and how far it is: measured, waits, signed, sent, failed, with reasons and a retry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, intake, resources, session, wording
from fetal_hc_app.intake import NewFile
from fetal_hc_app.roles import Role
from fetal_hc_app.site import inbox, needed_site, note_opened, outbox
from fetal_hc_app.texts import text
from hc18.pacs.outbox import OutboxState
from hc18.pacs.progress import FAILED, Stage, WorkItem, list_work

_ANSWER_KEY = "worklist_answer"
_MOST_OPENED = 20  # files in one session at once
_PER_PAGE = 200
_NAMES = {
    Stage.ARRIVED: "Arrived",
    Stage.WAITS: "Waits for a person",
    Stage.UNREADABLE: "Unreadable",
    Stage.MEASURED: "Measured",
    Stage.DECIDED: "To sign",
    Stage.SIGNED: "Signed",
    Stage.SENDING: "Being sent",
    Stage.SENT: "Sent",
    Stage.NOT_SENT: "Not sent",
}
_REPORT_NAMES = {
    OutboxState.SENT: "{count} sent",
    OutboxState.WAITING: "{count} on the way",
    OutboxState.FAILED: "{count} failed",
}
_GROUPS = {
    "Arrived": (Stage.ARRIVED,),
    "Waits": (Stage.WAITS,),
    "Measured": (Stage.MEASURED,),
    "To sign": (Stage.DECIDED,),
    "Signed": (Stage.SIGNED, Stage.SENDING),
    "Sent": (Stage.SENT,),
    "Failed": FAILED,
}
_ALL = "All"


def worklist_page() -> None:
    """Counts, a filter, one page of images, and what can be done with the ticked ones."""
    needed_site()
    known, queue = inbox(), outbox()
    if known is None or queue is None:
        return
    items = list_work(known, queue, resources.store())
    answer = st.session_state.pop(_ANSWER_KEY, "")
    if answer:
        st.info(wording.plain(answer))
    if not items:
        st.info(text("Nothing has arrived yet."), icon=":material/inbox:")
        return
    chosen = _filter(items)
    shown = [item for item in items if chosen == _ALL or item.stage in _GROUPS[chosen]]
    if not shown:
        st.info(text("Nothing is in this state."), icon=":material/filter_alt_off:")
        return
    page, n_pages = 1, -(-len(shown) // _PER_PAGE)
    table = st.container()
    if n_pages > 1:
        page = st.pagination(n_pages, key=f"work-page-{chosen}")
    rows = shown[(page - 1) * _PER_PAGE : page * _PER_PAGE]
    with table:
        ticked = _table(rows, chosen)
    _actions(ticked or rows)


def _filter(items: Sequence[WorkItem]) -> str:
    """The states with their counts, one of which is chosen."""
    counts = {name: sum(item.stage in stages for item in items) for name, stages in _GROUPS.items()}
    counts = {_ALL: len(items), **counts}
    chosen = st.segmented_control(
        text("Show"),
        list(counts),
        format_func=lambda name: f"{text(name)} · {counts[name]:,}",
        default=_ALL,
        key="work-filter",
        persist_state="session",
        label_visibility="collapsed",
    )
    return chosen or _ALL


def _table(rows: Sequence[WorkItem], chosen: str) -> list[WorkItem]:
    """One page of images; a click on a cell opens its case. Returns those that are ticked."""
    event: Any = st.dataframe(
        [_row(item) for item in rows],
        hide_index=True,
        height=min(40 + 35 * len(rows), 520),
        on_select="rerun",
        selection_mode=["multi-row", "single-cell"],
        key=f"work-table-{chosen}",
        placeholder="–",
        column_config={
            text("HC, mm"): st.column_config.NumberColumn(format="%.1f", width="small"),
            text("Reason"): st.column_config.TextColumn(width="large"),
        },
        alt=text("What arrived and goes back"),
    )
    st.caption(text("Click a row to open its case. The buttons act on the ticked rows, or on all of the list."))
    cells = event.selection.cells
    case = rows[cells[0][0]].case if cells and cells[0][0] < len(rows) else None
    if case is not None:
        session.open_case(case.case_id)
    return [rows[index] for index in event.selection.rows if index < len(rows)]


def _row(item: WorkItem) -> dict[str, Any]:
    return {
        text("Arrived (UTC)"): "" if item.received_at is None else f"{item.received_at:%Y-%m-%d %H:%M}",
        text("From"): item.sender,
        text("State"): text(_NAMES[item.stage]),
        text("Case"): "" if item.case is None else item.case.label,
        text("HC, mm"): None if item.case is None else item.case.hc_mm,
        text("Reports"): _reports(item),
        text("Reason"): item.reason,
    }


def _reports(item: WorkItem) -> str:
    """How many reports are where."""
    counts = {state: sum(row.state is state for row in item.reports) for state in _REPORT_NAMES}
    return ", ".join(text(_REPORT_NAMES[state], count=count) for state, count in counts.items() if count)


def _actions(items: Sequence[WorkItem]) -> None:
    """Trying again, and opening what waits for a person: the ticked images, or all of the list if none is ticked."""
    again = [item for item in items if item.can_be_tried_again]
    to_open = [item for item in items if item.stage is Stage.WAITS][:_MOST_OPENED]
    with st.container(horizontal=True):
        st.button(
            text("Try again: {count}", count=len(again)),
            key="work-retry",
            icon=":material/replay:",
            disabled=not again or not access.may(Role.ADMIN),
            on_click=_try_again,
            args=(again,),
            help=None if access.may(Role.ADMIN) else text("Only admins try again."),
        )
        if st.button(
            text("Open and prepare: {count}", count=len(to_open)),
            key="work-open",
            icon=":material/open_in_new:",
            disabled=not to_open,
        ):
            _open(to_open)


def _try_again(items: Sequence[WorkItem]) -> None:
    """Has objects measured and reports sent again, with all attempts."""
    known, queue = inbox(), outbox()
    if known is None or queue is None or not access.may(Role.ADMIN):
        return
    problems = []
    for item in items:
        try:
            for row_id in item.failed_reports:
                queue.retry(row_id)
            if item.stage in (Stage.WAITS, Stage.UNREADABLE):
                known.retry(item.key)
        except FetalHCError as error:
            problems.append(wording.sentence(str(error)))
    done = text("{count} are tried again.", count=len(items) - len(problems))
    st.session_state[_ANSWER_KEY] = " ".join([done, *problems])


def _open(items: Sequence[WorkItem]) -> None:
    """Shows objects on the page Measure, where a person chooses frames or the part that may be shown."""
    known, files = inbox(), []
    for item in items:
        content = None if known is None else known.content(item.key)
        if content is not None:
            name = text("object of {time}", time=f"{item.received_at:%H.%M.%S}")
            note_opened(item.key, content)
            files.append(NewFile(item.key, f"{name}.dcm", content))
    intake.take_files(files)
    session.open_page("measure")
