"""The memory of one browser session apart from drawings: its pages, uploads, tables and annotations.

Nothing of it is stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NoReturn

import streamlit as st

from fetal_hc.errors import FetalHCError
from fetal_hc_app.measuring import UploadSource
from fetal_hc_app.uploads import Annotation, PixelTable, Refusal
from hc18.dicom import SourceReference
from hc18.dicom import source_reference as read_source_reference
from hc18.geometry import pixel_size
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, choose_pixel_size, differing_sizes
from hc18.measurement.rows import MeasurementRow
from hc18.reviews.images import DicomToPrepare, StillImage
from hc18.reviews.measuring import Sizes
from hc18.reviews.models import CaseId, ReviewCase

CASE_PARAMETER = "case"
_PAGES_KEY = "pages"
_KEY = "uploads"
TYPED_SIZE_KEY = "typed_pixel_size_mm"


@dataclass(slots=True)
class Uploads:
    """The files of this session.

    Attributes:
        seen: ids of the uploads that were read.
        sources: where the image of each case came from; the last file, if several show the same pixels.
        names: case and name of every image, in the order of upload; two names of one case show the same pixels.
        known_before: cases that were in the store before this session brought their image.
        to_hide: images in which a person draws boxes over text before they are measured.
        clips: what the model said about the frames of a clip, by upload id, with the settings of that search.
        best_frames: the frame of a clip that is to be shown next, from 1, by upload id.
        to_prepare: DICOM files in which a person must choose a frame or a part, by upload id.
        prepared: those DICOM files in which something was measured.
        tables: tables of pixel sizes.
        annotations: annotated ellipses.
        refusals: files that could not be used.
        kept: cases whose pixel size in force was kept although these other sizes are known.
        generation: raised to empty the upload field.
    """

    seen: set[str] = field(default_factory=set)
    sources: dict[CaseId, UploadSource] = field(default_factory=dict)
    names: list[tuple[CaseId, str]] = field(default_factory=list)
    known_before: set[CaseId] = field(default_factory=set)
    to_hide: list[StillImage] = field(default_factory=list)
    clips: dict[str, tuple[object, tuple[MeasurementRow, ...]]] = field(default_factory=dict)
    best_frames: dict[str, int] = field(default_factory=dict)
    to_prepare: dict[str, DicomToPrepare] = field(default_factory=dict)
    prepared: set[str] = field(default_factory=set)
    tables: list[PixelTable] = field(default_factory=list)
    annotations: list[Annotation] = field(default_factory=list)
    refusals: list[Refusal] = field(default_factory=list)
    kept: set[tuple[CaseId, tuple[tuple[float, float] | None, ...]]] = field(default_factory=set)
    generation: int = 0

    def add_image(self, case_id: CaseId, source: UploadSource) -> None:
        """Notes the file of a case; the names of earlier files with the same pixels are kept."""
        if case_id not in self.sources and not source.is_new:
            self.known_before.add(case_id)
        self.sources[case_id] = source
        if (case_id, source.image.name) not in self.names:
            self.names.append((case_id, source.image.name))

    def first_name(self, case_id: CaseId) -> str:
        """The name of the first file with the pixels of a case."""
        return next(name for known, name in self.names if known == case_id)


def uploads() -> Uploads:
    """The uploads of this session."""
    found = st.session_state.get(_KEY)
    if not isinstance(found, Uploads):
        found = Uploads()
        st.session_state[_KEY] = found
    return found


def clear_uploads() -> None:
    """Forgets the files of this session; the cases stay in the store."""
    st.session_state[_KEY] = Uploads(generation=uploads().generation + 1)


def sizes(reviewer: str) -> Sizes:
    """The pixel sizes of this session that do not come from DICOM files."""
    table = {name: row for known in uploads().tables for name, row in known.rows.items()}
    typed = st.session_state.get(TYPED_SIZE_KEY)
    return Sizes(table, float(typed) if typed else None, reviewer)


def reference_ellipse(case_id: CaseId) -> Ellipse | None:
    """The annotated ellipse that was uploaded with an image; None without."""
    stems = {name.rpartition(".")[0] for known, name in uploads().names if known == case_id}
    return next((found.ellipse_px for found in uploads().annotations if found.image_stem in stems), None)


def known_pixel_size(case_id: CaseId, reviewer: str, ellipse_px: Ellipse | None) -> Calibration | None:
    """The pixel size that counts among those of this session's files and its typed value; None if they give none.

    Args:
        case_id: the case.
        reviewer: who typed the value.
        ellipse_px: as drawn now: regions of a DICOM image may differ in their pixel size.
    """
    source = uploads().sources.get(case_id)
    if source is None:
        return None
    chosen = choose_pixel_size(sizes(reviewer).candidates(source.image, ellipse_px))
    return None if chosen.pixel_size_xy_mm is None else chosen


def offered_pixel_sizes(case: ReviewCase, reviewer: str, ellipse_px: Ellipse | None) -> tuple[Calibration, ...]:
    """The pixel sizes of this session that differ from the one in force, best first; empty once that was kept.

    Args:
        case: as stored.
        reviewer: who typed a value.
        ellipse_px: as drawn now.
    """
    source = uploads().sources.get(case.case_id)
    if source is None:
        return ()
    offers = differing_sizes(case.state.calibration, sizes(reviewer).candidates(source.image, ellipse_px))
    return () if (case.case_id, _sizes_of(offers)) in uploads().kept else offers


def keep_pixel_size(case_id: CaseId, offers: Sequence[Calibration]) -> None:
    """Asks no more about these other sizes: the reviewer keeps the one in force."""
    uploads().kept.add((case_id, _sizes_of(offers)))


def name_other_sizes(case_id: CaseId, chosen: Calibration, ellipse_px: Ellipse | None) -> Calibration:
    """A pixel size that a person chose, with a warning for each file of this session that gives another one."""
    source = uploads().sources.get(case_id)
    if source is None:
        return chosen
    return pixel_size.name_other_sizes(chosen, sizes("").candidates(source.image, ellipse_px))


def _sizes_of(offers: Sequence[Calibration]) -> tuple[tuple[float, float] | None, ...]:
    return tuple(offer.pixel_size_xy_mm for offer in offers)


def source_reference(case_id: CaseId) -> SourceReference | None:
    """Identifiers of the DICOM image behind a case, as long as its file is in this session; None without."""
    source = uploads().sources.get(case_id)
    if source is None or not source.image.dicom_data:
        return None
    try:
        return read_source_reference(source.image.dicom_data, source.image.frame_index)
    except FetalHCError:
        return None


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
