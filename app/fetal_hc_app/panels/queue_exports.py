"""Downloads of many cases at once."""

from __future__ import annotations

from collections.abc import Sequence

import streamlit as st

from fetal_hc_app.resources import store
from fetal_hc_app.texts import text
from hc18.reports.from_store import cases_csv, submission_csv
from hc18.reviews.models import CaseId
from hc18.reviews.queue import QueueView


def queue_exports_panel(view: QueueView, n_rows: int) -> None:
    """A table of all cases of a filter."""
    review_store = store()
    st.download_button(
        text("Table of these {count} cases (CSV)", count=f"{n_rows:,}")
        if n_rows > 1
        else text("Table of this case (CSV)"),
        lambda: cases_csv(review_store, review_store.ids(view)),
        file_name="cases.csv",
        mime="text/csv",
        icon=":material/table:",
        on_click="ignore",
    )


def session_exports_panel(names: Sequence[tuple[CaseId, str]]) -> None:
    """Table and challenge submission of the images of this session.

    Args:
        names: case and file name of each image; two names of one case show the same pixels.
    """
    review_store = store()
    case_ids = list(dict.fromkeys(case_id for case_id, _ in names))
    by_name = {name: case_id for case_id, name in names}
    has_repeated_name = len(by_name) < len(names)
    left, right = st.columns(2)
    left.download_button(
        text("Table (CSV)"),
        lambda: cases_csv(review_store, case_ids),
        file_name="session.csv",
        mime="text/csv",
        icon=":material/table:",
        key="session_table",
        on_click="ignore",
        width="stretch",
    )
    right.download_button(
        text("HC18 submission"),
        lambda: submission_csv(review_store, by_name),
        file_name="submission.csv",
        mime="text/csv",
        icon=":material/upload:",
        key="session_submission",
        on_click="ignore",
        disabled=has_repeated_name,
        help=text("Two images have the same file name; the challenge needs every name once.")
        if has_repeated_name
        else text("Ellipses in mm of the cases you accepted or corrected, by file name."),
        width="stretch",
    )
