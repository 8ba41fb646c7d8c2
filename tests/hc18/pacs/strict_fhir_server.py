"""A FHIR server for tests that takes nothing that FHIR does not allow: transactions of conditional updates, search.

Every bundle and resource is validated by fhir.resources; unknown fields, references and methods are refused.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from fhir.resources.R4B.bundle import Bundle
from fhir.resources.R4B.observation import Observation
from pydantic import ValidationError

JSON = "application/fhir+json"


@dataclass
class StrictFhirServer:
    """What the server holds and how it behaves.

    Attributes:
        token: that a request must bring; empty for none.
        keeps: whether it keeps what it says yes to.
        fails: how many of the next posts it answers with 503.
        held: Observations by id.
        n_posts: transactions that it took.
    """

    token: str = ""
    keeps: bool = True
    fails: int = 0
    held: dict[str, dict[str, Any]] = field(default_factory=dict)
    n_posts: int = 0
    url: str = ""

    def find(self, system: str, value: str) -> list[str]:
        wanted = {"system": system, "value": value}
        return [
            key
            for key, one in self.held.items()
            if any(wanted.items() <= identifier.items() for identifier in one["identifier"])
        ]

    def post(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """The answer to a transaction."""
        if self.fails:
            self.fails -= 1
            return 503, {}
        try:
            bundle = Bundle.model_validate_json(body)
            if bundle.type != "transaction":
                raise ValueError("no transaction")
            answers = [self._update(entry) for entry in json.loads(body)["entry"]]
        except (ValidationError, ValueError, KeyError) as error:
            issue = {"severity": "error", "code": "invalid", "diagnostics": str(error)}
            return 400, {"resourceType": "OperationOutcome", "issue": [issue]}
        self.n_posts += 1
        return 200, {"resourceType": "Bundle", "type": "transaction-response", "entry": answers}

    def _update(self, entry: dict[str, Any]) -> dict[str, Any]:
        """A conditional update: creates, replaces, or refuses where several match."""
        if not entry["fullUrl"].startswith("urn:uuid:") or entry["request"]["method"] != "PUT":
            raise ValueError("expected a conditional update with a urn as fullUrl")
        Observation.model_validate(entry["resource"])
        parts = urlsplit(entry["request"]["url"])
        if parts.path != "Observation":
            raise ValueError(f"no resource {parts.path}")
        system, _, value = parse_qs(parts.query)["identifier"][0].partition("|")
        known = self.find(system, value)
        if len(known) > 1:
            return {"response": {"status": "412 Precondition Failed"}}
        key = known[0] if known else str(len(self.held) + 1)
        version = int(self.held[key]["meta"]["versionId"]) + 1 if known else 1
        if self.keeps:
            self.held[key] = {**entry["resource"], "id": key, "meta": {"versionId": str(version)}}
        status = "200 OK" if known else "201 Created"
        return {"response": {"status": status, "location": f"Observation/{key}/_history/{version}"}}

    def search(self, query: str) -> tuple[int, dict[str, Any]]:
        """The answer to a search for Observations by identifier."""
        system, mark, value = parse_qs(query, strict_parsing=True)["identifier"][0].partition("|")
        if not mark:
            return 400, {}
        found = [{"resource": self.held[key], "search": {"mode": "match"}} for key in self.find(system, value)]
        return 200, {"resourceType": "Bundle", "type": "searchset", "total": len(found), "entry": found}


@contextmanager
def running_fhir_server(**settings: Any) -> Iterator[StrictFhirServer]:
    """A running server; its address is `url`."""
    server = StrictFhirServer(**settings)

    class Handler(BaseHTTPRequestHandler):
        def _answer(self, status: int, content: dict[str, Any]) -> None:
            body = json.dumps(content).encode()
            self.send_response(status)
            self.send_header("Content-Type", JSON)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def _is_admitted(self) -> bool:
            return not server.token or self.headers.get("Authorization") == f"Bearer {server.token}"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            if not self._is_admitted():
                self._answer(401, {})
            elif self.path != "/r4" or self.headers["Content-Type"] != JSON:
                self._answer(404 if self.path != "/r4" else 415, {})
            else:
                self._answer(*server.post(body))

        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            if not self._is_admitted():
                self._answer(401, {})
            elif parts.path != "/r4/Observation":
                self._answer(404, {})
            else:
                self._answer(*server.search(parts.query))

        def log_message(self, *_arguments: Any) -> None:
            """Nothing."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.url = f"http://127.0.0.1:{http.server_port}/r4"
    thread = threading.Thread(target=http.serve_forever)
    thread.start()
    try:
        yield server
    finally:
        http.shutdown()
        thread.join()
        http.server_close()
