"""What arrived from archives and scanners: one row per DICOM object, with the cases that it became.

The UIDs of an object lead back to its patient. They are kept only where the site has turned that on, encrypted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy import Connection, delete, insert, select, update

from fetal_hc.errors import ConfigError, ImageError
from hc18.dicom import SourceReference, source_reference
from hc18.dicom.identifiers import Identifiers, read_identifiers
from hc18.pacs.inbox_tables import (
    INSTANCES,
    LINKS,
    METADATA,
    RETURNS,
    STORES,
    Begun,
    Finished,
    InboxError,
    InstanceRow,
    InstanceState,
    Origin,
)
from hc18.pacs.site import Site
from hc18.pacs.spool import Arrival, Spool, key_of, uid_part
from hc18.pacs.vault import Vault
from hc18.reviews.canonical import from_utc_text, to_utc_text
from hc18.reviews.database import connect, reading, to_url, writing
from hc18.reviews.models import CaseId
from hc18.reviews.store import ReviewStore, now_utc
from hc18.reviews.worklist import first_event_hash

_OTHER_PATIENT = (
    "The same picture is case {cases} of another patient, so this object was not linked to it and no report goes back "
    "for it. Compare both in the archive."
)


class Inbox:
    """The objects of a site and their cases. Safe to share between threads and processes.

    Args:
        site: its settings.
        vault: encrypts what leads back to a patient.

    Raises:
        ConfigError: if the folder cannot be created.
        StoreError: if the database cannot be opened.
    """

    def __init__(self, site: Site, vault: Vault) -> None:
        self.spool = Spool(
            site.folder / "spool",
            vault,
            most_waiting=site.receiver.most_waiting,
            keep_free_mb=site.receiver.keep_free_mb,
        )
        self._site, self._vault = site, vault
        path = site.folder / "inbox.db"
        path.touch(mode=0o600)
        self._engine = connect(to_url(str(path)))
        with writing(self._engine) as connection:
            METADATA.create_all(connection)

    def close(self) -> None:
        """Releases the database."""
        self._engine.dispose()

    def bind(self, store: ReviewStore) -> None:
        """Makes sure that the cases of this inbox are those of a store, so that no report goes to another patient.

        Raises:
            ConfigError: if they belong to another store.
        """
        with store.reader() as connection:
            own = first_event_hash(connection)
        with writing(self._engine) as connection:
            known = connection.execute(select(STORES.c.first_event_hash)).scalar_one_or_none()
            if known is None and own:
                connection.execute(insert(STORES).values(first_event_hash=own))
        if known is not None and known != own:
            raise ConfigError(
                f"{self._site.folder}: its objects became cases of another review store than {store.name}; name that "
                "store, or another folder in the site's settings"
            )

    def rows(self, *states: InstanceState) -> list[InstanceRow]:
        """The objects in some states, or all of them; the newest first."""
        query = select(INSTANCES).order_by(INSTANCES.c.id.desc())
        if states:
            query = query.where(INSTANCES.c.state.in_([state.value for state in states]))
        with reading(self._engine) as connection:
            links: dict[int, list[CaseId]] = {}
            for row in connection.execute(select(LINKS).order_by(LINKS.c.case_id)):
                links.setdefault(row.instance_id, []).append(CaseId(row.case_id))
            found = connection.execute(query).all()
        return [
            InstanceRow(
                row.key, row.sender, from_utc_text(row.received_at_utc), InstanceState(row.state), row.attempts,
                row.reason, tuple(links.get(row.id, ())), bool(row.reference),
            )
            for row in found
        ]  # fmt: skip

    def begin(self, arrivals: Iterable[Arrival]) -> Begun:
        """Notes that objects are about to be measured, and says which have to be.

        An object that is finished need not. Another content under a UID that is known waits for a person.
        """
        due: list[tuple[Arrival, int]] = []
        keep: list[str] = []
        remove: list[str] = []
        with writing(self._engine) as connection:
            for arrival in arrivals:
                row = connection.execute(select(INSTANCES).where(INSTANCES.c.key == arrival.key)).one_or_none()
                if row is None:
                    clash = _clash(connection, arrival)
                    _add(connection, arrival, InstanceState.WAITS if clash else InstanceState.RECEIVED, clash)
                    if clash:
                        keep.append(arrival.key)
                    else:
                        due.append((arrival, 1))
                elif row.state == InstanceState.RECEIVED:
                    same = update(INSTANCES).where(INSTANCES.c.id == row.id)
                    connection.execute(same.values(attempts=row.attempts + 1))
                    due.append((arrival, row.attempts + 1))
                else:
                    links = select(LINKS.c.case_id).where(LINKS.c.instance_id == row.id)
                    has_case = connection.execute(links).first() is not None
                    is_done = row.state == InstanceState.MEASURED or has_case
                    (remove if is_done else keep).append(arrival.key)
        return Begun(tuple(due), tuple(keep), tuple(remove))

    def finish(self, results: Iterable[Finished]) -> list[Finished]:
        """Records what became of objects, all of them or none.

        Returns:
            What was recorded: a case of another patient is not linked, and its object waits.
        """
        with writing(self._engine) as connection:
            return [self._finish(connection, result) for result in results]

    def attempts(self, keys: Iterable[str]) -> dict[str, int]:
        """How often those of the objects were begun that are not finished; new ones 0 times."""
        wanted = set(keys)
        query = select(INSTANCES.c.key, INSTANCES.c.attempts)
        with reading(self._engine) as connection:
            begun = {row.key: row.attempts for row in connection.execute(query) if row.key in wanted}
        return {key: begun.get(key, 0) for key in wanted}

    def to_repeat(self) -> list[str]:
        """Objects kept for a person who has asked to measure them again."""
        query = select(INSTANCES.c.key).where(INSTANCES.c.state == InstanceState.RECEIVED.value)
        with reading(self._engine) as connection:
            return list(connection.execute(query.order_by(INSTANCES.c.id)).scalars())

    def retry(self, key: str) -> None:
        """Has an object measured again that waits or failed and is still in the spool.

        Raises:
            InboxError: if its content is not kept any more.
        """
        if self.content(key) is None:
            raise InboxError("The object is not kept any more, because it became a case; send it again if it changed.")
        values = {"state": InstanceState.RECEIVED.value, "attempts": 0, "reason": ""}
        with writing(self._engine) as connection:
            connection.execute(update(INSTANCES).where(INSTANCES.c.key == key).values(values))

    def content(self, key: str) -> bytes | None:
        """The content of an object that waits for a person or failed; None if it is not kept.

        Raises:
            ConfigError: if it was written with another key.
        """
        found = self.spool.read(key)
        return None if found is None else found.content

    def settle(self, key: str, frames: Mapping[CaseId, int | None]) -> None:
        """Records the cases that a person made of an object that waited, and removes its content.

        Args:
            key: of the object.
            frames: the frame of each case, from 1; None for an object with one frame.

        Raises:
            InboxError: if a case belongs to another patient.
        """
        arrival = self.spool.read(key)
        if arrival is None:
            return
        with writing(self._engine) as connection:
            done = self._finish(connection, Finished(arrival, InstanceState.MEASURED, "", frames))
        if done.state is not InstanceState.MEASURED:
            raise InboxError(done.reason)
        self.spool.remove(key)

    def link(self, case_id: CaseId, content: bytes, frame_number: int | None, sender: str) -> None:
        """Records that a case was made of an object that did not come through the spool.

        Args:
            case_id: the case.
            content: of the DICOM file.
            frame_number: from 1; None for an object with one frame.
            sender: archive that it came from.

        Raises:
            ImageError: if the file lacks its identifiers.
            InboxError: if the case belongs to another patient; nothing is recorded then.
        """
        key = key_of(self._vault, source_reference(content).sop_instance_uid, content)
        arrival = Arrival(key, sender, now_utc(), content)
        with writing(self._engine) as connection:
            row = connection.execute(select(INSTANCES.c.id).where(INSTANCES.c.key == key)).one_or_none()
            if row is None:
                _add(connection, arrival, InstanceState.RECEIVED, "")
            done = self._finish(connection, Finished(arrival, InstanceState.MEASURED, "", {case_id: frame_number}))
            if done.state is not InstanceState.MEASURED:
                raise InboxError(done.reason)

    def origins(self, case_id: CaseId) -> list[Origin]:
        """The images that a case comes from, in the order of their arrival; empty where none are kept.

        Raises:
            ConfigError: if they were kept with another key.
        """
        with reading(self._engine) as connection:
            return list(self._origins(connection, case_id))

    def linked_cases(self) -> list[CaseId]:
        """All cases of which the origin is kept, by number."""
        query = select(LINKS.c.case_id).join(INSTANCES).where(INSTANCES.c.reference != b"").distinct()
        with reading(self._engine) as connection:
            return sorted(map(CaseId, connection.execute(query).scalars()))

    def returned(self) -> dict[CaseId, tuple[int, str]]:
        """The revision up to which the reports of each case are queued, and why there is none for it."""
        with reading(self._engine) as connection:
            rows = connection.execute(select(RETURNS)).all()
        return {CaseId(row.case_id): (row.revision, row.reason) for row in rows}

    def note_returned(self, case_id: CaseId, revision: int, reason: str = "") -> None:
        """Records that the reports of a revision are queued, or why there is none."""
        with writing(self._engine) as connection:
            connection.execute(delete(RETURNS).where(RETURNS.c.case_id == case_id))
            connection.execute(insert(RETURNS).values(case_id=case_id, revision=revision, reason=reason))

    def _finish(self, connection: Connection, result: Finished) -> Finished:
        """Writes a result, without the cases that belong to another patient."""
        same = INSTANCES.c.key == result.arrival.key
        instance_id = connection.execute(select(INSTANCES.c.id).where(same)).scalar_one()
        strangers = [
            case_id
            for case_id in result.frames
            if self._is_of_another_patient(connection, case_id, result.arrival.content)
        ]
        if strangers:
            own = {case_id: frame for case_id, frame in result.frames.items() if case_id not in strangers}
            reason = _OTHER_PATIENT.format(cases=", ".join(map(str, strangers)))
            result = replace(result, state=InstanceState.WAITS, reason=reason, frames=own)
        for case_id, frame_number in result.frames.items():
            known = (LINKS.c.instance_id == instance_id) & (LINKS.c.case_id == case_id)
            connection.execute(delete(LINKS).where(known))
            link = {"instance_id": instance_id, "case_id": case_id, "frame_number": frame_number or 0}
            connection.execute(insert(LINKS).values(link))
        reference = self._seal(result.arrival.content) if result.frames else b""
        values = {"state": result.state.value, "reason": result.reason, "reference": reference}
        connection.execute(update(INSTANCES).where(same).values(values))
        return result

    def _is_of_another_patient(self, connection: Connection, case_id: CaseId, content: bytes) -> bool:
        if not self._site.keep_references:
            return False
        own = self._patient_print(content)
        others = [values["patient"] for values, _ in self._sealed(connection, case_id)]
        return any(own and other and own != other for other in others)

    def _patient_print(self, content: bytes) -> str:
        """Fingerprint of the patient's number and who gave it; empty where the file has none."""
        try:
            found = read_identifiers(content)
        except ImageError:
            return ""
        text = f"{found.issuer_of_patient_id}|{found.patient_id}"
        return self._vault.fingerprint(text.encode()) if found.patient_id else ""

    def _seal(self, content: bytes) -> bytes:
        """What the site keeps of an object's origin, encrypted; empty for nothing."""
        if not self._site.keep_references:
            return b""
        try:
            values: dict[str, Any] = asdict(source_reference(content))
        except ImageError:
            return b""
        values["patient"] = self._patient_print(content)
        values["identifiers"] = read_identifiers(content).to_json() if self._site.keep_patient else "{}"
        return self._vault.encrypt(json.dumps(values).encode())

    def _sealed(self, connection: Connection, case_id: CaseId) -> Iterator[tuple[dict[str, Any], int]]:
        """What is kept of the origins of a case, with the frame of each."""
        query = select(INSTANCES.c.reference, LINKS.c.frame_number).join(LINKS).where(LINKS.c.case_id == case_id)
        for row in connection.execute(query.order_by(INSTANCES.c.id)):
            if row.reference:
                yield json.loads(self._vault.decrypt(row.reference)), row.frame_number

    def _origins(self, connection: Connection, case_id: CaseId) -> Iterator[Origin]:
        for values, frame_number in self._sealed(connection, case_id):
            values.pop("patient")
            identifiers = Identifiers.from_json(values.pop("identifiers"))
            yield Origin(replace(SourceReference(**values), frame_number=frame_number or None), identifiers)


def _clash(connection: Connection, arrival: Arrival) -> str:
    """Why an object cannot be measured at once: its UID is known with another content; empty if it can."""
    same_uid = select(INSTANCES.c.sender, INSTANCES.c.received_at_utc).where(INSTANCES.c.uid == uid_part(arrival.key))
    known = connection.execute(same_uid.order_by(INSTANCES.c.id)).first()
    if known is None:
        return ""
    at = from_utc_text(known.received_at_utc)
    return (
        f"An object with the same UID and another content came before (from {known.sender}, {at:%Y-%m-%d %H:%M} UTC). "
        "Both are kept. Measure this one too if it is the better version."
    )


def _add(connection: Connection, arrival: Arrival, state: InstanceState, reason: str) -> None:
    connection.execute(
        insert(INSTANCES).values(
            key=arrival.key,
            uid=uid_part(arrival.key),
            sender=arrival.sender,
            received_at_utc=to_utc_text(arrival.received_at),
            state=state.value,
            attempts=1,
            reason=reason,
            reference=b"",
        )
    )
