"""The upload field, what could not be used, and the table of what was measured."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import streamlit as st
from streamlit.runtime.uploaded_file_manager import UploadedFile

from fetal_hc.io.images import MAX_PIXELS
from fetal_hc_app import session, wording
from fetal_hc_app.panels.codes import upload_codes
from fetal_hc_app.panels.hiding import HIDE_KEY
from fetal_hc_app.session import Uploads
from fetal_hc_app.texts import text
from fetal_hc_app.uploads import PixelTable, Refusal
from hc18.measurement.flags import flag_text
from hc18.measurement.groups import ClipTally
from hc18.reviews.models import CaseId, ReviewCase

_TABLE_HEIGHT = 425  # px: a header and eleven rows; the table scrolls


def uploaded_files(generation: int) -> list[UploadedFile]:
    """What lies in the upload field, before it is drawn, so that the page needs no second run."""
    files = st.session_state.get(_files_key(generation))
    return list(files) if files else []


def upload_fields(generation: int) -> None:
    """The fields for files, a pixel size, and codes."""
    left, right = st.columns([2, 1], gap="medium")
    with left:
        st.file_uploader(
            text("Ultrasound images: PNG, JPEG, TIFF, BMP or DICOM; also the HC18 table (CSV) and annotation pictures"),
            accept_multiple_files=True,
            key=_files_key(generation),
            help=text(
                "Pictures may show a patient's name: hide it before you upload them. Of DICOM files only the "
                "ultrasound region is kept. At most {count} million pixels.",
                count=MAX_PIXELS // 1_000_000,
            ),
        )
    with right:
        st.number_input(
            text("Pixel size, mm (if the file has none)"),
            min_value=0.0,
            value=None,
            step=0.001,
            format="%.6f",
            key=session.TYPED_SIZE_KEY,
            persist_state="session",
            placeholder=text("millimetres per pixel"),
        )
        st.caption(text("Without a pixel size the result stays in pixels."))
        st.toggle(text("Hide burned-in text first"), key=HIDE_KEY, persist_state="session")
    upload_codes(generation, list(session.uploads().sources))


def upload_messages(refusals: Sequence[Refusal], tables: Sequence[PixelTable]) -> None:
    """One sentence for every file that cannot be used, and for every table."""
    for refusal in refusals:
        st.error(f"**{wording.plain(refusal.name)}**: {wording.plain(refusal.reason)}", icon=":material/error:")
    for table in tables:
        count = wording.count(len(table.rows), "file")
        words = text("Table {name}: pixel sizes of {count}.", name=wording.plain(table.name), count=count)
        if table.problems:
            st.warning(
                f"{words} {text('Not used')}: {wording.plain(wording.listed(table.problems, 3))}",
                icon=":material/table:",
            )
        else:
            st.caption(f":material/table: {words}")


def twin_messages(uploads: Uploads) -> None:
    """One sentence for every file with the same pixels as another one of this session."""
    for case_id, name in uploads.names:
        first = uploads.first_name(case_id)
        if name != first:
            st.info(
                text(
                    "**{name}** shows the same pixels as **{first}**. Both are one case: one decision counts for both, "
                    "and both names are in the list and in the submission.",
                    name=wording.plain(name),
                    first=wording.plain(first),
                ),
                icon=":material/content_copy:",
            )


def clip_messages(uploads: Uploads, cases: Sequence[ReviewCase]) -> None:
    """One sentence for every clip of which most measured frames are flagged or show no head.

    Args:
        uploads: of this session.
        cases: of its images.
    """
    clips: dict[str, ClipTally] = {}
    for case in cases:
        image = uploads.sources[case.case_id].image
        if image.dicom is not None and image.dicom.n_frames > 1:
            has_ellipse = case.state.model_outline.ellipse_px is not None
            clips.setdefault(image.file_name, ClipTally()).add(case.state.flags, has_ellipse=has_ellipse)
    for name, tally in clips.items():
        if warning := tally.warning(name):
            st.warning(wording.plain(f"{warning}."), icon=":material/movie:")


def results_table(uploads: Uploads, cases: Sequence[ReviewCase]) -> CaseId:
    """The measured images of this session, one of which is chosen.

    Args:
        uploads: of this session.
        cases: of its images.
    """
    by_id = {case.case_id: case for case in cases}
    rows = [_row(by_id[case_id], name, uploads) for case_id, name in uploads.names]
    event: Any = st.dataframe(
        rows,
        hide_index=True,
        height=min(_TABLE_HEIGHT, 38 * (len(rows) + 1)),
        on_select="rerun",
        selection_mode="single-row",
        key="results",
        placeholder="–",
        column_config={
            "HC, mm": st.column_config.NumberColumn(format="%.1f"),
            "Confidence": st.column_config.NumberColumn(format="%.2f"),
        },
    )
    chosen = event.selection.rows
    index = chosen[0] if chosen and chosen[0] < len(rows) else 0
    return uploads.names[index][0]


def _files_key(generation: int) -> str:
    return f"files-{generation}"


def _row(case: ReviewCase, name: str, uploads: Uploads) -> dict[str, Any]:
    state = case.state
    first = uploads.first_name(case.case_id)
    known = "yes" if case.case_id in uploads.known_before else ""
    flags = [flag_text(flag).name for flag in state.flags]
    if state.outline.ellipse_px is None and state.model_outline.ellipse_px is None:
        flags.insert(0, "No ellipse")
    elif state.calibration.pixel_size_xy_mm is None:
        flags.insert(0, "No pixel size")
    return {
        "File": name,
        "Case": case.label,
        "HC, mm": state.outline.hc_mm,
        "Confidence": state.measurement.confidence,
        "Look at": ", ".join(flags),
        "State": wording.state_name(state),
        "Pixel size from": wording.SOURCE_NAMES[state.calibration.source],
        "Known before": known if name == first else f"same pixels as {first}",
    }
