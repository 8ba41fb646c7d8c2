"""Upload, measure, and look at the result."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, drafts, resources, session, wording
from fetal_hc_app.measuring import NOBODY, UploadSource, register_many, register_still
from fetal_hc_app.panels.batch import batch_panel
from fetal_hc_app.panels.case import case_panel
from fetal_hc_app.panels.codes import NO_TAGS, note_upload_codes
from fetal_hc_app.panels.dicom import dicom_panel
from fetal_hc_app.panels.hiding import HIDE_KEY, hiding_panel
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
from fetal_hc_app.uploads import Annotation, PixelTable, Refusal, from_upload
from hc18.reviews.images import DicomToPrepare, StillImage, clip_code
from hc18.reviews.models import CaseId, ReviewAction, ReviewCase
from hc18.reviews.worklist import CaseTags

_FEW = 3  # images that are measured one after the other


def measure_page() -> None:
    """Files on top, then the result of the chosen image."""
    uploads = session.uploads()
    _import_files(uploaded_files(uploads.generation))
    with st.expander(text("Images and pixel size"), expanded=not uploads.sources, icon=":material/upload_file:"):
        upload_fields(uploads.generation)
        batch_panel(access.reviewer())
    upload_messages(uploads.refusals, uploads.tables)
    twin_messages(uploads)
    for key, prepared in uploads.to_prepare.items():
        stills = dicom_panel(key, prepared, is_open=key not in uploads.prepared)
        if stills:
            _measure_all(stills, CaseTags(clip_code(prepared)) if prepared.dicom.n_frames > 1 else NO_TAGS)
            uploads.prepared.add(key)
            st.rerun()
    if uploads.to_hide:
        ready = hiding_panel(uploads.to_hide)
        if not ready:
            return
        _measure_all(ready)
        st.rerun()
    cases = list(resources.store().cases(uploads.sources))
    if not cases:
        _welcome()
        return
    clip_messages(uploads, cases)
    if len(uploads.names) > 1 or uploads.refusals or uploads.to_prepare:
        _list_buttons(cases)
    case_panel(cases[0].case_id if len(uploads.names) == 1 else results_table(uploads, cases))


def _import_files(files: Sequence[UploadedFile]) -> None:
    """Reads and measures what was not seen before; one bad file does not stop the others."""
    uploads = session.uploads()
    new = [file for file in files if file.file_id not in uploads.seen]
    stills = []
    for file in new:
        uploads.seen.add(file.file_id)
        item = from_upload(file.name, file.getvalue())
        match item:
            case StillImage():
                stills.append(item)
            case DicomToPrepare():
                uploads.to_prepare[file.file_id] = item
            case PixelTable():
                uploads.tables.append(item)
            case Annotation():
                uploads.annotations.append(item)
            case Refusal():
                uploads.refusals.append(item)
    if st.session_state.get(HIDE_KEY):
        uploads.to_hide += stills
    else:
        _measure_all(stills)


def _measure_all(stills: Sequence[StillImage], codes: CaseTags = NO_TAGS) -> None:
    """Measures images, many of them side by side.

    Args:
        stills: the images.
        codes: noted for them if nobody has typed others.
    """
    if len(stills) > _FEW:
        _measure_many(stills, codes)
        return
    for still in stills:
        _measure(still, codes)


def _measure_many(stills: Sequence[StillImage], codes: CaseTags) -> None:
    """Measures images side by side, with a bar; a failure becomes a sentence."""
    uploads, reviewer = session.uploads(), access.reviewer()
    progress, n_done = st.progress(0.0), 0
    try:
        parts = register_many(resources.store(), resources.model_for_many(), stills, session.sizes(reviewer), reviewer)
        for part in parts:
            for still, found in part:
                if isinstance(found, FetalHCError):
                    uploads.refusals.append(Refusal(still.file.name, wording.sentence(str(found))))
                else:
                    uploads.add_image(*found)
            _note_codes([found for _, found in part if not isinstance(found, FetalHCError)], codes)
            n_done += len(part)
            words = text("Measured {done} of {all}", done=n_done, all=len(stills))
            progress.progress(n_done / len(stills), words)
    except FetalHCError as error:
        uploads.refusals += [Refusal(still.file.name, wording.sentence(str(error))) for still in stills[n_done:]]
    progress.empty()


def _measure(still: StillImage, codes: CaseTags) -> None:
    """Measures one image; a failure becomes a sentence."""
    uploads = session.uploads()
    reviewer = access.reviewer()
    try:
        case_id, source = register_still(resources.store(), resources.model(), still, session.sizes(reviewer), reviewer)
    except FetalHCError as error:
        uploads.refusals.append(Refusal(still.file.name, wording.sentence(str(error))))
        return
    uploads.add_image(case_id, source)
    _note_codes([(case_id, source)], codes)


def _note_codes(found: Sequence[tuple[CaseId, UploadSource]], codes: CaseTags) -> None:
    """Notes the codes that were typed for what is uploaded, or the given ones."""
    note_upload_codes(session.uploads().generation, [case_id for case_id, _ in found], codes)


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
