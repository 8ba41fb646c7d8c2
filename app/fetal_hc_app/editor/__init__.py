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
from fetal_hc_app.texts import text
from hc18.geometry.ellipse import Ellipse

_FOLDER = Path(__file__).resolve().parent
_FIELDS = ("center_x", "center_y", "semi_axis_a", "semi_axis_b", "angle_rad")

SCRIPTS = ("geometry.js", "drawing.js", "keys.js", "handles.js", "view.js", "tools.js", "editor.js")
KEY = "editor"  # one editor of a session shows one case after the other
CALIPER, SCALE, BOX = "caliper", "scale", "box"

_mount = st.components.v2.component(
    "fetal_hc_ellipse_editor",
    html=(_FOLDER / "editor.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "editor.css").read_text(encoding="utf-8"),
    js="".join((_FOLDER / name).read_text(encoding="utf-8") for name in SCRIPTS),
    isolate_styles=True,
)


@dataclass(frozen=True, slots=True, eq=False)
class EditorView:
    """The picture, ellipses and rulers that the editor shows.

    Attributes:
        case: name of the case; what comes back from the browser carries it.
        image_url: address of the picture.
        next_image_url: address of the picture that will be asked for next, which is loaded early; empty for none.
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
        is_unsaved: whether `ellipse` is not saved, so that the browser warns before its page is left.
        tools: which of `CALIPER`, `SCALE` and `BOX` are offered.
    """

    case: str
    image_url: str
    next_image_url: str
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
    is_unsaved: bool = False
    tools: tuple[str, ...] = (CALIPER,)


@dataclass(frozen=True, slots=True)
class Edit:
    """An ellipse that was drawn in the browser.

    Attributes:
        seq: counts the edits of one editor.
        ellipse: as drawn.
        session: of the server for which it was sent.
        is_resent: whether it had been drawn for an earlier session, which never confirmed it.
        case: name of the case that it was drawn in.
    """

    seq: int
    ellipse: Ellipse
    session: str = ""
    is_resent: bool = False
    case: str = ""


def read_edit() -> Edit | None:
    """The latest edit; None if there is none, or its numbers make no ellipse.

    To be called before `ellipse_editor`, so that the page is drawn once with the new ellipse.
    """
    return from_payload(_state().get("edit"))


def read_shown(case: str) -> bool:
    """Whether the picture of a case is on the screen."""
    state = _state()
    edit = state.get("edit")
    is_drawn = isinstance(edit, Mapping) and edit.get("shown") is True and edit.get("case") == case
    return state.get("shown") == case or is_drawn


def read_marks(case: str) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The two marks that were clicked on the depth scale of a case, px; None without two."""
    try:
        (x0, y0), (x1, y1) = _of_case("scale", case)["marks"]
        return (float(x0), float(y0)), (float(x1), float(y1))
    except (KeyError, TypeError, ValueError):
        return None


def read_boxes(case: str) -> list[tuple[float, float, float, float]]:
    """The boxes x0, y0, x1, y1 that were drawn over parts of a picture, px, pixel centres at integers."""
    try:
        return [(float(x0), float(y0), float(x1), float(y1)) for x0, y0, x1, y1 in _of_case("boxes", case)["boxes"]]
    except (KeyError, TypeError, ValueError):
        return []


def from_payload(payload: object) -> Edit | None:
    """The edit in what a browser sent; None if its numbers make no ellipse."""
    if not isinstance(payload, Mapping) or not isinstance(payload.get("ellipse"), Mapping):
        return None
    try:
        values = [float(payload["ellipse"][name]) for name in _FIELDS]
        session, is_resent = str(payload.get("session", "")), payload.get("resent") is True
        case = str(payload.get("case", ""))
        return Edit(int(payload["seq"]), Ellipse.from_axes(*values), session, is_resent, case)
    except (KeyError, TypeError, ValueError, OverflowError, MeasurementError):
        return None


def ellipse_editor(view: EditorView) -> None:
    """Shows the editor; what is drawn in it comes back through `read_edit` in the next run."""
    _mount(
        key=KEY,
        data=to_payload(view),
        on_edit_change=_nothing,
        on_shown_change=_nothing,
        on_scale_change=_nothing,
        on_boxes_change=_nothing,
    )


def _of_case(name: str, case: str) -> Mapping[str, Any]:
    """What the browser has sent under a name for a case; empty if it was for another one."""
    value = _state().get(name)
    return value if isinstance(value, Mapping) and value.get("case") == case else {}


def _state() -> Mapping[str, Any]:
    """What the browser has sent."""
    state = st.session_state.get(KEY)
    return state if isinstance(state, Mapping) else {}


def _nothing() -> None:
    """Streamlit keeps a state of a component only if it has a callback."""


def to_payload(view: EditorView) -> dict[str, Any]:
    """What the script of the editor gets as `data`."""
    height, width = view.image_hw
    return {
        "image": view.image_url,
        "next_image": view.next_image_url,
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
        "case": view.case,
        "unsaved": view.is_unsaved,
        "tools": list(view.tools),
        "texts": _texts(),
    }


_LABELS = {
    "toggle-mask": "Mask edge",
    "toggle-model": "Model",
    "toggle-reference": "Reference",
    "draw": "Draw an ellipse by hand",
    "fit-head": "Fit head",
    "keep": "Keep view",
    "tool-caliper": "Caliper",
    "tool-scale": "Depth scale",
    "tool-box": "Hide text",
    "look": "Picture",
    "name-brightness": "Brightness",
    "name-contrast": "Contrast",
    "name-gamma": "Gamma",
    "invert": "Invert",
    "plain": "As stored",
}
_TITLES = (
    "Zoom in (Z)",
    "Zoom out (Shift Z)",
    "Show the whole picture (0)",
    "Fit the head into the window (F)",
    "Keep zoom and position from case to case (H)",
    "Draw a line and read its length (L); Backspace removes it",
    "Click two marks of the depth scale (M)",
    "Draw boxes over written text (T); Backspace removes one",
)


def _texts() -> dict[str, Any]:
    """The words on the editor in the language of the session."""
    return {
        "labels": {name: text(label) for name, label in _LABELS.items()},
        "titles": {title: text(title) for title in _TITLES},
        "no_ellipse": text("no ellipse"),
        "to_model": text("to the model"),
    }


def _ellipse_payload(ellipse: Ellipse | None) -> dict[str, float] | None:
    return None if ellipse is None else {name: getattr(ellipse, name) for name in _FIELDS}


def _description(view: EditorView) -> str:
    """What a screen reader says about the picture."""
    if view.ellipse is None:
        return text("Ultrasound image without an ellipse.")
    ellipse = view.ellipse
    return text(
        "Ultrasound image with an ellipse at {x:.0f}, {y:.0f} pixels, semi-axes {a:.0f} and {b:.0f} pixels, turned by "
        "{angle:.0f} degrees.",
        x=ellipse.center_x,
        y=ellipse.center_y,
        a=ellipse.semi_axis_a,
        b=ellipse.semi_axis_b,
        angle=math.degrees(ellipse.angle_rad),
    )
