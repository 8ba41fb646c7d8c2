"""A FHIR server that gets the Observations of cases: posted as a transaction, confirmed by reading them back.

The Observation of an image has one name. The transaction is a conditional update by that name, so posting twice leaves
one Observation, and a case that is signed again replaces its earlier one.

References: HL7 FHIR R4B, RESTful API: transactions, conditional updates, search by token.
"""

from __future__ import annotations

import json
import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from urllib.parse import quote

from fhir.resources.R4B.bundle import Bundle

from hc18.pacs.web import TIMEOUT_SECONDS, ArchiveError, WebService
from hc18.reports.case import Report
from hc18.reports.fhir import IDENTIFIER_SYSTEM, observation_urn, to_fhir_observation

_JSON = "application/fhir+json"
_SAME = ("status", "issued", "value", "unit", "absent", "subject", "effective")


def to_bundle(case: Report) -> bytes:
    """The Observation of a case as a transaction for a FHIR server; the same case gives the same bytes.

    Raises:
        MeasurementError: if the Observation breaks a rule, which is a mistake of this program.
    """
    name = observation_urn(case)
    entry = {
        "fullUrl": uuid.uuid5(uuid.UUID(name), "entry").urn,
        "resource": json.loads(to_fhir_observation(case).model_dump_json()),
        "request": {"method": "PUT", "url": f"Observation?identifier={quote(f'{IDENTIFIER_SYSTEM}|{name}', safe='')}"},
    }
    bundle = Bundle.model_validate({"resourceType": "Bundle", "type": "transaction", "entry": [entry]})
    return str(bundle.model_dump_json()).encode()


@dataclass(frozen=True, slots=True)
class FhirServer:
    """Where Observations go; an archive of the queue `hc18.pacs.outbox`.

    Attributes:
        service: its base address and login.
    """

    service: WebService

    @property
    def name(self) -> str:
        """The base address."""
        return self.service.url

    def identify(self, content: bytes) -> str:
        """Name and version of the Observation in a bundle of `to_bundle`."""
        resource = _resource(content)
        return f"{_urn_of(resource)}|{resource['issued']}|{resource['status']}"

    def send(self, content: bytes) -> None:
        """Posts a bundle of `to_bundle`; raises as `Archive.send`."""
        with self.service.asking(), self.service.session() as session:
            headers = {"Content-Type": _JSON, "Accept": _JSON}
            answer = session.post(self.service.url, data=content, headers=headers, timeout=TIMEOUT_SECONDS)
            answer.raise_for_status()
            entries = answer.json().get("entry") or [{}]
            status = str((entries[0].get("response") or {}).get("status", ""))
        if not status.startswith("2"):
            raise ArchiveError(f"{self.name}: the server did not take the Observation (status '{status[:3]}')")

    def holds(self, content: bytes) -> bool:
        """Whether the server gives back this version of the Observation or a later one; raises as `Archive.holds`."""
        wanted = _resource(content)
        headers = {"Accept": _JSON, "Cache-Control": "no-cache"}
        query = {"identifier": f"{IDENTIFIER_SYSTEM}|{_urn_of(wanted)}"}
        with self.service.asking(), self.service.session() as session:
            address = f"{self.service.url.rstrip('/')}/Observation"
            answer = session.get(address, params=query, headers=headers, timeout=TIMEOUT_SECONDS)
            answer.raise_for_status()
            found = [entry.get("resource") or {} for entry in answer.json().get("entry") or ()]
            return any(_essence(known) == _essence(wanted) or _is_later(known, wanted) for known in found)


def _resource(content: bytes) -> dict[str, Any]:
    resource: dict[str, Any] = json.loads(content)["entry"][0]["resource"]
    return resource


def _urn_of(resource: dict[str, Any]) -> str:
    return next(str(one["value"]) for one in resource["identifier"] if one.get("system") == IDENTIFIER_SYSTEM)


def _is_later(known: dict[str, Any], wanted: dict[str, Any]) -> bool:
    """Whether the server has a later version, which an earlier one that was held up must not replace."""
    issued = str(known.get("issued") or "")
    return bool(issued) and datetime.fromisoformat(issued) > datetime.fromisoformat(wanted["issued"])


def _essence(resource: dict[str, Any]) -> dict[str, Any]:
    """What must come back as it was sent; servers add ids, and may write numbers and times in another way."""
    value, subject = resource.get("valueQuantity") or {}, resource.get("subject") or {}
    issued = resource.get("issued")
    values = (
        resource.get("status"),
        datetime.fromisoformat(issued) if issued else None,
        None if value.get("value") is None else float(value["value"]),
        value.get("code"),
        resource.get("dataAbsentReason") is not None,
        (subject.get("identifier") or {}).get("value"),
        resource.get("effectiveDateTime"),
    )
    return dict(zip(_SAME, values, strict=True))
