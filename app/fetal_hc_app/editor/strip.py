"""The frames of a clip in the browser: play, pause, and a strip in which the best frames are marked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import streamlit as st

from fetal_hc_app.texts import text

_FOLDER = Path(__file__).resolve().parent

_mount = st.components.v2.component(
    "fetal_hc_frame_strip",
    html=(_FOLDER / "strip.html").read_text(encoding="utf-8"),
    css=(_FOLDER / "strip.css").read_text(encoding="utf-8"),
    js="".join((_FOLDER / name).read_text(encoding="utf-8") for name in ("drawing.js", "strip.js")),
    isolate_styles=True,
)


@dataclass(frozen=True, slots=True)
class StripFrame:
    """One frame of the strip.

    Attributes:
        frame: its number, from 1.
        image_url: address of its picture.
        label: a few words under it.
        title: what a screen reader says about it.
        is_best: whether the model counts it among the best.
    """

    frame: int
    image_url: str
    label: str
    title: str
    is_best: bool


def frame_strip(key: str, frames: Sequence[StripFrame], frame: int, image_url: str, n_frames: int) -> None:
    """Shows the frames of a clip; the one that a person chooses there comes into the state of `slider_key`.

    Args:
        key: of the clip.
        frames: of the strip, in their order; those that are played.
        frame: number of the large one, from 1.
        image_url: address of its picture.
        n_frames: of the clip.
    """
    _mount(
        key=_strip_key(key),
        data={
            "clip": key,
            "frame": frame,
            "image": image_url,
            "n_frames": n_frames,
            "seq": _chosen(key)[1],
            "frames": [
                {
                    "frame": shown.frame,
                    "image": shown.image_url,
                    "label": shown.label,
                    "title": shown.title,
                    "is_best": shown.is_best,
                }
                for shown in frames
            ],
            "texts": {
                "play": text("Play"),
                "pause": text("Pause"),
                "frame": f"{text('Frame')} {{frame}}",
                "strip": text("Frames of the clip"),
            },
        },
        on_frame_change=lambda: _take_frame(key, n_frames),
    )


def slider_key(key: str) -> str:
    """Key of the field with the number of the frame of a clip."""
    return f"frame-{key}"


def _take_frame(key: str, n_frames: int) -> None:
    frame, _ = _chosen(key)
    if 1 <= frame <= n_frames:
        st.session_state[slider_key(key)] = frame


def _chosen(key: str) -> tuple[int, int]:
    """The frame that was chosen in the browser, and the number of that choice; zeros for none."""
    state = st.session_state.get(_strip_key(key))
    found = state.get("frame") if isinstance(state, Mapping) else None
    try:
        return (int(found["frame"]), int(found["seq"])) if isinstance(found, Mapping) else (0, 0)
    except (KeyError, TypeError, ValueError):
        return 0, 0


def _strip_key(key: str) -> str:
    return f"strip-{key}"
