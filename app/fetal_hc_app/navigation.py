"""Going from one page to another."""

from __future__ import annotations

from typing import NoReturn

import streamlit as st

from hc18.reviews.models import CaseId

CASE_PARAMETER = "case"
_PAGES_KEY = "pages"


def keep_pages(pages: dict[str, st.Page]) -> None:
    """Remembers the pages of this run by name."""
    st.session_state[_PAGES_KEY] = pages


def open_case(case_id: CaseId) -> NoReturn:
    """Shows a case on its own page; the address keeps it for a reload."""
    st.switch_page(st.session_state[_PAGES_KEY]["case"], query_params={CASE_PARAMETER: str(case_id)})


def open_page(name: str) -> NoReturn:
    """Shows another page."""
    st.switch_page(st.session_state[_PAGES_KEY][name])


def chosen_case() -> CaseId | None:
    """The case that the address names; None without a number."""
    text = st.query_params.get(CASE_PARAMETER, "")
    return CaseId(int(text)) if text.isascii() and text.isdigit() and len(text) < 10 else None
