"""What the hospital around the app has configured: archives, receiver, FHIR server. None of it by default."""

from __future__ import annotations

import hashlib
import os
from typing import TYPE_CHECKING

import streamlit as st

from fetal_hc.errors import ConfigError, FetalHCError
from fetal_hc_app import resources, wording
from fetal_hc_app.texts import text
from hc18.pacs import SITE_VARIABLE
from hc18.reviews.images import ImageFile
from hc18.reviews.models import CaseId

if TYPE_CHECKING:
    from hc18.pacs.inbox import Inbox
    from hc18.pacs.outbox import Outbox
    from hc18.pacs.site import Site

_OPENED = "opened_objects"
_SENDER = "the app"  # of objects that a person opened


def has_site() -> bool:
    """Whether a settings file is named."""
    return bool(os.environ.get(SITE_VARIABLE))


@st.cache_resource(show_spinner=False)
def site() -> Site | None:
    """The settings of the site; None without.

    Raises:
        ConfigError: if the file is wrong, or a library for archives is not installed.
    """
    if not has_site():
        return None
    try:
        from hc18.pacs.site import read_site
    except ModuleNotFoundError as error:
        library = (error.name or "").partition(".")[0]
        raise ConfigError(f"{SITE_VARIABLE} is set, but {library} is missing: pip install 'fetal-hc[pacs]'") from None
    return read_site()


def needed_site() -> Site:
    """As `site`, on a page that makes no sense without.

    Raises:
        ConfigError: if there are no settings, or they are wrong.
    """
    found = site()
    if found is None:
        raise ConfigError(text("No archive is configured; docs/pacs.md says how."))
    return found


@st.cache_resource(show_spinner=False)
def inbox() -> Inbox | None:
    """What arrived and where cases come from; None without a site.

    Raises:
        ConfigError: if the settings or the key cannot be used.
        StoreError: if its database cannot be opened.
    """
    settings = site()
    if settings is None:
        return None
    from hc18.pacs.inbox import Inbox
    from hc18.pacs.vault import Vault

    opened = Inbox(settings, Vault())
    opened.bind(resources.store())
    return opened


@st.cache_resource(show_spinner=False)
def outbox() -> Outbox | None:
    """What goes back; None without a site.

    Raises:
        ConfigError: if the settings or the key cannot be used.
        StoreError: if its database cannot be opened.
    """
    settings = site()
    if settings is None:
        return None
    from hc18.pacs.outbox import OUTBOX_NAME, Outbox

    inbox()  # which makes the folder
    return Outbox(settings.folder / OUTBOX_NAME, most_attempts=settings.reports.attempts)


def note_opened(key: str, content: bytes) -> None:
    """Remembers that this session prepares an object that waits in the inbox."""
    st.session_state.setdefault(_OPENED, {})[hashlib.sha256(content).hexdigest()] = key


def note_origin(case_id: CaseId, image: ImageFile) -> str:
    """Keeps where a case comes from, if the site has turned that on; why not, as a sentence, or nothing.

    An object of the inbox that a person has prepared is finished with it.
    """
    if not image.dicom_data or image.dicom is None or not has_site():
        return ""
    key = st.session_state.get(_OPENED, {}).get(hashlib.sha256(image.dicom_data).hexdigest(), "")
    frame_number = None if image.dicom.n_frames == 1 else image.frame_index + 1
    try:
        settings, known = site(), inbox()
        if settings is None or known is None or not (settings.keep_references or key):
            return ""
        known.link(case_id, image.dicom_data, frame_number, _SENDER)
        if key:
            known.spool.remove(key)
    except FetalHCError as error:
        return wording.sentence(str(error))
    return ""
