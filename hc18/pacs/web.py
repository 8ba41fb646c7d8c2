"""Connections to web services of the hospital (DICOMweb, FHIR): address, login, errors that name no patient.

TLS certificates are always verified.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import requests
from dicomweb_client.api import DICOMwebClient
from requests.adapters import HTTPAdapter

from fetal_hc.errors import ConfigError, FetalHCError

TIMEOUT_SECONDS = 30.0
logging.getLogger("dicomweb_client").setLevel(logging.CRITICAL)  # its messages quote addresses with UIDs and names


class ArchiveError(FetalHCError):
    """A server that cannot be reached or refuses. No message names a patient, an examination or an object."""


@dataclass(frozen=True, slots=True)
class WebService:
    """A web service and how to log in.

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
            raise ConfigError(f"{self.url}: expected the address of a web service, https://HOST/PATH")

    def session(self) -> requests.Session:
        """A session that is logged in."""
        session = requests.Session()
        for scheme in ("http://", "https://"):
            session.mount(scheme, _LiteralWildcards())
        if self.token:
            session.headers["Authorization"] = f"Bearer {self.token}"
        session.auth = (self.user, self.password) if self.user else None
        return session

    def dicomweb(self) -> DICOMwebClient:
        """A client for DICOMweb; it does not try again by itself."""
        client = DICOMwebClient(self.url, session=self.session(), timeout=TIMEOUT_SECONDS)
        client.set_http_retry_params(retry=False)
        return client

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Turns the errors of a request into an `ArchiveError` that names only their kind: their texts quote UIDs.

        Raises:
            ArchiveError: if the block raised an error of the network or of the answer.
        """
        try:
            yield
        except (requests.RequestException, OSError, ValueError, KeyError) as error:
            code = getattr(getattr(error, "response", None), "status_code", None)
            reason = type(error).__name__ if code is None else f"HTTP {code}"
            message = f"{self.url}: the server refused or is away ({reason}); check address and login"
            raise ArchiveError(message) from None


class _LiteralWildcards(HTTPAdapter):
    """Sends the wildcards of a search as they are, as URLs allow: some archives do not decode them (Orthanc 1.10)."""

    def send(self, request: requests.PreparedRequest, *args: Any, **values: Any) -> requests.Response:
        """Sends a request."""
        if request.url:
            path, mark, query = request.url.partition("?")
            request.url = path + mark + query.replace("%2A", "*").replace("%3F", "?")
        return super().send(request, *args, **values)
