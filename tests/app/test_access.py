"""Where the app may run and who may use it."""

import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from fetal_hc_app.access import admit, binding_refusal
from fetal_hc_cli import app
from tests.app.conftest import SCRIPT, free_port

ALLOWED = ["Ann@hospital.example", "@clinic.example"]


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.53", "localhost", "::1", "[::1]"])
def test_own_machine_needs_no_login(address: str) -> None:
    assert binding_refusal(address, has_login=False) == ""


@pytest.mark.parametrize("address", [None, "", "0.0.0.0", "::", "192.168.1.7", "reviewer.example"])
def test_network_without_login_is_refused(address: str | None) -> None:
    assert "no login is configured" in binding_refusal(address, has_login=False)


def test_network_with_login_is_allowed() -> None:
    assert binding_refusal("0.0.0.0", has_login=True) == ""


@pytest.mark.parametrize("email", ["ann@hospital.example", "ANN@hospital.example ", "bob@clinic.example"])
def test_listed_people_are_admitted_by_address_or_domain(email: str) -> None:
    admission = admit({"email": email, "email_verified": True}, ALLOWED)
    assert (admission.refusal, admission.reviewer) == ("", email.strip().lower())


@pytest.mark.parametrize(
    "email", ["eve@hospital.example", "ann@evil.example", "x@sub.clinic.example", "@clinic.example.org"]
)
def test_others_are_refused(email: str) -> None:
    assert "not on the list" in admit({"email": email}, ALLOWED).refusal


def test_unverified_or_missing_address_is_refused() -> None:
    assert "no verified e-mail" in admit({"email": "ann@hospital.example", "email_verified": False}, ALLOWED).refusal
    assert "no verified e-mail" in admit({}, ALLOWED).refusal


def test_login_without_a_list_admits_nobody() -> None:
    assert "nobody is on the list" in admit({"email": "ann@hospital.example"}, []).refusal


class Visitor:
    """Somebody whose login gives an address that looks like a link."""

    def to_dict(self) -> dict[str, object]:
        return {"is_logged_in": True, "email": "[eve](https://evil.example)@x.example"}


def test_address_in_a_refusal_is_shown_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("streamlit.user", Visitor())
    test = AppTest.from_string("from fetal_hc_app import access\naccess.require_access()")
    test.secrets["auth"] = {"redirect_uri": "http://localhost/oauth2callback", "cookie_secret": "x"}
    test.secrets["access"] = {"allow": ["ann@hospital.example"]}
    test.run()
    (refusal,) = test.error
    assert r"\[eve\]\(https" in refusal.value


@pytest.mark.parametrize(
    "arguments",
    [
        ["--address", "0.0.0.0"],
        ["--", "--server.address", "0.0.0.0"],
        ["--", "--server.address=0.0.0.0"],
        ["--address", "127.0.0.1", "--", "--server.address", ""],
    ],
)
def test_command_without_a_login_refuses_a_network_before_the_server_starts(
    arguments: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    started: list[object] = []
    monkeypatch.setattr(app, "run_streamlit", lambda *line, **_: started.append(line))
    assert app.main(arguments) == 2
    assert "no login is configured" in capsys.readouterr().err
    assert started == []


def test_command_refuses_a_network_that_the_environment_names(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "run_streamlit", lambda *_line, **_: pytest.fail("the server was started"))
    monkeypatch.setenv("STREAMLIT_SERVER_ADDRESS", "0.0.0.0")
    assert app.main([]) == 2


@contextmanager
def started(command: list[str], store: Path, paths: Path, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """A command that starts the app, in a folder."""
    environment = {
        **os.environ,
        "FETAL_HC_STORE": str(store),
        "PYTHONPATH": os.pathsep.join(str(paths / name) for name in ("tools", "app", "")),
    }
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    line = [sys.executable, "-m", *command]
    with subprocess.Popen(line, cwd=folder, env=environment, text=True, **pipes) as process:  # type: ignore[call-overload]
        try:
            yield process
        finally:
            process.kill()


def is_answered(address: str, port: int) -> bool:
    """Whether somebody listens and answers a request."""
    with suppress(OSError), socket.create_connection((address, port), timeout=1.0) as visitor:
        visitor.sendall(b"GET / HTTP/1.0\r\n\r\n")
        return bool(visitor.recv(100))
    return False


@pytest.mark.parametrize(
    "command",
    [["streamlit", "run", SCRIPT, "--server.address", "0.0.0.0"], ["fetal_hc_cli.app", "--address", "0.0.0.0"]],
)
def test_server_without_a_login_never_answers_on_the_network(
    command: list[str], tmp_path: Path, repository_root: Path
) -> None:
    port, answers = free_port(), []
    command = [*command, "--server.port" if "streamlit" in command else "--port", str(port)]
    with started(command, tmp_path / "reviews.db", repository_root, repository_root) as process:

        def knock() -> None:
            while process.poll() is None:
                answers.append(is_answered("127.0.0.1", port))
                time.sleep(0.02)

        visitor = threading.Thread(target=knock)
        visitor.start()
        said, _ = process.communicate(timeout=120.0)
        visitor.join()
    assert process.returncode == 2
    assert "error: The server listens at the address 0.0.0.0, but no login is configured" in said
    assert "Traceback" not in said
    assert not any(answers)


def test_bare_streamlit_listens_on_the_own_machine_alone(tmp_path: Path, repository_root: Path) -> None:
    port, script = free_port(), str(repository_root / SCRIPT)
    command = ["streamlit", "run", script, "--server.port", str(port)]
    with started(command, tmp_path / "reviews.db", repository_root, tmp_path) as process:
        deadline = time.monotonic() + 120.0
        while not is_answered("127.0.0.1", port):
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert not is_answered("127.0.0.2", port)  # Linux gives this machine all of 127.0.0.0/8
