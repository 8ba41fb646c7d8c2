"""People log in at a real OpenID provider in a real browser: roles, a login for signatures, the end of a session."""

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hc18.geometry.ellipse import Ellipse
from hc18.reviews.models import ReviewAction
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Server, free_port, running_app
from tests.app.reviewer import TIMEOUT_MS, register, sized

ELLIPSE = Ellipse(200.0, 150.0, 120.0, 95.0, 0.3)
PEOPLE = ("ann@clinic.example", "lead@clinic.example", "boss@clinic.example", "eve@evil.example")
SECRETS = """
[auth]
redirect_uri = "http://127.0.0.1:{port}/oauth2callback"
cookie_secret = "a long random text for the tests alone"
client_id = "reviewer"
client_secret = "secret"
server_metadata_url = "{provider}/.well-known/openid-configuration"
[auth.confirm]
client_id = "reviewer"
client_secret = "secret"
server_metadata_url = "{provider}/.well-known/openid-configuration"
client_kwargs = {{ prompt = "login", max_age = "0" }}
[access]
allow = ["@clinic.example"]
adjudicators = ["lead@clinic.example"]
admins = ["boss@clinic.example"]
"""


@pytest.fixture(scope="module")
def provider() -> Iterator[str]:
    """Address of an OpenID provider with some people; its library warns when it is imported, so it runs alone."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    people = [json.dumps({"sub": email, "email": email, "email_verified": True}) for email in PEOPLE]
    options = [option for person in people for option in ("--user-claims", person)]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "--port", str(port), *options]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            for _ in range(300):
                try:
                    urllib.request.urlopen(
                        f"http://127.0.0.1:{port}/.well-known/openid-configuration", timeout=5
                    ).close()
                    break
                except (urllib.error.URLError, ConnectionError):
                    assert process.poll() is None, "the provider ended"
                    time.sleep(0.1)
            yield url
        finally:
            process.terminate()


@contextmanager
def clinic(folder: Path, root: Path, provider: str, rules: str) -> Iterator[Server]:
    """An app with a login and further rules of access."""
    port = free_port()
    (folder / ".streamlit").mkdir()
    secrets = SECRETS.format(port=port, provider=provider) + rules
    (folder / ".streamlit" / "secrets.toml").write_text(secrets, encoding="utf-8")
    with running_app(folder, root, port) as (server, _):
        yield server


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory, repository_root: Path, provider: str) -> Iterator[Server]:
    with clinic(tmp_path_factory.mktemp("clinic"), repository_root, provider, "sign_in_minutes = 5\n") as running:
        yield running


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context()
    context.set_default_timeout(TIMEOUT_MS)
    yield context.new_page()
    context.close()


def choose(page: Page, email: str) -> None:
    """Says at the provider who one is."""
    page.get_by_role("heading", name="Authorize Client").wait_for()
    page.get_by_role("button", name=email).first.click()


def log_in(page: Page, server: Server, email: str) -> None:
    page.goto(server.url)
    page.get_by_role("button", name="Log in").click()
    choose(page, email)


def open_case(page: Page, server: Server, case_id: int) -> None:
    page.goto(f"{server.url}/case?case={case_id}")
    page.locator('svg[role=application][data-loaded="true"]').wait_for()


def test_stranger_stays_outside(page: Page, server: Server) -> None:
    log_in(page, server, "eve@evil.example")
    expect(page.get_by_text("is not on the list of this reviewer")).to_be_visible(timeout=TIMEOUT_MS)
    assert page.get_by_text("Start here").count() == 0


def test_signature_asks_for_the_login_again_and_comes_back_to_the_case(page: Page, server: Server) -> None:
    case_id = register(server, 41, sized(0.2, 0.2), ELLIPSE)
    log_in(page, server, "ann@clinic.example")
    expect(page.get_by_role("button", name="Log out ann@clinic.example (reader)")).to_be_visible(timeout=TIMEOUT_MS)
    open_case(page, server, case_id)
    page.locator(f".st-key-accept-{case_id} button:enabled").click()
    page.locator(f".st-key-sign-{case_id} button:enabled", has_text="Log in to sign").click()
    choose(page, "ann@clinic.example")
    page.wait_for_url(f"**/case?case={case_id}")
    page.locator(f".st-key-sign-{case_id} button:enabled", has_text="Sign").click()
    expect(page.locator(".stMarkdownBadge", has_text="Signed")).to_be_visible(timeout=TIMEOUT_MS)
    with ReviewStore(server.store) as store:
        assert store.state(case_id).reviewer == "ann@clinic.example"
        assert store.state(case_id).is_signed


@pytest.mark.parametrize(("email", "can"), [("ann@clinic.example", False), ("lead@clinic.example", True)])
def test_only_adjudicators_reopen_what_others_signed(page: Page, server: Server, *, email: str, can: bool) -> None:
    case_id = register(server, 42 + can, sized(0.2, 0.2), ELLIPSE)
    with ReviewStore(server.store) as store:
        store.append(case_id, 1, ReviewAction.ACCEPT, "other@clinic.example")
        store.append(case_id, 2, ReviewAction.SIGN, "other@clinic.example")
    log_in(page, server, email)
    expect(page.get_by_role("button", name=f"Log out {email}")).to_be_visible(timeout=TIMEOUT_MS)
    open_case(page, server, case_id)
    reopen = page.get_by_role("button", name="Reopen")
    expect(reopen).to_be_enabled(timeout=TIMEOUT_MS) if can else expect(reopen).to_be_disabled(timeout=TIMEOUT_MS)


def test_readers_give_no_cases_to_others(page: Page, server: Server) -> None:
    register(server, 45, sized(0.2, 0.2), ELLIPSE)
    log_in(page, server, "ann@clinic.example")
    page.get_by_role("link", name="Queue").click()
    page.get_by_text("With these cases").wait_for()
    assert page.get_by_text("Give to readers").count() == 0
    assert page.get_by_text("Examination and patient code").count() > 0


def test_session_ends_when_it_is_not_used(page: Page, tmp_path: Path, repository_root: Path, provider: str) -> None:
    with clinic(tmp_path, repository_root, provider, "idle_minutes = 0.4\n") as server:
        case_id = register(server, 46, sized(0.2, 0.2), ELLIPSE)
        log_in(page, server, "boss@clinic.example")
        open_case(page, server, case_id)
        expect(page.get_by_text("The session has ended")).to_be_visible(timeout=TIMEOUT_MS)
        assert page.locator("svg[role=application]").count() == 0
        page.reload()
        expect(page.get_by_text("The session has ended")).to_be_visible(timeout=TIMEOUT_MS)
        page.get_by_role("button", name="Log in").click()
        choose(page, "boss@clinic.example")
        expect(page.get_by_text("Start here")).to_be_visible(timeout=TIMEOUT_MS)
