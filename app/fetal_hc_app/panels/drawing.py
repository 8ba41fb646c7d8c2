"""The image with its ellipse, and the five numbers of the ellipse."""

from __future__ import annotations

import streamlit as st

from fetal_hc_app import case_session, drafts
from fetal_hc_app.drafts import Draft
from fetal_hc_app.editor import CALIPER, SCALE, EditorView, ellipse_editor
from fetal_hc_app.resources import Picture, picture_url
from fetal_hc_app.texts import text
from hc18.geometry.ellipse import Ellipse
from hc18.reviews.models import ReviewCase

_FIELDS = {  # label, step, format
    "center_x": ("Centre across, px", 1.0, "%.1f"),
    "center_y": ("Centre down, px", 1.0, "%.1f"),
    "semi_axis_a": ("Long semi-axis, px", 1.0, "%.1f"),
    "semi_axis_b": ("Short semi-axis, px", 1.0, "%.1f"),
    "angle_deg": ("Angle, degrees", 1.0, "%.1f"),
}


def drawing_panel(
    case: ReviewCase,
    draft: Draft,
    picture: Picture,
    following: Picture | None,
    reference_ellipse: Ellipse | None,
    *,
    is_read_only: bool,
) -> None:
    """The editor.

    Args:
        case: as stored.
        draft: what this session draws.
        picture: the image.
        following: the one that comes next; None if it is not known.
        reference_ellipse: annotated one; None without.
        is_read_only: whether nothing can be changed.
    """
    model = case.state.model_outline.ellipse_px
    view = EditorView(
        case=drafts.editor_case(case.case_id),
        image_url=picture_url(picture, "picture"),
        next_image_url="" if following is None else picture_url(following, "next picture"),
        image_hw=case.state.image_hw,
        pixel_size_xy_mm=case.state.calibration.pixel_size_xy_mm,
        ellipse=draft.ellipse_px,
        model_ellipse=model,
        reference_ellipse=reference_ellipse,
        mask_edge_xy=picture.mask_edge_xy,
        is_read_only=is_read_only,
        is_reviewers=draft.ellipse_px is not None and draft.ellipse_px != model,
        seq=draft.seq,
        session=drafts.editor_session(),
        is_unsaved=draft.is_changed and not is_read_only,
        tools=(CALIPER,) if is_read_only else (CALIPER, SCALE),
    )
    ellipse_editor(view)


def fields_panel(case: ReviewCase, draft: Draft, *, is_read_only: bool) -> None:
    """Five number fields that show and change the drawn ellipse, and the way back to the model's."""
    if draft.ellipse_px is None:
        return
    model = case.state.model_outline.ellipse_px
    values = drafts.field_values(draft.ellipse_px)
    *columns, last = st.columns([1, 1, 1, 1, 1, 0.9], vertical_alignment="bottom", gap="xsmall")
    for column, (name, (label, step, shown)) in zip(columns, _FIELDS.items(), strict=True):
        key = f"field-{case.case_id}-{name}"
        st.session_state[key] = values[name]
        column.number_input(
            label,
            key=key,
            step=step,
            format=shown,
            disabled=is_read_only,
            on_change=drafts.change_field,
            args=(case.case_id, name, key, case.state.image_hw, case_session.tell_error),
        )
    last.button(
        text("Reset"),
        key=f"reset-{case.case_id}",
        icon=":material/undo:",
        help=text("Back to the model's ellipse"),
        disabled=is_read_only or model is None or draft.ellipse_px == model,
        on_click=drafts.change_ellipse,
        args=(case.case_id, model),
        width="stretch",
    )
