"""Speed of the reviewer app as a person sees it, in a real browser.

    python -m benchmarks.app_speed [--images 8] [--uploads 100] [--queue 10000]

Starts the app in a process of its own on the own machine and drives it with a headless Chromium: from the command to
the first page, from choosing an 800x540 PNG to its result on the screen, from choosing many files at once to the table
of their results, from the click to a queue of many cases, and how many messages a drag sends before the release. Exit
code 1 if a figure exceeds its limit, 2 without a browser.
"""

from __future__ import annotations

import argparse
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from playwright.sync_api import Browser, Page, ViewportSize, sync_playwright

from fetal_hc.errors import ConfigError
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table
from hc18.phantoms.folder import write_phantom_folder
from hc18.reviews.models import ModelMeasurement, ModelVersion, NewCase
from hc18.reviews.store import ReviewStore

MAX_START_S = 6.0
MAX_RESULT_S = 1.0
MAX_UPLOADS_S = 30.0  # for 100 files
MAX_QUEUE_S = 1.0
_TIMEOUT_MS = 120_000
_VIEWPORT = ViewportSize(width=1366, height=768)
_CASES_PER_TRANSACTION = 500
_CHROMIUM_VARIABLE = "FETAL_HC_CHROMIUM"
_CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome")
_CHROMIUM_ARGUMENTS = ("--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking")
_ROOT = Path(__file__).resolve().parents[1]
_PACKAGES = (_ROOT, _ROOT / "app", _ROOT / "tools")  # this checkout, whatever is installed


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--images", type=int, default=8, metavar="N", help="uploads timed (default: %(default)s)")
    parser.add_argument(
        "--uploads", type=int, default=100, metavar="N", help="files chosen at once (default: %(default)s)"
    )
    parser.add_argument("--queue", type=int, default=10_000, metavar="N", help="cases listed (default: %(default)s)")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    with browser_and_folder() as (browser, folder):
        cases = write_phantom_folder(folder / "phantoms", max(options.images, options.uploads), 0, 0)
        images = [folder / "phantoms" / case.folder / case.filename for case in cases]
        passed = [
            _time_start_and_results(browser, folder, images[: options.images]),
            _time_many_uploads(browser, folder, images[: options.uploads]),
            _time_queue(browser, folder, options.queue),
        ]
    return 0 if all(passed) else 1


def _time_start_and_results(browser: Browser, folder: Path, images: Sequence[Path]) -> bool:
    """Prints the time from the command to the first page and from choosing a file to its result."""
    begin = time.perf_counter()
    with running_app(folder / "empty.db") as url:
        page = new_page(browser)
        open_app(page, url, "Start here")
        start_s = time.perf_counter() - begin
        seconds = [_time_upload(page, url, image) for image in images]
        messages = _messages_of_a_drag(page, url)
    result_s = statistics.median(seconds)
    print(f"start of the app, command to first page: {start_s:.1f} s (limit {MAX_START_S:g})")
    print(
        f"upload of an 800x540 PNG to the result on the screen: median {result_s:.2f} s, largest {max(seconds):.2f} s "
        f"of {len(seconds)} (limit {MAX_RESULT_S:g} for the median)"
    )
    print(f"messages to the server during a drag, before the release: {messages} (limit 0)")
    return start_s <= MAX_START_S and result_s <= MAX_RESULT_S and messages == 0


def _time_upload(page: Page, url: str, image: Path) -> float:
    """Seconds from choosing a file to its picture and circumference on a page that is open."""
    open_app(page, url, "Start here")
    begin = time.perf_counter()
    page.locator("input[type=file]").set_input_files(str(image))
    page.locator("svg[role=application]").wait_for()
    page.get_by_test_id("stMetricValue").first.wait_for()
    return time.perf_counter() - begin


def _time_many_uploads(browser: Browser, folder: Path, images: Sequence[Path]) -> bool:
    """Prints the time from choosing many files to the table of their results."""
    if not images:
        return True
    with running_app(folder / "many.db") as url:
        page = new_page(browser)
        open_app(page, url, "Start here")
        begin = time.perf_counter()
        page.locator("input[type=file]").set_input_files([str(image) for image in images])
        page.get_by_role("button", name="Clear list").wait_for()
        page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
        seconds = time.perf_counter() - begin
    limit = MAX_UPLOADS_S * len(images) / 100.0
    print(f"{len(images)} uploads at once to the table of their results: {seconds:.1f} s (limit {limit:g})")
    return seconds <= limit


def _messages_of_a_drag(page: Page, url: str) -> int:
    """Messages that the browser sends while a handle is dragged and held."""
    sent: list[object] = []
    page.on("websocket", lambda connection: connection.on("framesent", lambda message: sent.append(message)))
    page.goto(f"{url}/case?case=1")
    handle = page.locator('[data-handle="long-end"] .mark')
    handle.wait_for()
    page.wait_for_timeout(1500)
    box = handle.bounding_box()
    if box is None:
        raise RuntimeError("the handle of the ellipse is not on the screen")
    page.mouse.move(box["x"] + 9, box["y"] + 9)
    page.mouse.down()
    before = len(sent)
    page.mouse.move(box["x"] + 60, box["y"] + 20, steps=30)
    page.wait_for_timeout(500)
    after = len(sent)
    page.mouse.up()
    return after - before


def _time_queue(browser: Browser, folder: Path, n_cases: int) -> bool:
    """Prints the time from the click on the queue to its table."""
    _fill(folder / "full.db", n_cases)
    with running_app(folder / "full.db") as url:
        page = new_page(browser)
        open_app(page, url, "Start here")
        seconds = []
        for _ in range(3):
            begin = time.perf_counter()
            page.get_by_role("link", name="Queue").click()
            page.get_by_text(f"of {n_cases:,}. Click a case").wait_for()
            seconds.append(time.perf_counter() - begin)
            page.get_by_role("link", name="Measure").click()
            page.get_by_text("Start here").wait_for()
    median = statistics.median(seconds)
    print(f"queue of {n_cases:,} cases, click to table: median {median:.2f} s of 3 (limit {MAX_QUEUE_S:g})")
    return median <= MAX_QUEUE_S


def _fill(path: Path, n_cases: int) -> None:
    """A store with many small cases."""
    ellipse, model = Ellipse(16.0, 16.0, 9.0, 7.0, 0.2), ModelVersion("benchmark", "1", "0" * 64)
    measurement = ModelMeasurement(model, "ok", ellipse_px=ellipse, confidence=0.9)
    with ReviewStore(str(path)) as store:
        for start in range(0, n_cases, _CASES_PER_TRANSACTION):
            numbers = np.arange(start, min(start + _CASES_PER_TRANSACTION, n_cases), dtype=np.uint32)
            pixels = np.zeros((len(numbers), 32, 32, 3), dtype=np.uint8)
            pixels[:, 0, :4, 0] = numbers.view(np.uint8).reshape(-1, 4)
            store.register_cases([NewCase(image, from_table(1.0), measurement) for image in pixels], "benchmark")


@contextmanager
def running_app(store: Path) -> Iterator[str]:
    """Address of the app while it runs."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "streamlit", "run", "app/fetal_hc_app/start/review.py", "--server.port", str(port)],
        cwd=_ROOT,
        env={**os.environ, "FETAL_HC_STORE": str(store), "PYTHONPATH": os.pathsep.join(map(str, _PACKAGES))},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        process.terminate()
        process.wait(timeout=30)


@contextmanager
def browser_and_folder() -> Iterator[tuple[Browser, Path]]:
    """A headless browser and a temporary folder.

    Raises:
        ConfigError: if there is no Chromium.
    """
    chromium = os.environ.get(_CHROMIUM_VARIABLE) or next(filter(None, map(shutil.which, _CHROMIUM_NAMES)), None)
    if chromium is None:
        raise ConfigError(f"no Chromium; install Debian's package chromium or set {_CHROMIUM_VARIABLE} to the program")
    with tempfile.TemporaryDirectory() as folder, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(_CHROMIUM_ARGUMENTS))
        yield browser, Path(folder)
        browser.close()


def new_page(browser: Browser) -> Page:
    page = browser.new_context(viewport=_VIEWPORT).new_page()
    page.set_default_timeout(_TIMEOUT_MS)
    return page


def open_app(page: Page, url: str, text: str) -> None:
    """Opens the app, waiting for the server if it is still starting."""
    deadline = time.perf_counter() + _TIMEOUT_MS / 1000.0
    while True:
        try:
            with socket.create_connection(("127.0.0.1", int(url.rpartition(":")[2])), timeout=1.0):
                break
        except OSError:
            if time.perf_counter() > deadline:
                raise
            time.sleep(0.05)
    page.goto(url)
    page.get_by_text(text).wait_for()


if __name__ == "__main__":
    sys.exit(main())
