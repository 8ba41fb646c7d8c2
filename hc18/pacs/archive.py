"""An image archive that reports are sent to, by the DICOM network (C-STORE, C-FIND) or DICOMweb (STOW-RS, QIDO-RS).

An object counts as sent only when the archive finds it: some archives answer yes and keep nothing.

References: DICOM PS3.4, annexes B and C; PS3.18, chapters 10.5 and 10.6.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import urlsplit

import requests
from dicomweb_client.api import DICOMwebClient
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pynetdicom import AE
from pynetdicom.association import Association

from fetal_hc.errors import ConfigError, FetalHCError

_TIMEOUT_SECONDS = 30.0
_STUDY_ROOT_FIND = UID("1.2.840.10008.5.1.4.1.2.2.1")
_SUCCESS = 0x0000
_STORE_WARNINGS = (0xB000, 0xB006, 0xB007)  # stored, with a remark
_PENDING = (0xFF00, 0xFF01)


class ArchiveError(FetalHCError):
    """An archive that cannot be reached or refuses. No message names a patient, an examination or an object."""


class Archive(Protocol):
    """Where reports go."""

    @property
    def name(self) -> str:
        """For messages and as the key of the queue; holds no password."""

    def send(self, dataset: Dataset) -> None:
        """Sends one object.

        Raises:
            ArchiveError: if the archive cannot be reached or refuses.
        """

    def holds(self, dataset: Dataset) -> bool:
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

    def send(self, dataset: Dataset) -> None:
        """Sends one object by C-STORE; raises as `Archive.send`."""
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

    def holds(self, dataset: Dataset) -> bool:
        """Asks by C-FIND at the level of images; raises as `Archive.holds`."""
        query = Dataset()
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
        entity.acse_timeout = entity.dimse_timeout = entity.network_timeout = _TIMEOUT_SECONDS
        entity.connection_timeout = _TIMEOUT_SECONDS
        entity.add_requested_context(sop_class_uid, *([] if transfer_syntax_uid is None else [transfer_syntax_uid]))
        association = entity.associate(self.host, self.port, ae_title=self.ae_title)
        if not association.is_established:
            raise ArchiveError(f"{self.name}: no association; check address, port and AE titles on both sides")
        return association


@dataclass(frozen=True, slots=True)
class WebArchive:
    """An archive with DICOMweb. TLS certificates are always verified.

    Attributes:
        url: root of the service, such as "https://pacs.example.org/dicom-web".
        token: bearer token; empty for none.
        user: for a login by password; empty for none.
        password: of the user.

    Raises:
        ConfigError: if `url` is not an http or https address, or holds a user or a password.
    """

    url: str
    token: str = field(default="", repr=False)
    user: str = ""
    password: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        parts = urlsplit(self.url)
        if parts.username or parts.password:
            raise ConfigError("the address of the archive holds a user or a password; take them out and give a token")
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ConfigError(f"{self.url}: expected the address of a DICOMweb service, https://HOST/PATH")

    @property
    def name(self) -> str:
        """The address."""
        return self.url

    def send(self, dataset: Dataset) -> None:
        """Sends one object by STOW-RS; raises as `Archive.send`."""
        try:
            answer = self._client().store_instances([dataset], study_instance_uid=dataset.StudyInstanceUID)
        except (requests.RequestException, OSError) as error:
            raise self._unreachable(error) from None
        if answer.get("FailedSOPSequence"):
            raise ArchiveError(f"{self.name}: the archive did not store the object; see the archive's log")

    def holds(self, dataset: Dataset) -> bool:
        """Asks by QIDO-RS; raises as `Archive.holds`."""
        try:
            found = self._client().search_for_instances(
                dataset.StudyInstanceUID,
                dataset.SeriesInstanceUID,
                search_filters={"SOPInstanceUID": dataset.SOPInstanceUID},
            )
        except (requests.RequestException, OSError) as error:
            raise self._unreachable(error) from None
        return any(Dataset.from_json(item).get("SOPInstanceUID") == dataset.SOPInstanceUID for item in found)

    def _client(self) -> DICOMwebClient:
        headers = {"Authorization": f"Bearer {self.token}"} if self.token else None
        session = requests.Session()
        session.auth = (self.user, self.password) if self.user else None
        client = DICOMwebClient(self.url, session=session, headers=headers)
        client.set_http_retry_params(retry=False)  # the queue tries again
        return client

    def _unreachable(self, error: Exception) -> ArchiveError:
        """The texts of HTTP errors quote addresses with UIDs, so only their kind is named."""
        code = getattr(getattr(error, "response", None), "status_code", None)
        reason = type(error).__name__ if code is None else f"HTTP {code}"
        return ArchiveError(f"{self.name}: the archive refused or is away ({reason}); check address and login")


def deliver(archive: Archive, dataset: Dataset) -> None:
    """Sends an object unless the archive holds it already, and confirms by asking.

    Raises:
        ArchiveError: if it could not be sent, or the archive does not find it afterwards.
    """
    if archive.holds(dataset):
        return
    archive.send(dataset)
    if not archive.holds(dataset):
        raise ArchiveError(f"{archive.name}: the archive said yes but does not find the object; it will be sent again")
