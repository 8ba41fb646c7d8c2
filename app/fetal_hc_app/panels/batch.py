"""Opening a folder of images that are on the computer of the app, scored or not."""

from __future__ import annotations

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import batches, resources, session, settings, wording

_RESULT_KEY = "batch_result"
_SHOWN_EVERY = 10  # images between two messages


def batch_panel(reviewer: str) -> None:
    """Paths of a batch and a button; on a network only below the folder that the operator names."""
    allowed = settings.from_environment().batches
    if allowed is None and st.session_state.get("login"):
        return
    is_open = st.toggle("Open a folder of images or a scored batch", key="batch_open", persist_state="session")
    if not is_open:
        return
    left, right, button = st.columns([3, 3, 1], vertical_alignment="bottom")
    source = left.text_input(
        "Folder, or details.csv of tools/score.py", key="batch_source", placeholder="/data/scans or /data/details.csv"
    )
    images = right.text_input("Folder of the images, if it is another one", key="batch_images")
    if button.button("Open", key="batch_start", type="primary", width="stretch"):
        st.session_state[_RESULT_KEY] = _import_files(source, images, reviewer)
    result = st.session_state.get(_RESULT_KEY)
    if result is not None:
        _show(*result)


def _import_files(source: str, images: str, reviewer: str) -> tuple[int, list[str], str]:
    """Number of imported images, sentences on the others, and why nothing could be done."""
    model, n_done, problems = resources.model(), 0, []
    try:
        batch = batches.open_batch(source, images, settings.from_environment().batches)
        progress = st.empty()
        steps = batches.import_images(batch, resources.store(), model, session.sizes(reviewer), reviewer)
        for n_seen, step in enumerate(steps, start=1):
            if step.problem:
                problems.append(f"{step.name}: {step.problem}")
            else:
                n_done += 1
            if n_seen % _SHOWN_EVERY == 1:
                progress.caption(f"{wording.count(n_seen, 'image')} …")
        progress.empty()
    except FetalHCError as error:
        return n_done, problems, wording.sentence(str(error))
    return n_done, problems, ""


def _show(n_done: int, problems: list[str], failure: str) -> None:
    if failure:
        st.error(wording.plain(failure), icon=":material/error:")
    if n_done:
        st.success(f"{wording.count(n_done, 'image')} in the queue.", icon=":material/check_circle:")
    elif not failure and not problems:
        st.warning("The folder holds no images.", icon=":material/folder_off:")
    if problems:
        st.warning(f"{wording.count(len(problems), 'file')} left out.", icon=":material/error:")
        st.dataframe({"Left out": problems}, hide_index=True, height=min(214, 38 * (len(problems) + 1)))
