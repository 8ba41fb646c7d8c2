"""Fields for the codes by which cases are found again: examination, patient code, day."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date
from typing import Literal

import streamlit as st

from fetal_hc_app import resources
from fetal_hc_app.texts import text
from hc18.reviews import worklist as notes
from hc18.reviews.models import CaseId
from hc18.reviews.worklist import CaseTags

NO_TAGS = CaseTags()


def tag_fields(key: str, tags: CaseTags = NO_TAGS, *, is_kept: bool = False) -> CaseTags:
    """Fields for the codes of a case.

    Args:
        key: of the fields.
        tags: what they show at first.
        is_kept: whether they keep their content while another page is shown.
    """
    kept: Literal["session"] | None = "session" if is_kept else None
    left, middle, right = st.columns(3)
    left.text_input(text("Examination"), tags.examination, key=f"{key}-examination", max_chars=80, persist_state=kept)
    middle.text_input(text("Patient code"), tags.subject, key=f"{key}-subject", max_chars=80, persist_state=kept)
    first = date.fromisoformat(tags.examined_on) if tags.examined_on else None
    right.date_input(
        text("Day of the examination"),
        first,
        date(1990, 1, 1),
        date(2100, 1, 1),
        key=f"{key}-day",
        format="YYYY-MM-DD",
        persist_state=kept,
    )
    st.caption(text("Use codes of a list that you keep elsewhere, never a name, a number or a birthday of a patient."))
    return typed_tags(key)


def typed_tags(key: str) -> CaseTags:
    """What the fields with this key contain, also before they are drawn."""
    day = st.session_state.get(f"{key}-day")
    return CaseTags(
        str(st.session_state.get(f"{key}-examination") or ""),
        str(st.session_state.get(f"{key}-subject") or ""),
        day.isoformat() if isinstance(day, date) else "",
    )


def upload_codes(generation: int, case_ids: Sequence[CaseId]) -> None:
    """The fields for the images that are uploaded, and a button for those that are in the list already.

    Args:
        generation: of the upload field; a cleared list has empty fields.
        case_ids: the list.
    """
    tags = tag_fields(_upload_key(generation), is_kept=True)
    if case_ids:
        st.button(
            text("Note for the images of this list"),
            key="tag-uploads",
            icon=":material/sell:",
            disabled=tags == NO_TAGS,
            on_click=note,
            args=(case_ids, tags),
        )


def note_upload_codes(generation: int, case_ids: Sequence[CaseId], fallback: CaseTags = NO_TAGS) -> None:
    """Notes what the fields contain for images just measured; codes that a case has already are kept.

    Args:
        generation: of the upload field.
        case_ids: the images.
        fallback: noted instead where the fields are empty.
    """
    typed = typed_tags(_upload_key(generation))
    tags = fallback if typed == NO_TAGS else typed
    if tags == NO_TAGS:
        return
    with resources.store().reader() as connection:
        without = [case_id for case_id in case_ids if notes.read_tags(connection, case_id) == NO_TAGS]
    note(without, tags)


def note(case_ids: Sequence[CaseId], tags: CaseTags) -> None:
    """Writes the codes of cases."""
    with resources.store().writer() as connection:
        notes.write_tags(connection, case_ids, tags)


def _upload_key(generation: int) -> str:
    return f"upload-{generation}"
