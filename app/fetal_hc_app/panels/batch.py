"""Opening a folder of images that are on the computer of the app, scored or not."""

from __future__ import annotations

from dataclasses import dataclass, field

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, batches, resources, session, wording
from fetal_hc_app.roles import Role
from fetal_hc_app.texts import text

_RESULT_KEY = "batch_result"
_SHOWN_EVERY = 10  # images between two messages


def batch_panel(reviewer: str) -> None:
    """Paths of a batch and a button; on a network only below the folder that the operator names."""
    allowed = resources.settings().batches
    if (allowed is None and access.has_logged_in()) or not access.may(Role.ADMIN):
        return
    is_open = st.toggle(text("Open a folder of images or a scored batch"), key="batch_open", persist_state="session")
    if not is_open:
        return
    left, right, button = st.columns([3, 3, 1], vertical_alignment="bottom")
    source = left.text_input(
        text("Folder, or details.csv of fetal-hc score"),
        key="batch_source",
        placeholder=text("/data/scans or /data/details.csv"),
    )
    images = right.text_input(text("Folder of the images, if it is another one"), key="batch_images")
    if button.button(text("Open"), key="batch_start", type="primary", width="stretch"):
        st.session_state[_RESULT_KEY] = _import_files(source, images, reviewer)
    result = st.session_state.get(_RESULT_KEY)
    if isinstance(result, _Result):
        _show(result)


@dataclass(slots=True)
class _Result:
    """Shows how the import of a batch went.

    Attributes:
        n_done: number of imported images.
        problems: a sentence on each image that was left out.
        twins: a sentence on each image with the same pixels as an earlier one.
        failure: why the batch could not be read to its end; empty if it was.
    """

    n_done: int = 0
    problems: list[str] = field(default_factory=list)
    twins: list[str] = field(default_factory=list)
    failure: str = ""


def _import_files(source: str, images: str, reviewer: str) -> _Result:
    """Imports a batch and counts what became of its images."""
    model, result = resources.model(), _Result()
    try:
        batch = batches.open_batch(source, images, resources.settings().batches)
        progress = st.empty()
        steps = batches.import_images(batch, resources.store(), model, session.sizes(reviewer), reviewer)
        for n_seen, step in enumerate(steps, start=1):
            if step.problem:
                result.problems.append(f"{step.name}: {step.problem}")
            else:
                result.n_done += 1
            if step.same_as:
                result.twins.append(f"{step.name}: same pixels as {step.same_as}")
            if n_seen % _SHOWN_EVERY == 1:
                progress.caption(f"{wording.count(n_seen, 'image')} …")
        progress.empty()
    except FetalHCError as error:
        result.failure = wording.sentence(str(error))
    return result


def _show(result: _Result) -> None:
    if result.failure:
        st.error(wording.plain(result.failure), icon=":material/error:")
    if result.n_done:
        st.success(
            text("{count} in the queue.", count=wording.count(result.n_done, "image")), icon=":material/check_circle:"
        )
    elif not result.failure and not result.problems:
        st.warning(text("The folder contains no images."), icon=":material/folder_off:")
    if result.problems:
        st.warning(
            text("{count} left out.", count=wording.count(len(result.problems), "file")), icon=":material/error:"
        )
        _list("Left out", result.problems)
    if result.twins:
        n_twins = wording.count(len(result.twins), "image")
        st.info(
            text(
                "{count} with the same pixels as another one: they are one case, so one decision counts for them.",
                count=n_twins,
            ),
            icon=":material/content_copy:",
        )
        _list("Same pixels", result.twins)


def _list(title: str, lines: list[str]) -> None:
    st.dataframe({title: lines}, hide_index=True, height=min(214, 38 * (len(lines) + 1)))
