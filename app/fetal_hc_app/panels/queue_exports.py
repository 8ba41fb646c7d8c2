"""Downloads of many cases at once."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from fetal_hc_app.exports import cases_csv, submission_csv
from fetal_hc_app.resources import store
from hc18.reviews.models import CaseId
from hc18.reviews.queue import QueueFilter


def queue_exports_panel(chosen: QueueFilter, search: str, n_rows: int) -> None:
    """A table of all cases of a filter."""
    review_store = store()
    st.download_button(
        f"Table of these {n_rows:,} cases (CSV)" if n_rows > 1 else "Table of this case (CSV)",
        lambda: cases_csv(review_store, [row.case_id for row in review_store.rows(chosen, search=search)]),
        file_name="cases.csv",
        mime="text/csv",
        icon=":material/table:",
        on_click="ignore",
    )


def session_exports_panel(names: Mapping[CaseId, str]) -> None:
    """Table and challenge submission of the images of this session.

    Args:
        names: file name of each case's image.
    """
    review_store = store()
    known = dict(names)
    has_twins = len(set(known.values())) < len(known)
    left, right = st.columns(2)
    left.download_button(
        "Table (CSV)",
        lambda: cases_csv(review_store, known),
        file_name="session.csv",
        mime="text/csv",
        icon=":material/table:",
        key="session_table",
        on_click="ignore",
        width="stretch",
    )
    right.download_button(
        "HC18 submission",
        lambda: submission_csv(review_store, known),
        file_name="submission.csv",
        mime="text/csv",
        icon=":material/upload:",
        key="session_submission",
        on_click="ignore",
        disabled=has_twins,
        help="Two images have the same file name; the challenge needs every name once."
        if has_twins
        else "Ellipses in mm of the cases you accepted or corrected, by file name.",
        width="stretch",
    )
