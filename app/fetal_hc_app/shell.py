"""The frame of every page: banner, reviewer, navigation."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import streamlit as st

from fetal_hc import DISCLAIMER
from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, case_session, resources, session, wording
from fetal_hc_app.screens.about import about_page
from fetal_hc_app.screens.case import case_page
from fetal_hc_app.screens.measure import measure_page
from fetal_hc_app.screens.queue import queue_page
from fetal_hc_app.screens.reading import reading_page
from fetal_hc_app.site import has_site
from fetal_hc_app.texts import text

_ICON = Path(__file__).resolve().parent / "icon.svg"
_STYLE = """
<style>
  .stMainBlockContainer { padding: 4.4rem 1.6rem 2rem; max-width: 2480px; }
  .st-key-case-columns .stHorizontalBlock:has(.st-key-editor) { flex-direction: row-reverse; }
  @media (max-width: 1000px) {
    .st-key-case-columns .stHorizontalBlock:has(.st-key-editor) { flex-direction: column-reverse; }
    .stColumn:has(.st-key-editor), .stColumn:has(.st-key-decision), [class*="st-key-stacked-columns"] .stColumn
    { width: 100%; flex: 1 1 auto; }
    [class*="st-key-stacked-columns"] .stHorizontalBlock { flex-direction: column; }
    .stMetric { min-width: 7rem; }
  }
  .st-key-decision .stButton button { padding-left: 0.4rem; padding-right: 0.4rem; }
  [data-testid="stCaptionContainer"] { color: inherit; opacity: 0.82; }
  .stMarkdown pre, .stMarkdown pre code { white-space: pre-wrap !important; overflow: visible; }
  [data-testid="stMetricDelta"] { color: inherit; }
  .stButtonGroup [aria-checked="true"] p, [data-testid="stBaseButton-segmented_controlActive"] p { color: #004A75; }
  @media (prefers-color-scheme: dark) {
    .stButtonGroup [aria-checked="true"] p, [data-testid="stBaseButton-segmented_controlActive"] p { color: #E8EDF2; }
  }
  .stVerticalBlock { gap: 0.6rem; }
  [data-testid="stToastContainer"] { top: auto; bottom: 1rem; }
  .stMarkdown p, .stMarkdown li { font-size: 0.92rem; line-height: 1.45; }
  .research-banner {
    background: #FFF4D6; border: 1px solid #E69F00; border-radius: 6px; color: #4A3400;
    font-size: 0.85rem; font-weight: 600; padding: 0.42rem 0.8rem;
  }
  [data-testid="stMetricValue"] { font-size: 1.55rem; font-variant-numeric: tabular-nums; }
  [data-testid="stMetricLabel"] p { font-size: 0.85rem; }
  [data-testid="stAlertContainer"] { padding: 0.5rem 0.75rem; }
  [data-testid="stAlertContainer"] p { font-size: 0.88rem; }
  [data-testid="stNumberInputContainer"] input { font-variant-numeric: tabular-nums; }
</style>
"""


def run() -> None:
    """One run of the app."""
    st.set_page_config(page_title="Head circumference reviewer", page_icon=str(_ICON), layout="wide")
    st.html(_STYLE)
    pages = {
        "measure": st.Page(
            measure_page, title=text("Measure"), icon=":material/straighten:", url_path="measure", default=True
        ),
        **_site_pages(),
        "queue": st.Page(queue_page, title=text("Queue"), icon=":material/list:", url_path="queue"),
        "case": st.Page(case_page, title=text("Case"), icon=":material/image_search:", url_path="case"),
        "reading": st.Page(
            reading_page, title=text("Second reading"), icon=":material/visibility_off:", url_path="reading"
        ),
        "agreement": st.Page(
            _agreement_page, title=text("Agreement"), icon=":material/query_stats:", url_path="agreement"
        ),
        "faces": st.Page(_faces_page, title=text("Faces"), icon=":material/face:", url_path="faces"),
        "about": st.Page(about_page, title=text("About"), icon=":material/info:", url_path="about"),
    }
    page = st.navigation(list(pages.values()), position="top")
    session.keep_pages(pages)
    case_session.needs_whole_page()
    _run_after_reconnecting()
    left, right = st.columns([4, 1.25], vertical_alignment="center")
    left.html(f'<div class="research-banner" role="note">{text(DISCLAIMER)}</div>')
    access.require_access()
    if access.ends_by_itself():
        _end_when_idle()
    with right:
        access.reviewer_panel()
    to_sign = access.take_case_to_sign()
    if to_sign is not None:
        session.open_case(to_sign)
    try:
        resources.model()
        resources.store()
        page.run()
    except FetalHCError as error:
        st.error(wording.plain(wording.sentence(str(error))), icon=":material/error:")


def _site_pages() -> dict[str, st.Page]:
    """The pages of a hospital that has configured its archive."""
    if not has_site():
        return {}
    return {
        "archive": st.Page(_archive_page, title=text("Archive"), icon=":material/dns:", url_path="archive"),
        "worklist": st.Page(_worklist_page, title=text("Worklist"), icon=":material/assignment:", url_path="worklist"),
    }


def _archive_page() -> None:
    """Loads the libraries for archives when they are needed."""
    from fetal_hc_app.screens.archive import archive_page

    archive_page()


def _worklist_page() -> None:
    """Likewise."""
    from fetal_hc_app.screens.worklist import worklist_page

    worklist_page()


@st.fragment(run_every=timedelta(hours=1))
def _run_after_reconnecting() -> None:
    """Makes the browser ask for a whole run when it finds the server again.

    Streamlit's page does that only if something on it runs by the clock. Without it, a restarted server does not know
    the fragments that the page's buttons and the editor belong to, and drops what they send.
    """


@st.fragment(run_every=timedelta(seconds=10))
def _end_when_idle() -> None:
    """Takes patients off the screen of somebody who has left."""
    if access.is_session_over():
        st.rerun()


def _agreement_page() -> None:
    """Loads the statistics and plotting libraries when they are needed, so that the app starts sooner."""
    from fetal_hc_app.screens.agreement import agreement_page

    agreement_page()


def _faces_page() -> None:
    """Likewise for the other domain."""
    from fetal_hc_app.screens.faces import faces_page

    faces_page()
