"""What the keys do, and the choice to do a whole case with one of them."""

from __future__ import annotations

import streamlit as st

from fetal_hc_app import worklist
from fetal_hc_app.texts import text

_KEYS = {
    "Y": "Accept, or save what you have drawn",
    "G": "Sign",
    "X": "Reject; then 1 to 5 for the reason",
    "N  P": "Next and previous case of the list",
    "Ctrl Z": "Undo",
    "Ctrl Shift Z": "Redo",
    "← ↑ ↓ →": "Move the ellipse, with Shift by ten",
    "+  −": "Size",
    "W S": "Long axis",
    "D A": "Short axis",
    "Q E": "Turn; [ and ] too",
    "Z  Shift Z": "Zoom in and out; also Ctrl and the wheel",
    "0": "Show the whole picture",
    "F": "Fit the head into the window",
    "B  Shift B": "Brighter, darker",
    "K  Shift K": "More, less contrast",
    "U  Shift U": "Gamma up, down",
    "I": "Invert",
    "L": "Caliper: draw a line and read its length",
    "H": "Keep zoom and position from case to case",
    "?": "This list",
}


def keys_panel() -> None:
    """The list of keys, which `?` opens, and the choice of one key per case."""
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.button(text("Keys (?)"), key="show-keys", icon=":material/keyboard:", on_click=_toggle)
        st.toggle(
            text("Y accepts, signs and shows the next case"),
            key=worklist.ONE_KEY,
            persist_state="session",
            help=text("For people who sign what they accept. It also saves and signs a correction."),
        )
    if not st.session_state.get("keys_open"):
        return
    with st.container(border=True):
        lines = [f"| **{key}** | {text(meaning)} |" for key, meaning in _KEYS.items()]
        half = -(-len(lines) // 2)
        for column, part in zip(st.columns(2), (lines[:half], lines[half:]), strict=True):
            column.markdown("\n".join([f"| {text('Key')} | |", "|---|---|", *part]))


def _toggle() -> None:
    st.session_state["keys_open"] = not st.session_state.get("keys_open")
