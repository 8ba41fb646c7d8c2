"""The receiver of images on the DICOM network: C-ECHO and C-STORE for the peers of the site.

Success is answered only when the object is on the disk. What is refused is answered with a status that makes senders
try again (0xA700, out of resources) or tells them that it will never be taken.

References: DICOM PS3.4, B.2.3 (C-STORE statuses); PS3.8, 9.3.4 (rejection of an association).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime

from pydicom.uid import UID, AllTransferSyntaxes
from pynetdicom import AE, evt
from pynetdicom.events import Event

from fetal_hc.errors import ConfigError
from hc18.pacs.site import Peer, ReceiverSettings
from hc18.pacs.spool import Spool, SpoolFull, key_of
from hc18.pacs.vault import Vault
from hc18.reviews.store import now_utc

_VERIFICATION = UID("1.2.840.10008.1.1")
_ULTRASOUND = (
    "1.2.840.10008.5.1.4.1.1.3",  # multi-frame, retired
    "1.2.840.10008.5.1.4.1.1.3.1",
    "1.2.840.10008.5.1.4.1.1.6",  # single frame, retired
    "1.2.840.10008.5.1.4.1.1.6.1",
    "1.2.840.10008.5.1.4.1.1.6.2",
)
_SUCCESS, _OUT_OF_RESOURCES, _CANNOT_UNDERSTAND = 0x0000, 0xA700, 0xC000
_REJECTED, _BY_USER, _CALLING_TITLE_UNKNOWN = 0x01, 0x01, 0x03
_TIMEOUT_SECONDS = 30.0
_IDLE_SECONDS = 60.0
_MOST_ASSOCIATIONS = 16


@contextmanager
def receiving(
    settings: ReceiverSettings,
    spool: Spool,
    vault: Vault,
    say: Callable[[str], None],
    clock: Callable[[], datetime] = now_utc,
) -> Iterator[None]:
    """Receives objects into the spool until the block ends.

    Args:
        settings: address, titles and peers.
        spool: that keeps the objects.
        vault: names them.
        say: takes sentences for the operator; none names a patient or an object.
        clock: gives the time of arrival.

    Raises:
        ConfigError: if no peer is allowed, or the address cannot be listened on.
    """
    if not settings.peers:
        raise ConfigError("[receiver] has no peers, so nobody may send; list AE title and address of each sender")
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)  # its lines quote UIDs
    entity = AE(ae_title=settings.ae_title)
    entity.require_called_aet = True
    entity.maximum_associations = _MOST_ASSOCIATIONS
    entity.acse_timeout = entity.dimse_timeout = _TIMEOUT_SECONDS
    entity.network_timeout = _IDLE_SECONDS
    entity.maximum_pdu_size = 0  # as long as the sender likes
    entity.add_supported_context(_VERIFICATION)
    for sop_class in _ULTRASOUND:
        entity.add_supported_context(UID(sop_class), [UID(syntax) for syntax in AllTransferSyntaxes])
    handlers: list[evt.EventHandlerType] = [
        (evt.EVT_REQUESTED, _refuse_strangers, [settings.peers, say]),
        (evt.EVT_C_STORE, _store, [spool, vault, say, clock]),
        (evt.EVT_ABORTED, _tell_aborted, [say]),
    ]
    try:
        server = entity.start_server((settings.address, settings.port), block=False, evt_handlers=handlers)
    except OSError as error:
        raise ConfigError(
            f"{settings.address}:{settings.port}: cannot be listened on ({error.strerror}); choose another port in "
            "[receiver], or stop the program that uses it"
        ) from error
    try:
        yield
    finally:
        if server is not None:
            server.shutdown()
        entity.shutdown()


def is_allowed(peers: tuple[Peer, ...], ae_title: str, address: str) -> bool:
    """Whether a peer may send.

    Args:
        peers: of the site.
        ae_title: that the caller gives.
        address: from which it calls.
    """
    return any(peer.ae_title == ae_title.strip() and peer.address in ("", address) for peer in peers)


def _refuse_strangers(event: Event, peers: tuple[Peer, ...], say: Callable[[str], None]) -> None:
    """Rejects an association of somebody who is not a peer."""
    requestor = event.assoc.requestor
    title = (requestor.primitive.calling_ae_title if requestor.primitive else "").strip()
    address = requestor.address or ""
    if is_allowed(peers, title, address):
        return
    shown = "".join(character if character.isprintable() else "?" for character in title)
    say(f"refused '{shown}' at {address}: not among the peers of the site's settings")
    event.assoc.acse.send_reject(_REJECTED, _BY_USER, _CALLING_TITLE_UNKNOWN)
    event.assoc.kill()


def _store(event: Event, spool: Spool, vault: Vault, say: Callable[[str], None], clock: Callable[[], datetime]) -> int:
    """Puts an object on the disk and says with what status."""
    uid = str(getattr(event.request, "AffectedSOPInstanceUID", "") or "")
    sender = event.assoc.requestor.ae_title.strip()
    if not uid:
        say(f"refused an object from {sender}: it has no UID")
        return _CANNOT_UNDERSTAND
    syntax = str(event.context.transfer_syntax).encode()
    key = key_of(vault, uid, syntax + event.encoded_dataset(include_meta=False))
    try:
        spool.put(key, sender, clock(), event.encoded_dataset())
    except SpoolFull as error:
        say(f"took nothing from {sender}: {error}")
        return _OUT_OF_RESOURCES
    return _SUCCESS


def _tell_aborted(event: Event, say: Callable[[str], None]) -> None:
    say(f"{event.assoc.requestor.ae_title.strip()} broke its association off; what was complete is kept")
