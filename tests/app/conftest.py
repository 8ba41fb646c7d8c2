"""Phantoms to upload, a store of its own, a server in a process of its own, and a browser."""

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright
from streamlit.config import set_option

from hc18.phantoms.folder import write_phantom_folder
from hc18.reviews.store import ReviewStore

SCRIPT = "app/fetal_hc_app/start/review.py"
CHROMIUM_VARIABLE = "FETAL_HC_CHROMIUM"
CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
CHROMIUM_ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
START_SECONDS = 120.0  # of a server on a busy machine; it takes a few


@dataclass(frozen=True)
class Phantoms:
    """A folder in HC18's layout: images, annotations, table; and the true circumference of each image."""

    root: Path
    hc_mm: dict[str, float]

    @property
    def images(self) -> list[Path]:
        return [self.root / "training_set" / name for name in self.hc_mm]

    @property
    def table(self) -> Path:
        return self.root / "training_set_pixel_size_and_HC.csv"

    def annotation(self, image: Path) -> Path:
        return image.with_name(f"{image.stem}_Annotation.png")


@dataclass(frozen=True)
class Server:
    """A running app."""

    url: str
    store: str


@pytest.fixture(autouse=True)
def _own_main_module() -> Iterator[None]:
    """Puts back the main module. Streamlit's AppTest leaves the app in its place, and spawned processes run it."""
    main = sys.modules["__main__"]
    yield
    sys.modules["__main__"] = main


@pytest.fixture(scope="session")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Phantoms:
    """Three phantoms of 800 x 540 px with tables and annotations."""
    root = tmp_path_factory.mktemp("phantoms") / "hc18"
    cases = write_phantom_folder(root, 3, 0, 5)
    return Phantoms(root, {case.filename: case.spec.hc_mm for case in cases})


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ReviewStore]:
    """A new store, which the app in this process opens too."""
    import streamlit as st

    path = tmp_path / "reviews.db"
    monkeypatch.setenv("FETAL_HC_STORE", str(path))
    monkeypatch.delenv("FETAL_HC_BATCHES", raising=False)
    from fetal_hc_app import resources

    resources.store.clear()  # type: ignore[attr-defined]
    resources.picture.clear()  # type: ignore[attr-defined]
    st.cache_data.clear()
    set_option("server.address", "127.0.0.1")  # without a server, the settings of the app's folder are not read
    with ReviewStore(str(path)) as opened:
        yield opened
    if path.exists():
        resources.store().close()
        resources.store.clear()  # type: ignore[attr-defined]


@contextmanager
def running_app(folder: Path, repository_root: Path, port: int = 0) -> Iterator[tuple[Server, subprocess.Popen[bytes]]]:
    """The app as a user starts it, with its store in `folder`; on a free port unless one is named."""
    port = port or free_port()
    store_path = str(folder / "reviews.db")
    log = (folder / "server.log").open("a", encoding="utf-8")
    paths = os.pathsep.join(str(repository_root / name) for name in ("", "app", "tools"))
    process = subprocess.Popen(
        [sys.executable, "-m", "fetal_hc_cli.main", "app", "--port", str(port)],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": paths, "FETAL_HC_STORE": store_path, "OMP_NUM_THREADS": "1"},
        stdout=log,
        stderr=subprocess.STDOUT,
    )
    try:
        _wait_until_healthy(process, f"http://127.0.0.1:{port}/_stcore/health", folder / "server.log")
        yield Server(f"http://127.0.0.1:{port}", store_path), process
    finally:
        process.terminate()
        process.wait(timeout=30)
        log.close()


def free_port() -> int:
    """A port that nobody uses now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, repository_root: Path) -> Iterator[Server]:
    """A running app that the tests of a run share."""
    with running_app(tmp_path_factory.mktemp("server"), repository_root) as (running, _):
        yield running


def chromium_path() -> str | None:
    """The program of a Chromium; None where there is none."""
    named = os.environ.get(CHROMIUM_VARIABLE)
    return named or next((found for name in CHROMIUM_NAMES if (found := shutil.which(name))), None)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium; skips the test where there is none."""
    path = chromium_path()
    if path is None:
        pytest.skip(f"no Chromium: install Debian's package chromium or set {CHROMIUM_VARIABLE} to the program")
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=path, args=list(CHROMIUM_ARGUMENTS))
        yield launched
        launched.close()


def _wait_until_healthy(process: subprocess.Popen[bytes], url: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            time.sleep(0.2)
    pytest.fail(f"the app did not start: {log.read_text(encoding='utf-8')[-2000:]}")
