"""An image archive that reports are sent to, by the DICOM network (C-STORE, C-FIND) or DICOMweb (STOW-RS, QIDO-RS).

An object counts as sent only when the archive finds it: some archives answer yes and keep nothing.

References: DICOM PS3.4, annexes B and C; PS3.18, chapters 10.5 and 10.6.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Protocol

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association

from hc18.pacs.web import TIMEOUT_SECONDS, ArchiveError, WebService

_STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_SUCCESS = 0x0000
_STORE_WARNINGS = (0xB000, 0xB006, 0xB007)  # stored, with a remark
_PENDING = (0xFF00, 0xFF01)


class Archive(Protocol):
    """Where reports go."""

    @property
    def name(self) -> str:
        """For messages and as the key of the queue; holds no password."""

    def identify(self, content: bytes) -> str:
        """What tells the object from every other one."""

    def send(self, content: bytes) -> None:
        """Sends one object, the content of a file.

        Raises:
            ArchiveError: if the archive cannot be reached or refuses.
        """

    def holds(self, content: bytes) -> bool:
        """Whether the archive finds the object when it is asked.

        Raises:
            ArchiveError: if the archive cannot be asked.
        """


@dataclass(frozen=True, slots=True)
class NetworkArchive:
    """An archive on the DICOM network.

    Attributes:
        host: name or address.
        port: TCP port.
        ae_title: of the archive.
        calling_ae_title: ours, which the archive may have to know.
    """

    host: str
    port: int
    ae_title: str
    calling_ae_title: str = "FETALHC"

    @property
    def name(self) -> str:
        """Title and address."""
        return f"{self.ae_title}@{self.host}:{self.port}"

    def identify(self, content: bytes) -> str:
        """The UID of the object."""
        return _uid_of(content)

    def send(self, content: bytes) -> None:
        """Sends one object by C-STORE; raises as `Archive.send`."""
        dataset = _from_file(content)
        association = self._associate(dataset.SOPClassUID, dataset.file_meta.TransferSyntaxUID)
        try:
            status = association.send_c_store(dataset).get("Status")
        except (ValueError, RuntimeError) as error:
            raise ArchiveError(f"{self.name}: the object could not be sent; check the kinds it accepts") from error
        finally:
            association.release()
        if status != _SUCCESS and status not in _STORE_WARNINGS:
            answer = "no answer" if status is None else f"status 0x{status:04X}"
            raise ArchiveError(f"{self.name}: the archive did not store the object ({answer}); see the archive's log")

    def holds(self, content: bytes) -> bool:
        """Asks by C-FIND at the level of images; raises as `Archive.holds`."""
        dataset, query = _from_file(content), Dataset()
        query.QueryRetrieveLevel = "IMAGE"
        for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
            setattr(query, keyword, dataset[keyword].value)
        association = self._associate(_STUDY_ROOT_FIND)
        try:
            answers = list(association.send_c_find(query, _STUDY_ROOT_FIND))
        except (ValueError, RuntimeError) as error:
            raise ArchiveError(f"{self.name}: the archive could not be asked; allow C-FIND for our AE title") from error
        finally:
            association.release()
        if not answers or answers[-1][0].get("Status") != _SUCCESS:
            raise ArchiveError(f"{self.name}: the archive did not answer the question; allow C-FIND for our AE title")
        return any(
            status.get("Status") in _PENDING and found and found.get("SOPInstanceUID") == dataset.SOPInstanceUID
            for status, found in answers
        )

    def _associate(self, sop_class_uid: str, transfer_syntax_uid: str | None = None) -> Association:
        entity = AE(ae_title=self.calling_ae_title)
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = TIMEOUT_SECONDS
        entity.connection_timeout = TIMEOUT_SECONDS
        entity.add_requested_context(sop_class_uid, *([] if transfer_syntax_uid is None else [transfer_syntax_uid]))
        association = entity.associate(self.host, self.port, ae_title=self.ae_title)
        if not association.is_established:
            raise ArchiveError(f"{self.name}: no association; check address, port and AE titles on both sides")
        return association


@dataclass(frozen=True, slots=True)
class WebArchive:
    """An archive with DICOMweb.

    Attributes:
        service: its address and login.
    """

    service: WebService

    @property
    def name(self) -> str:
        """The address."""
        return self.service.url

    def identify(self, content: bytes) -> str:
        """The UID of the object."""
        return _uid_of(content)

    def send(self, content: bytes) -> None:
        """Sends one object by STOW-RS; raises as `Archive.send`."""
        dataset = _from_file(content)
        with self.service.asking():
            client = self.service.dicomweb()
            answer = client.store_instances([dataset], study_instance_uid=dataset.StudyInstanceUID)
        if answer.get("FailedSOPSequence"):
            raise ArchiveError(f"{self.name}: the archive did not store the object; see the archive's log")

    def holds(self, content: bytes) -> bool:
        """Asks by QIDO-RS; raises as `Archive.holds`."""
        dataset = _from_file(content)
        with self.service.asking():
            found = self.service.dicomweb().search_for_instances(
                dataset.StudyInstanceUID,
                dataset.SeriesInstanceUID,
                search_filters={"SOPInstanceUID": dataset.SOPInstanceUID},
            )
            return any(Dataset.from_json(item).get("SOPInstanceUID") == dataset.SOPInstanceUID for item in found)


def _from_file(content: bytes) -> Dataset:
    return pydicom.dcmread(io.BytesIO(content))


def _uid_of(content: bytes) -> str:
    return str(pydicom.dcmread(io.BytesIO(content), stop_before_pixels=True).SOPInstanceUID)


def deliver(archive: Archive, content: bytes) -> None:
    """Sends an object unless the archive holds it already, and confirms by asking.

    Raises:
        ArchiveError: if it could not be sent, or the archive does not find it afterwards.
    """
    if archive.holds(content):
        return
    archive.send(content)
    if not archive.holds(content):
        raise ArchiveError(f"{archive.name}: the archive said yes but does not find the object; it will be sent again")
