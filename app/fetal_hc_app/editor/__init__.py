"""The ellipse editor: an image with one ellipse that a mouse, a finger or the keyboard can change.

A Streamlit component whose JavaScript (`editor.js`) draws and moves, and sends an ellipse when a pointer or key is
released. Coordinates are px of the original image, pixel centres at integers, in both languages.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from fetal_hc.errors import MeasurementError
from hc18.geometry.ellipse import Ellipse

_FOLDER = Path(__file__).resolve().parent
_FIELDS = ("center_x", "center_y", "semi_axis_a", "semi_axis_b", "angle_rad")

_mount = st.components.v2.component(
    "fetal_hc_ellipse_editor",
    html=(_FOLDER / "editor.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "editor.css").read_text(encoding="utf-8"),
    js="".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("geometry.js", "editor.js")),
    isolate_styles=True,
)


@dataclass(frozen=True, slots=True, eq=False)
class EditorView:
    """The picture, ellipses and rulers that the editor shows.

    Attributes:
        image_url: `data:` URL of the picture.
        image_hw: its height and width in px.
        pixel_size_xy_mm: mm per px; None shows circumferences in px.
        ellipse: the one that can be changed; None offers to draw one.
        model_ellipse: the model's, for comparison.
        reference_ellipse: the annotated one, for comparison.
        mask_edge_xy: (n, 2) points on the edge of the model's soft mask.
        is_read_only: whether nothing can be changed.
        is_reviewers: whether `ellipse` is a reviewer's; the colour says so.
        seq: number of the last edit that `ellipse` includes.
        session: name of the server's session; the browser sends unsaved work again when it meets another one.
    """

    image_url: str
    image_hw: tuple[int, int]
    pixel_size_xy_mm: tuple[float, float] | None
    ellipse: Ellipse | None
    model_ellipse: Ellipse | None
    reference_ellipse: Ellipse | None
    mask_edge_xy: NDArray[np.float64]
    is_read_only: bool
    is_reviewers: bool
    seq: int
    session: str


@dataclass(frozen=True, slots=True)
class Edit:
    """An ellipse that was drawn in the browser.

    Attributes:
        seq: counts the edits of one editor.
        ellipse: as drawn.
        session: of the server for which it was sent.
        is_resent: whether it had been drawn for an earlier session, which never confirmed it.
    """

    seq: int
    ellipse: Ellipse
    session: str = ""
    is_resent: bool = False


def read_edit(key: str) -> Edit | None:
    """The latest edit of the editor with this key; None if there is none, or its numbers make no ellipse.

    To be called before `ellipse_editor`, so that the page is drawn once with the new ellipse.
    """
    return from_payload(_state_of(key).get("edit"))


def read_shown(key: str) -> bool:
    """Whether the editor with this key has its picture on the screen."""
    state = _state_of(key)
    edit = state.get("edit")
    return state.get("shown") is True or (isinstance(edit, Mapping) and edit.get("shown") is True)


def from_payload(payload: object) -> Edit | None:
    """The edit in what a browser sent; None if its numbers make no ellipse."""
    if not isinstance(payload, Mapping) or not isinstance(payload.get("ellipse"), Mapping):
        return None
    try:
        values = [float(payload["ellipse"][name]) for name in _FIELDS]
        session, is_resent = str(payload.get("session", "")), payload.get("resent") is True
        return Edit(int(payload["seq"]), Ellipse.from_axes(*values), session, is_resent)
    except (KeyError, TypeError, ValueError, OverflowError, MeasurementError):
        return None


def ellipse_editor(view: EditorView, key: str) -> None:
    """Shows the editor; what is drawn in it comes back through `read_edit(key)` in the next run."""
    _mount(key=key, data={**_to_payload(view), "case": key}, on_edit_change=_nothing, on_shown_change=_nothing)


def _state_of(key: str) -> Mapping[str, Any]:
    """What the browser has sent for the editor with this key."""
    state = st.session_state.get(key)
    return state if isinstance(state, Mapping) else {}


def _nothing() -> None:
    """Streamlit keeps a state of a component only if it has a callback."""


def _to_payload(view: EditorView) -> dict[str, Any]:
    height, width = view.image_hw
    return {
        "image": view.image_url,
        "width": width,
        "height": height,
        "pixel_size_xy_mm": view.pixel_size_xy_mm and list(view.pixel_size_xy_mm),
        "ellipse": _ellipse_payload(view.ellipse),
        "model_ellipse": _ellipse_payload(view.model_ellipse),
        "reference_ellipse": _ellipse_payload(view.reference_ellipse),
        "mask_edge": np.round(view.mask_edge_xy, 2).tolist(),
        "read_only": view.is_read_only,
        "owner": "reviewer" if view.is_reviewers else "model",
        "seq": view.seq,
        "session": view.session,
        "description": _description(view),
    }


def _ellipse_payload(ellipse: Ellipse | None) -> dict[str, float] | None:
    return None if ellipse is None else {name: getattr(ellipse, name) for name in _FIELDS}


def _description(view: EditorView) -> str:
    """What a screen reader says about the picture."""
    if view.ellipse is None:
        return "Ultrasound image without an ellipse."
    ellipse = view.ellipse
    return (
        f"Ultrasound image with an ellipse at {ellipse.center_x:.0f}, {ellipse.center_y:.0f} pixels, semi-axes "
        f"{ellipse.semi_axis_a:.0f} and {ellipse.semi_axis_b:.0f} pixels, turned by "
        f"{math.degrees(ellipse.angle_rad):.0f} degrees."
    )
