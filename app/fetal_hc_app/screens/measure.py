"""Upload, measure, and look at the result."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, drafts, intake, resources, session, wording
from fetal_hc_app.intake import NewFile
from fetal_hc_app.measuring import NOBODY
from fetal_hc_app.panels.batch import batch_panel
from fetal_hc_app.panels.case import case_panel
from fetal_hc_app.panels.codes import NO_TAGS
from fetal_hc_app.panels.dicom import dicom_panel
from fetal_hc_app.panels.hiding import hiding_panel
from fetal_hc_app.panels.queue_exports import session_exports_panel
from fetal_hc_app.panels.uploads import (
    clip_messages,
    results_table,
    twin_messages,
    upload_fields,
    upload_messages,
    uploaded_files,
)
from fetal_hc_app.texts import text
from fetal_hc_app.uploads import Refusal
from hc18.reviews.images import clip_code
from hc18.reviews.models import CaseId, ReviewAction, ReviewCase
from hc18.reviews.worklist import CaseTags


def measure_page() -> None:
    """Files on top, then the result of the chosen image."""
    uploads = session.uploads()
    files = [file for file in uploaded_files(uploads.generation) if file.file_id not in uploads.seen]
    intake.take_files(NewFile(file.file_id, file.name, file.getvalue()) for file in files)
    with st.expander(text("Images and pixel size"), expanded=not uploads.sources, icon=":material/upload_file:"):
        upload_fields(uploads.generation)
        batch_panel(access.reviewer())
    upload_messages(uploads.refusals, uploads.tables)
    twin_messages(uploads)
    for key, prepared in uploads.to_prepare.items():
        stills = dicom_panel(key, prepared, is_open=key not in uploads.prepared)
        if stills:
            intake.measure_all(stills, CaseTags(clip_code(prepared)) if prepared.dicom.n_frames > 1 else NO_TAGS)
            uploads.prepared.add(key)
            st.rerun()
    if uploads.to_hide:
        ready = hiding_panel(uploads.to_hide)
        if not ready:
            return
        intake.measure_all(ready)
        st.rerun()
    cases = list(resources.store().cases(uploads.sources))
    if not cases:
        _welcome()
        return
    clip_messages(uploads, cases)
    if len(uploads.names) > 1 or uploads.refusals or uploads.to_prepare:
        _list_buttons(cases)
    case_panel(cases[0].case_id if len(uploads.names) == 1 else results_table(uploads, cases))


def _list_buttons(cases: Sequence[ReviewCase]) -> None:
    """What can be done with all images of this session at once."""
    without = [case for case in cases if _can_be_calibrated(case)]
    left, middle, right = st.columns([2.2, 4, 1.4], vertical_alignment="center")
    if without:
        left.button(
            text("Apply the known pixel size to {count}", count=wording.count(len(without), "image")),
            icon=":material/straighten:",
            on_click=_calibrate_all,
            args=([case.case_id for case in without],),
            type="primary",
        )
    with middle:
        session_exports_panel(session.uploads().names)
    right.button(
        text("Clear list"), on_click=session.clear_uploads, help=text("The cases stay in the queue."), width="stretch"
    )


def _can_be_calibrated(case: ReviewCase) -> bool:
    """Whether it has no pixel size although this session knows one."""
    if case.state.calibration.pixel_size_xy_mm is not None or case.state.is_signed:
        return False
    known = session.known_pixel_size(case.case_id, access.reviewer(), case.state.outline.ellipse_px)
    return known is not None


def _calibrate_all(case_ids: Sequence[CaseId]) -> None:
    """Records the pixel size that this session knows for each of the cases."""
    reviewer = access.reviewer()
    for case_id in case_ids:
        try:
            state = resources.store().state(case_id)
            known = session.known_pixel_size(case_id, reviewer, state.outline.ellipse_px)
            state = resources.store().append(
                case_id, state.revision, ReviewAction.CALIBRATE, reviewer or NOBODY, calibration=known
            )
        except FetalHCError as error:
            session.uploads().refusals.append(Refusal(f"Case {case_id}", wording.sentence(str(error))))
        else:
            drafts.follow_action(case_id, state, keeps_drawing=True)


def _welcome() -> None:
    """What to do first."""
    st.markdown(
        text(
            "**Start here.** Drop one or more images above. The model outlines the head and measures it; "
            "you check the ellipse, correct it where it is wrong, and sign. Every image you measure is also in the "
            "**Queue**."
        )
    )
