"""A person at the app: what one sees and does, for the tests with a real browser."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Self

import numpy as np
from playwright.sync_api import Browser, BrowserContext, Download, Locator, Page, Request, ViewportSize, expect

from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import Calibration, CalibrationSource
from hc18.reviews.models import CaseId, ModelMeasurement, ModelVersion, NewCase
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Server

MODEL = ModelVersion("test", "1", "ab" * 32)
TIMEOUT_MS = 60_000  # on a busy machine; every step takes well under a second on an idle one
VIEWPORT = ViewportSize(width=1366, height=768)


class Person:
    """One browser context with the app open."""

    def __init__(self, browser: Browser, url: str, name: str = "") -> None:
        self._context: BrowserContext = browser.new_context(viewport=VIEWPORT, accept_downloads=True)
        self._context.set_default_timeout(TIMEOUT_MS)
        self.page: Page = self._context.new_page()
        self.foreign_requests: list[str] = []
        self.script_errors: list[str] = []
        self.page.on("request", self._note_request)
        self.page.on("pageerror", lambda error: self.script_errors.append(str(error)))
        self._url = url
        self._name = name

    def __enter__(self) -> Self:
        self.open("")
        return self

    def __exit__(self, *_exception: object) -> None:
        self._context.close()

    def open(self, path: str) -> None:
        """Goes to a page of the app, as a new session, and types the name."""
        self.page.goto(f"{self._url}/{path}")
        field = self.page.get_by_placeholder("Your name")
        expect(field).to_be_visible(timeout=TIMEOUT_MS)
        if self._name:
            field.fill(self._name)
            field.press("Enter")
            expect(self.page.get_by_text("Type your name at the top right")).to_have_count(0, timeout=TIMEOUT_MS)

    def upload(self, files: Sequence[Path]) -> None:
        """Chooses files in the upload field."""
        self.page.locator("input[type=file]").set_input_files([str(file) for file in files])

    @property
    def picture(self) -> Locator:
        """The image with the ellipse."""
        return self.page.locator("svg[role=application]")

    def wait_for_result(self) -> None:
        """Until an image with its numbers is on the screen."""
        expect(self.picture).to_be_visible(timeout=TIMEOUT_MS)
        expect(self.metric("Head circumference")).to_be_visible(timeout=TIMEOUT_MS)

    def metric(self, label: str) -> Locator:
        """The value under a label."""
        box = self.page.get_by_test_id("stMetric").filter(has_text=label)
        return box.get_by_test_id("stMetricValue")

    def hc(self) -> float:
        """The circumference next to the image, as the server computed it."""
        return _number(self.metric("Head circumference").inner_text())

    def live_hc(self) -> float:
        """The circumference over the image, as the browser computes it."""
        return _number(self.page.locator(".live b").inner_text())

    def expect_hc(self, value: float) -> None:
        """Waits until the server shows a circumference, to 0.1."""
        expect(self.metric("Head circumference")).to_contain_text(f"{value:.1f}", timeout=TIMEOUT_MS)

    def expect_live_hc(self, value: float) -> None:
        """Waits until the browser shows a circumference over the image, to 0.1."""
        expect(self.page.locator(".live b")).to_contain_text(f"{value:.1f}", timeout=TIMEOUT_MS)

    def drag(self, handle: str, across: float, down: float, *, release: bool = True) -> None:
        """Drags a handle of the ellipse by px of the screen."""
        self.picture.scroll_into_view_if_needed()
        mark = self.page.locator(f'[data-handle="{handle}"] .mark')
        expect(mark).to_have_count(1, timeout=TIMEOUT_MS)  # a former editor may still be there
        box = mark.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + across, y + down, steps=5)
        if release:
            self.page.mouse.up()
        # The browser draws what was moved, and its number, with its next frame.
        self.page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")

    def field(self, label: str) -> float:
        """The value of a number field."""
        return float(self.page.get_by_label(label, exact=True).input_value())

    def button(self, name: str) -> Locator:
        """A button by its words; a key may stand behind them."""
        return self.page.get_by_role("button", name=re.compile(rf"{re.escape(name)}( Shortcut .+)?$"))

    def settle(self) -> None:
        """Until the server has nothing more to draw; before that, parts of the former page may still be there."""
        idle = self.page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]')
        expect(idle).to_be_attached(timeout=TIMEOUT_MS)

    def press(self, name: str) -> None:
        """Presses a button."""
        self.settle()
        self.button(name).click()

    def expect_badge(self, text: str) -> None:
        """Waits for a word of the case's status."""
        expect(self.page.locator(".stMarkdownBadge", has_text=text).first).to_be_visible(timeout=TIMEOUT_MS)

    def section(self, name: str) -> None:
        """Opens a section under the image."""
        self.settle()
        self.page.get_by_text(name, exact=True).click()
        self.settle()

    def download(self, name: str) -> bytes:
        """The content of a file that a button gives."""
        with self.page.expect_download() as waiting:
            self.press(name)
        download: Download = waiting.value
        return Path(download.path()).read_bytes()

    def _note_request(self, request: Request) -> None:
        if not request.url.startswith((self._url, self._url.replace("http", "ws"), "data:", "blob:")):
            self.foreign_requests.append(request.url)


def _number(text: str) -> float:
    found = re.search(r"-?\d+(\.\d+)?", text)
    assert found, text
    return float(found.group())


def register(server: Server, seed: int, calibration: Calibration, ellipse: Ellipse) -> CaseId:
    """Puts a case into the running app's store: speckle with a given ellipse."""
    noise = np.random.default_rng(seed).integers(0, 90, (300, 400, 1), dtype=np.uint8)
    measurement = ModelMeasurement(MODEL, "ok", ellipse_px=ellipse, confidence=0.97)
    with ReviewStore(server.store) as store:
        case = NewCase(np.repeat(noise, 3, axis=2), calibration, measurement)
        return store.register_case(case, "test").case_id


def sized(across_mm: float, down_mm: float) -> Calibration:
    """A pixel size that was typed."""
    return Calibration((across_mm, down_mm), CalibrationSource.USER, "Typed for a test.")
