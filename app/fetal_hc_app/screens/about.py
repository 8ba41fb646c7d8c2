"""What the model and the app can and cannot do."""

from __future__ import annotations

import streamlit as st

from fetal_hc import installed_version
from fetal_hc.io.images import MAX_PIXELS
from fetal_hc_app import resources, wording
from fetal_hc_app.texts import LANGUAGE_KEY, language, languages, text

_HOW_TO = """
**How to review.** Look at the whole outline of the skull, not at the number. Accept the ellipse if it follows the outer
edge of the skull; otherwise drag its handles (the opposite end stays; with Shift the centre stays) or use the keys
under the image. Save the correction, then sign. Reject what should not be measured. A signed case is only changed
after it is reopened with a reason, and everything that happened stays in its history.

**Pixel size.** Millimetres need one: from the DICOM file, from a table, or typed. Its source is shown with every value;
without one the app gives pixels.

**Age and percentile.** The age from the head circumference is an estimate from a published equation. A percentile needs
an age from elsewhere (last period, due date, early crown-rump length), since a percentile at an age taken from the same
head is always near the 50th.

**Privacy.** Only the ultrasound region of a DICOM file is shown and stored. Names, numbers and dates of patients, and
names of files, are not stored. A picture (PNG, JPEG, TIFF, BMP) is stored as you upload it: crop names off before.
"""


def about_page() -> None:
    """The model card and how to use the app."""
    with st.container(key="stacked-columns-about"):
        left, right = st.columns([1, 1], gap="large")
    with left:
        names = languages()
        st.segmented_control(
            text("Language"),
            list(names),
            format_func=names.__getitem__,
            default=language(),
            key=LANGUAGE_KEY,
            persist_state="session",
        )
        st.markdown(text(_HOW_TO))
        version = resources.model().version
        st.caption(
            f"App {wording.plain(installed_version())}, model {wording.plain(version.name)} "
            f"{wording.plain(version.version)} {version.sha256[:12]}…, "
            f"images up to {MAX_PIXELS // 1_000_000} million pixels, reviews in "
            f"{wording.plain(resources.store().name)}."
        )
    with right, st.container(border=True):
        card = resources.model_card()
        st.markdown(card.replace("# Model card", "#### Model card", 1) if card else text("This model has no card."))
