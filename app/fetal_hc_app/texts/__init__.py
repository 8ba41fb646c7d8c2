"""The words of the app in several languages: one catalogue, `LANGUAGE.toml` in this folder for each language.

The English text in the code is the key of its translation, as with gettext. A further language is a further file. What
has no translation is shown in English.
"""

from __future__ import annotations

import tomllib
from functools import cache
from pathlib import Path

import streamlit as st

ENGLISH = "en"
LANGUAGE_KEY = "language"
_FOLDER = Path(__file__).resolve().parent
_NAME = "language.name"  # key of the language's own name


def text(english: str, /, **values: object) -> str:
    """A text in the language of this session.

    Args:
        english: as in the code; `{name}` marks where a value goes.
        **values: by name.
    """
    shown = catalogue(language()).get(english, english)
    return shown.format(**values) if values else shown


def language() -> str:
    """Code of the session's language: as chosen, else as the browser prefers, else English."""
    known = languages()
    chosen = str(st.session_state.get(LANGUAGE_KEY) or st.context.locale or "")
    return next((code for code in (chosen, chosen.partition("-")[0]) if code in known), ENGLISH)


@cache
def languages() -> dict[str, str]:
    """The name of each language by its code, English first."""
    codes = sorted(file.stem for file in _FOLDER.glob("*.toml"))
    return {ENGLISH: "English", **{code: catalogue(code).get(_NAME, code) for code in codes}}


@cache
def catalogue(code: str) -> dict[str, str]:
    """The texts of a language by their English ones; empty for English."""
    file = _FOLDER / f"{code}.toml"
    return dict(tomllib.loads(file.read_text(encoding="utf-8"))) if file.is_file() else {}
