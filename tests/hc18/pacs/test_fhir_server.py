"""Observations go to a FHIR server by the queue, and are read back."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography.fernet import Fernet

from hc18.dicom import Identifiers
from hc18.pacs.archive import deliver
from hc18.pacs.fhir_server import FhirServer, to_bundle
from hc18.pacs.outbox import Outbox, OutboxCounts
from hc18.pacs.vault import KEY_VARIABLE
from hc18.pacs.web import ArchiveError, WebService
from tests.hc18.pacs.strict_fhir_server import StrictFhirServer, running_fhir_server
from tests.hc18.reports import reported

KNOWN = Identifiers(patient_name="Doe^Jane", patient_id="4711", study_date="20260504")


@pytest.fixture
def server() -> Iterator[StrictFhirServer]:
    with running_fhir_server(token="marke") as running:
        yield running


def client(server: StrictFhirServer) -> FhirServer:
    return FhirServer(WebService(server.url, token=server.token))


@pytest.fixture
def outbox(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Outbox]:
    """A queue whose clock goes on by an hour with every look."""
    monkeypatch.setenv(KEY_VARIABLE, Fernet.generate_key().decode())
    times = iter(datetime(2026, 1, 1, tzinfo=UTC) + timedelta(hours=hour) for hour in range(1000))
    opened = Outbox(tmp_path / "outbox.db", clock=lambda: next(times))
    yield opened
    opened.close()


@pytest.mark.parametrize(
    "case",
    [reported.accepted(), reported.accepted(identifiers=KNOWN), reported.rejected(), reported.uncalibrated()],
    ids=["accepted", "with patient", "rejected", "without millimetres"],
)
def test_observation_arrives_and_is_read_back(server: StrictFhirServer, case: object) -> None:
    content = to_bundle(case)  # type: ignore[arg-type]
    assert not client(server).holds(content)
    deliver(client(server), content)
    assert client(server).holds(content)
    deliver(client(server), content)
    assert server.n_posts == 1


def test_case_that_is_signed_again_replaces_its_observation(server: StrictFhirServer, outbox: Outbox) -> None:
    later = reported.SIGNED_AT + timedelta(days=1)
    for case in (reported.accepted(), reported.corrected(is_signed=True, was_amended=True, signed_at_utc=later)):
        assert outbox.add(client(server), to_bundle(case))
        assert not outbox.add(client(server), to_bundle(case))
    assert outbox.send_due(client(server)) == OutboxCounts(waiting=0, sent=2), outbox.rows()
    [held] = server.held.values()
    assert held["status"] == "corrected"
    assert held["meta"]["versionId"] == "2"


def test_server_that_is_down_is_tried_again(server: StrictFhirServer, outbox: Outbox) -> None:
    server.fails = 1
    outbox.add(client(server), to_bundle(reported.accepted(identifiers=KNOWN)))
    assert outbox.send_due(client(server)) == OutboxCounts(waiting=1, sent=0)
    assert "HTTP 503" in outbox.rows()[0].reason
    assert outbox.send_due(client(server)) == OutboxCounts(waiting=0, sent=1)
    assert len(server.held) == 1


def test_server_that_says_yes_and_keeps_nothing_does_not_count(server: StrictFhirServer) -> None:
    server.keeps = False
    with pytest.raises(ArchiveError, match="does not find the object"):
        deliver(client(server), to_bundle(reported.accepted()))


def test_refusal_names_no_patient(server: StrictFhirServer) -> None:
    stranger = FhirServer(WebService(server.url, token="falsch"))
    with pytest.raises(ArchiveError, match="HTTP 401") as error:
        stranger.holds(to_bundle(reported.accepted(identifiers=KNOWN)))
    assert "4711" not in str(error.value)


def test_several_observations_of_one_name_are_refused(server: StrictFhirServer) -> None:
    content = to_bundle(reported.accepted())
    deliver(client(server), content)
    server.held["2"] = {**server.held["1"], "id": "2"}
    with pytest.raises(ArchiveError, match="status '412'"):
        client(server).send(content)


def test_earlier_version_that_was_held_up_does_not_replace_a_later_one(server: StrictFhirServer) -> None:
    again = reported.accepted(was_amended=True, signed_at_utc=reported.SIGNED_AT + timedelta(days=1))
    deliver(client(server), to_bundle(again))
    deliver(client(server), to_bundle(reported.accepted()))
    [held] = server.held.values()
    assert (held["status"], server.n_posts) == ("amended", 1)
