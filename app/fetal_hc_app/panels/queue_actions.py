"""What can be done with many cases of the queue at once: sign, give to readers, ask for second readings, note codes."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from datetime import UTC, datetime

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, resources, wording
from fetal_hc_app.panels.codes import note, tag_fields
from fetal_hc_app.roles import Role
from fetal_hc_app.texts import text
from hc18.reviews import worklist as notes
from hc18.reviews.models import CaseId
from hc18.reviews.queue import QueueView
from hc18.reviews.worklist import CaseTags

_ANSWER_KEY = "queue_answer"
_SIGN, _ASSIGN, _READ, _TAGS = "Sign", "Give to readers", "Second reading", "Examination and patient code"


def actions_panel(view: QueueView, ticked: Sequence[CaseId], n_listed: int) -> None:
    """The actions on the ticked cases, or on all of the list if none is ticked."""
    reviewer = access.reviewer()
    actions = [_SIGN, _ASSIGN, _READ, _TAGS] if access.may(Role.ADJUDICATOR) else [_SIGN, _TAGS]
    chosen = st.segmented_control(text("With these cases"), actions, format_func=text, key="queue_action")
    answer = st.session_state.pop(_ANSWER_KEY, "")
    if answer:
        st.success(wording.plain(answer), icon=":material/check_circle:")
    if chosen is None:
        return
    if not reviewer:
        st.info(text("Type your name at the top right first."), icon=":material/person:")
        return
    with st.container(border=True):
        n_chosen = len(ticked) or n_listed
        whose = text("the {count} ticked cases") if ticked else text("all {count} cases of the list")
        st.caption(text("For {cases}:", cases=whose.format(count=f"{n_chosen:,}")))
        panel = {_SIGN: _sign_fields, _ASSIGN: _assign_fields, _READ: _reading_fields, _TAGS: _tag_fields}[chosen]
        panel(lambda: list(ticked) or _listed(view), reviewer)


def _listed(view: QueueView) -> list[CaseId]:
    return resources.store().ids(view)


def _sign_fields(cases: Callable[[], list[CaseId]], reviewer: str) -> None:
    """Signs decided cases that this person has had on the screen as they are now."""
    with resources.store().reader() as connection:
        ready = notes.to_sign(connection, cases(), reviewer)
    st.caption(
        text(
            "Only cases that somebody has decided on and that you have had on the screen since their last change can "
            "be signed together. Open the others first."
        )
    )
    if access.needs_sign_in():
        st.button(
            text("Log in to sign"),
            key="log-in-to-sign",
            icon=":material/login:",
            disabled=not ready,
            on_click=access.sign_in_again,
            args=(next(iter(ready), None),),
        )
        return
    st.button(
        text("Sign {count} cases", count=len(ready)),
        key="sign-many",
        type="primary",
        icon=":material/verified:",
        disabled=not ready,
        on_click=_sign,
        args=(ready, reviewer),
    )


def _sign(ready: dict[CaseId, int], reviewer: str) -> None:
    if access.needs_sign_in():
        _answer(text("Log in again to sign."))
        return
    try:
        refused = resources.store().sign_cases(ready, reviewer)
    except FetalHCError as error:
        _answer(wording.sentence(str(error)))
        return
    words = text("{count} cases signed.", count=len(ready) - len(refused))
    _answer(" ".join([words, *(f"{case_id}: {wording.sentence(why)}" for case_id, why in refused.items())]))


def _assign_fields(cases: Callable[[], list[CaseId]], reviewer: str) -> None:
    readers = _reader_choice("assign-readers", reviewer)
    st.button(
        text("Give to them in turn") if readers else text("Give to nobody"),
        key="assign-many",
        on_click=_assign,
        args=(cases, readers),
    )


def _reader_choice(key: str, reviewer: str) -> list[str]:
    """Names of readers: those that the store knows, or new ones."""
    with resources.store().reader() as connection:
        names = notes.people(connection)
    known = sorted({*names, reviewer})
    return list(
        st.multiselect(
            text("Readers"),
            known,
            key=key,
            accept_new_options=True,
            placeholder=text("Choose or type names"),
        )
    )


def _is_refused() -> bool:
    """Whether this person may not share out work; says so."""
    if access.may(Role.ADJUDICATOR):
        return False
    _answer(text("Only adjudicators share out cases and readings."))
    return True


def _assign(cases: Callable[[], list[CaseId]], readers: list[str]) -> None:
    if _is_refused():
        return
    chosen = cases()
    with resources.store().writer() as connection:
        notes.assign(connection, chosen, readers)
    who = wording.listed(readers) if readers else text("nobody")
    _answer(text("{count} cases given to {who}.", count=len(chosen), who=who))


def _reading_fields(cases: Callable[[], list[CaseId]], reviewer: str) -> None:
    """Which share of the cases is read again, and by whom."""
    st.caption(
        text(
            "A second reader sees neither the model's ellipse nor the first reader's. Without a name anybody may read "
            "who has not had the case on the screen; with the first reader's name the same person reads again."
        )
    )
    left, right = st.columns(2)
    share = left.number_input(text("Share of the cases, %"), 1, 100, 10, key="reading-share")
    with right:
        readers = _reader_choice("reading-readers", reviewer)
    ask, drop = st.columns(2)
    ask.button(
        text("Ask for second readings"),
        key="read-many",
        type="primary",
        on_click=_ask,
        args=(cases, int(share), readers),
    )
    drop.button(text("Take open requests back"), key="drop-readings", on_click=_drop, args=(cases,))


def _ask(cases: Callable[[], list[CaseId]], share_percent: int, readers: list[str]) -> None:
    """Draws the share by lot, so that nobody chooses the easy ones."""
    if _is_refused():
        return
    chosen = cases()
    lot = random.SystemRandom().sample(chosen, max(1, round(len(chosen) * share_percent / 100.0)))
    with resources.store().writer() as connection:
        asked = [
            notes.ask_reading(connection, sorted(lot), reader, access.reviewer(), datetime.now(UTC))
            for reader in readers or [notes.ANYBODY]
        ]
    _answer(text("{count} second readings asked for.", count=sum(asked)))


def _drop(cases: Callable[[], list[CaseId]]) -> None:
    if _is_refused():
        return
    with resources.store().writer() as connection:
        notes.drop_requests(connection, cases())
    _answer(text("Open requests were taken back."))


def _tag_fields(cases: Callable[[], list[CaseId]], _reviewer: str) -> None:
    tags = tag_fields("queue")
    st.button(text("Note this"), key="tag-many", on_click=_tag, args=(cases, tags))


def _tag(cases: Callable[[], list[CaseId]], tags: CaseTags) -> None:
    chosen = cases()
    note(chosen, tags)
    _answer(text("Noted for {count} cases.", count=len(chosen)))


def _answer(words: str) -> None:
    st.session_state[_ANSWER_KEY] = words
