"""The blind second reading: only the picture, no ellipse of the model or of another reader."""

from __future__ import annotations

import numpy as np
import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, drafts, resources, wording
from fetal_hc_app.editor import CALIPER, EditorView, ellipse_editor, read_edit, read_shown
from fetal_hc_app.texts import text
from hc18.geometry.ellipse import Ellipse
from hc18.reviews import worklist as notes
from hc18.reviews.models import CaseId, CaseState, ReviewAction, ReviewConflict
from hc18.reviews.state import to_outline

_ANSWER_KEY = "reading_answer"


def reading_page() -> None:
    """The case that has waited longest for a second reading by this person."""
    _reading()


@st.fragment
def _reading() -> None:
    access.keep_alive()
    reviewer = access.reviewer()
    answer = st.session_state.pop(_ANSWER_KEY, "")
    if answer:
        st.info(wording.plain(answer))
    if not reviewer:
        st.info(text("Type your name at the top right first."), icon=":material/person:")
        return
    with resources.store().reader() as connection:
        waiting = notes.open_readings(connection, reviewer)
    if not waiting:
        st.info(
            text("No case waits for a second reading by you. Readings are asked for on the page **Queue**."),
            icon=":material/visibility_off:",
        )
        return
    case_id = waiting[0]
    st.markdown(f"#### {text('Second reading')}")
    st.caption(
        text(
            "{count} to read. You see neither the model's ellipse nor another reader's. Draw the outer skull edge.",
            count=len(waiting),
        )
    )
    try:
        state = resources.store().state(case_id)
        _case(case_id, state, reviewer)
    except FetalHCError as error:
        st.error(wording.plain(wording.sentence(str(error))), icon=":material/error:")


def _case(case_id: CaseId, state: CaseState, reviewer: str) -> None:
    name = f"reading-{case_id}"
    seq, ellipse_px = _drawn(name)
    left, right = st.columns([68, 32], gap="medium")
    with left:
        ellipse_editor(
            EditorView(
                case=name,
                image_url=resources.picture_url(resources.picture_of(case_id, state), "picture"),
                next_image_url="",
                image_hw=state.image_hw,
                pixel_size_xy_mm=state.calibration.pixel_size_xy_mm,
                ellipse=ellipse_px,
                model_ellipse=None,
                reference_ellipse=None,
                mask_edge_xy=np.empty((0, 2)),
                is_read_only=False,
                is_reviewers=True,
                seq=seq,
                session=drafts.editor_session(),
                is_unsaved=ellipse_px is not None,
                tools=(CALIPER,),
            )
        )
    with right, st.container(border=True):
        hc_mm = to_outline(ellipse_px, state.calibration).hc_mm
        in_px = "–" if ellipse_px is None else f"{ellipse_px.circumference():.0f} px"
        st.metric(text("Head circumference"), in_px if hc_mm is None else f"{hc_mm:.1f} mm")
        note = f"reading-note-{case_id}"
        st.text_input(text("Note, or why nothing can be measured"), key=note, max_chars=500)
        is_shown = read_shown(name)
        st.button(
            text("Save this reading"),
            key="save-reading",
            type="primary",
            icon=":material/save:",
            shortcut="Y",
            disabled=ellipse_px is None or not is_shown,
            on_click=_save,
            args=(case_id, reviewer, ellipse_px, note),
            width="stretch",
        )
        st.button(
            text("Nothing can be measured"),
            key="no-reading",
            disabled=not is_shown or not st.session_state.get(note),
            on_click=_save,
            args=(case_id, reviewer, None, note),
            width="stretch",
        )


def _drawn(name: str) -> tuple[int, Ellipse | None]:
    """What was drawn in this case, with the number of the edit."""
    edit = read_edit()
    if edit is None or edit.case != name or edit.session != drafts.editor_session():
        return 0, None
    return edit.seq, edit.ellipse


def _save(case_id: CaseId, reviewer: str, ellipse_px: Ellipse | None, note_key: str) -> None:
    """Records the reading; somebody else's step in between does not matter, because a reading changes no decision."""
    reason = str(st.session_state.get(note_key) or "")
    store = resources.store()
    for is_last in (False, True):
        try:
            revision = store.state(case_id).revision
            store.append(case_id, revision, ReviewAction.READ, reviewer, ellipse_px=ellipse_px, reason=reason)
        except ReviewConflict as error:
            if is_last:
                st.session_state[_ANSWER_KEY] = wording.sentence(str(error))
        except FetalHCError as error:
            st.session_state[_ANSWER_KEY] = wording.sentence(str(error))
            return
        else:
            return
