"""Search the hospital's archive and open studies, images or frames as cases. What is found stays on this screen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import intake, session, wording
from fetal_hc_app.intake import NewFile
from fetal_hc_app.site import needed_site
from fetal_hc_app.texts import text
from hc18.pacs.search import (
    MOST_STUDIES,
    FoundImage,
    FoundStudy,
    StudyQuery,
    fetch_file,
    fetch_thumbnail,
    list_images,
    search_studies,
)
from hc18.pacs.web import WebService
from hc18.reviews.images import DicomToPrepare, StillImage, open_dicom, still_of

_KEY = "archive_search"
_PER_PAGE, _PER_ROW = 12, 4
_TABLE_HEIGHT = 320  # px


@dataclass(slots=True)
class _Found:
    """What this session has found, until the next search.

    Attributes:
        server: name of the archive.
        studies: of the search.
        images: of the studies that were looked at, by UID.
        thumbnails: of images, by UID and frame; an empty one could not be drawn.
    """

    server: str
    studies: list[FoundStudy] = field(default_factory=list)
    images: dict[str, list[FoundImage]] = field(default_factory=dict)
    thumbnails: dict[tuple[str, int], bytes] = field(default_factory=dict)


def archive_page() -> None:
    """Search fields, the studies that were found, and the images of one of them."""
    settings = needed_site()
    servers = settings.searchable
    if not servers:
        st.info(text("No archive with DICOMweb is configured; docs/pacs.md says how."), icon=":material/dns:")
        return
    _search_form(servers)
    found = st.session_state.get(_KEY)
    if not isinstance(found, _Found) or found.server not in servers:
        st.caption(
            text(
                "What you find stays on this screen. The images that you open are stored; this site keeps their "
                "identifiers, encrypted."
                if settings.keep_references
                else "What you find stays on this screen. Only the images that you open are stored, without names."
            )
        )
        return
    study = _studies_table(found)
    if study is not None:
        _study_panel(servers[found.server], found, study)


def _search_form(servers: dict[str, WebService]) -> None:
    """The fields; a search replaces what was found before."""
    with st.form("archive-search", border=True):
        name = next(iter(servers))
        if len(servers) > 1:
            name = st.selectbox(text("Archive"), list(servers), key="archive-server")
        columns = st.columns(3)
        patient = columns[0].text_input(text("Patient name"), key="archive-patient", help=text("Family name first"))
        number = columns[1].text_input(text("Patient number"), key="archive-number")
        accession = columns[2].text_input(text("Accession number"), key="archive-accession")
        columns = st.columns(3)
        description = columns[0].text_input(text("Description"), key="archive-description")
        first = columns[1].date_input(text("First day"), value=None, key="archive-first", format="YYYY-MM-DD")
        last = columns[2].date_input(text("Last day"), value=None, key="archive-last", format="YYYY-MM-DD")
        is_pressed = st.form_submit_button(text("Search"), type="primary", icon=":material/search:")
    if not is_pressed:
        return
    query = StudyQuery(patient, number, accession, description, first, last)
    st.session_state[_KEY] = None
    try:
        with st.spinner(text("Asking the archive")):
            st.session_state[_KEY] = _Found(name, search_studies(servers[name], query))
    except FetalHCError as error:
        _tell(error)


def _studies_table(found: _Found) -> FoundStudy | None:
    """The studies, of which one is chosen by a click; the only one is chosen at once."""
    if not found.studies:
        st.info(text("No ultrasound study matches."), icon=":material/search_off:")
        return None
    if len(found.studies) >= MOST_STUDIES:
        st.warning(text("There are more than {count} studies: narrow the search.", count=MOST_STUDIES))
    event: Any = st.dataframe(
        [_study_row(study) for study in found.studies],
        hide_index=True,
        height=min(_TABLE_HEIGHT, 40 + 35 * len(found.studies)),
        on_select="rerun",
        selection_mode="single-row",
        key=f"studies-{id(found)}",
        alt=text("The studies that were found"),
    )
    chosen: list[int] = event.selection.rows
    if chosen and chosen[0] < len(found.studies):
        return found.studies[chosen[0]]
    if len(found.studies) == 1:
        return found.studies[0]
    st.caption(text("{count} studies. Tick one to see its images.", count=len(found.studies)))
    return None


def _study_row(study: FoundStudy) -> dict[str, Any]:
    day = study.study_date
    return {
        text("Patient"): study.patient_name.replace("^", ", ", 1).replace("^", " ").strip(", "),
        text("Patient number"): study.patient_id,
        text("Date"): f"{day[:4]}-{day[4:6]}-{day[6:]}" if len(day) == 8 else day,
        text("Description"): study.description,
        text("Accession number"): study.accession_number,
        text("Objects"): study.n_instances,
    }


def _study_panel(service: WebService, found: _Found, study: FoundStudy) -> None:
    """The images of a study with their buttons."""
    try:
        if study.uid not in found.images:
            with st.spinner(text("Asking the archive")):
                found.images[study.uid] = list_images(service, study.uid)
    except FetalHCError as error:
        _tell(error)
        return
    images = found.images[study.uid]
    if not images:
        st.info(text("This study has no ultrasound image."), icon=":material/hide_image:")
        return
    left, right = st.columns([3, 2], vertical_alignment="center")
    left.markdown(f"**{text('{count} in this study', count=wording.count(len(images), 'image'))}**")
    words = text("Open all {count}", count=wording.count(len(images), "image"))
    if right.button(words, key="open-study", type="primary", icon=":material/download:", width="stretch"):
        _open(service, images)
    page = 1
    n_pages = -(-len(images) // _PER_PAGE)
    if n_pages > 1:
        page = st.pagination(n_pages, key=f"images-{study.uid}")
    shown = images[(page - 1) * _PER_PAGE : page * _PER_PAGE]
    for start in range(0, len(shown), _PER_ROW):
        for column, image in zip(st.columns(_PER_ROW), shown[start : start + _PER_ROW], strict=False):
            with column, st.container(border=True):
                _image_panel(service, found, image)


def _image_panel(service: WebService, found: _Found, image: FoundImage) -> None:
    """Thumbnail, description and the button of an image; for a clip also a frame and its button."""
    frame = 1
    if image.n_frames > 1:
        frame = st.number_input(
            text("Frame of {count}", count=image.n_frames),
            1,
            image.n_frames,
            (image.n_frames + 1) // 2,
            key=f"frame-{image.uid}",
        )
    words = f"{image.series_number}.{image.number}"
    picture = _thumbnail(service, found, image, frame)
    if picture:
        st.image(picture, width="stretch", alt=text("Image {number}", number=words))
    else:
        st.caption(text("The archive draws no thumbnail."))
    st.caption(" · ".join(part for part in (words, wording.plain(image.series_description)) if part))
    if st.button(
        text("Open clip {number}" if image.n_frames > 1 else "Open image {number}", number=words),
        key=f"open-{image.uid}",
        width="stretch",
    ):
        _open(service, [image])
    if image.n_frames > 1 and st.button(
        text("Open frame {number}", number=frame), key=f"open-frame-{image.uid}", width="stretch"
    ):
        _open_frame(service, image, frame)


def _thumbnail(service: WebService, found: _Found, image: FoundImage, frame: int) -> bytes:
    """A small picture; empty if the archive draws none."""
    key = image.uid, frame
    if key not in found.thumbnails:
        try:
            found.thumbnails[key] = fetch_thumbnail(service, image, frame)
        except FetalHCError:
            found.thumbnails[key] = b""
    return found.thumbnails[key]


def _open(service: WebService, images: Sequence[FoundImage]) -> None:
    """Fetches images and shows them on the page Measure, by the same way as uploads."""
    progress, files = st.progress(0.0), []
    for number, image in enumerate(images, start=1):
        try:
            files.append(NewFile(image.uid, image.file_name, fetch_file(service, image)))
        except FetalHCError as error:
            _tell(error)
            return
        words = text("Fetched {done} of {all}", done=number, all=len(images))
        progress.progress(number / len(images), words)
    intake.take_files(files)
    session.open_page("measure")


def _open_frame(service: WebService, image: FoundImage, frame: int) -> None:
    """Fetches a clip and measures one of its frames; where a part must be chosen first, the whole clip is shown."""
    try:
        data = fetch_file(service, image)
        opened = open_dicom(image.file_name, data)
        still: StillImage | None = opened if isinstance(opened, StillImage) else None
        if isinstance(opened, DicomToPrepare) and not opened.needs_region:
            still = still_of(opened, frame - 1, None)
    except FetalHCError as error:
        _tell(error)
        return
    if still is None:
        intake.take_files([NewFile(image.uid, image.file_name, data)])
    else:
        intake.measure_all([still])
    session.open_page("measure")


def _tell(error: FetalHCError) -> None:
    st.error(wording.plain(wording.sentence(str(error))), icon=":material/error:")
