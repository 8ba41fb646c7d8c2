"""The one way of images into a session, from the upload field or from an archive: read, measured, stored, noted.

What cannot be used becomes a sentence on the page Measure; one bad file does not stop the others.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app import access, resources, session, wording
from fetal_hc_app.measuring import UploadSource, register_many, register_still
from fetal_hc_app.panels.codes import NO_TAGS, note_upload_codes
from fetal_hc_app.panels.hiding import HIDE_KEY
from fetal_hc_app.site import note_origin
from fetal_hc_app.texts import text
from fetal_hc_app.uploads import Annotation, PixelTable, Refusal, from_upload
from hc18.reviews.images import DicomToPrepare, StillImage
from hc18.reviews.models import CaseId
from hc18.reviews.worklist import CaseTags

_FEW = 3  # images that are measured one after the other


@dataclass(frozen=True, slots=True)
class NewFile:
    """A file that came into this session.

    Attributes:
        key: by which it is known; the same file is taken once.
        name: shown in this session.
        data: its content.
    """

    key: str
    name: str
    data: bytes = field(repr=False)


def take_files(files: Iterable[NewFile]) -> None:
    """Reads and measures files; what a person must prepare first waits on the page Measure."""
    uploads, stills = session.uploads(), []
    for file in files:
        uploads.seen.add(file.key)
        item = from_upload(file.name, file.data)
        match item:
            case StillImage():
                stills.append(item)
            case DicomToPrepare():
                uploads.to_prepare[file.key] = item
            case PixelTable():
                uploads.tables.append(item)
            case Annotation():
                uploads.annotations.append(item)
            case Refusal():
                uploads.refusals.append(item)
    if st.session_state.get(HIDE_KEY):
        uploads.to_hide += stills
    else:
        measure_all(stills)


def measure_all(stills: Sequence[StillImage], codes: CaseTags = NO_TAGS) -> None:
    """Measures images, many of them side by side.

    Args:
        stills: the images.
        codes: noted for them if nobody has typed others.
    """
    if len(stills) > _FEW:
        _measure_many(stills, codes)
        return
    for still in stills:
        _measure(still, codes)


def _measure_many(stills: Sequence[StillImage], codes: CaseTags) -> None:
    """Measures images side by side, with a bar; a failure becomes a sentence."""
    uploads, reviewer = session.uploads(), access.reviewer()
    progress, n_done = st.progress(0.0), 0
    try:
        parts = register_many(resources.store(), resources.model_for_many(), stills, session.sizes(reviewer), reviewer)
        for part in parts:
            for still, found in part:
                if isinstance(found, FetalHCError):
                    uploads.refusals.append(Refusal(still.file.name, wording.sentence(str(found))))
                else:
                    uploads.add_image(*found)
            _note([found for _, found in part if not isinstance(found, FetalHCError)], codes)
            n_done += len(part)
            words = text("Measured {done} of {all}", done=n_done, all=len(stills))
            progress.progress(n_done / len(stills), words)
    except FetalHCError as error:
        uploads.refusals += [Refusal(still.file.name, wording.sentence(str(error))) for still in stills[n_done:]]
    progress.empty()


def _measure(still: StillImage, codes: CaseTags) -> None:
    """Measures one image; a failure becomes a sentence."""
    uploads = session.uploads()
    reviewer = access.reviewer()
    try:
        case_id, source = register_still(resources.store(), resources.model(), still, session.sizes(reviewer), reviewer)
    except FetalHCError as error:
        uploads.refusals.append(Refusal(still.file.name, wording.sentence(str(error))))
        return
    uploads.add_image(case_id, source)
    _note([(case_id, source)], codes)


def _note(found: Sequence[tuple[CaseId, UploadSource]], codes: CaseTags) -> None:
    """Notes where cases come from, and the codes that were typed for what is uploaded, or the given ones."""
    for case_id, source in found:
        problem = note_origin(case_id, source.image)
        if problem:
            session.uploads().refusals.append(Refusal(source.image.name, problem))
    note_upload_codes(session.uploads().generation, [case_id for case_id, _ in found], codes)
