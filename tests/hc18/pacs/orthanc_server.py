"""A real Orthanc with DICOMweb, for the tests that need one."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

from hc18.pacs.archive import NetworkArchive, WebArchive
from hc18.pacs.web import WebService
from tests.app.conftest import free_port

PLUGINS = Path("/usr/share/orthanc/plugins")
TITLE = "ORTHANC"


@dataclass(frozen=True)
class Orthanc:
    """A running archive.

    Attributes:
        rest: address of its own interface, without a slash at the end.
        service: its DICOMweb.
        dicom_port: of the DICOM network.
        folder: of its files and its log.
    """

    rest: str
    service: WebService
    dicom_port: int
    folder: Path

    @property
    def web(self) -> WebArchive:
        return WebArchive(self.service)

    @property
    def network(self) -> NetworkArchive:
        return NetworkArchive("127.0.0.1", self.dicom_port, TITLE)

    def add(self, content: bytes) -> None:
        """Puts a DICOM file into it."""
        login = (self.service.user, self.service.password) if self.service.user else None
        answer = requests.post(f"{self.rest}/instances", data=content, auth=login, timeout=60)
        assert answer.ok, answer.text


@contextmanager
def running_orthanc(folder: Path, *, user: str = "", password: str = "", **settings: Any) -> Iterator[Orthanc]:
    """An archive with its files in `folder`; skips the test where it is not installed."""
    program = shutil.which("Orthanc")
    if program is None or not list(PLUGINS.glob("libOrthancDicomWeb*")):
        pytest.skip("no Orthanc with DICOMweb: install the Debian packages orthanc and orthanc-dicomweb")
    web, network = free_port(), free_port()
    content = {
        "StorageDirectory": str(folder), "IndexDirectory": str(folder), "HttpPort": web, "DicomPort": network,
        "DicomAlwaysAllowFind": True, "Plugins": [str(PLUGINS)], "DicomWeb": {"Enable": True},
        "AuthenticationEnabled": bool(user), "RegisteredUsers": {user: password} if user else {}, **settings,
    }  # fmt: skip
    (folder / "orthanc.json").write_text(json.dumps(content), encoding="utf-8")
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen([program, str(folder / "orthanc.json")], stdout=log, stderr=log)
    rest = f"http://127.0.0.1:{web}"
    try:
        _wait_for(f"{rest}/system", server, (user, password) if user else None)
        yield Orthanc(rest, WebService(f"{rest}/dicom-web", user=user, password=password), network, folder)
    finally:
        server.terminate()
        server.wait(timeout=20)


def _wait_for(url: str, server: subprocess.Popen[bytes], login: tuple[str, str] | None) -> None:
    for _ in range(300):
        try:
            if requests.get(url, auth=login, timeout=2).ok:
                return
        except requests.ConnectionError:
            assert server.poll() is None, "Orthanc ended"
        time.sleep(0.1)
    raise AssertionError("Orthanc did not start within 30 s")
