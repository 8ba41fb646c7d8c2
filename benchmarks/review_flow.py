"""From one accepted case to the next picture: keystrokes and seconds of a reviewer's day, in a real browser.

    python -m benchmarks.review_flow [--cases 50]

Fills a store with phantoms of 800 x 540 px, opens the first case in a headless Chromium, and accepts one after the
other with the keyboard: Y then N, and Y alone for a reviewer who chose one key per case. The time runs from the first
key until the picture of the next case is on the screen. Exit code 1 if a median exceeds its limit, 2 without a browser.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from playwright.sync_api import Browser, Page

from benchmarks.app_speed import browser_and_folder, new_page, open_app, running_app
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.geometry.pixel_size import from_table
from hc18.phantoms.folder import write_phantom_folder
from hc18.reviews.batch_import import read_visible
from hc18.reviews.models import ModelMeasurement, ModelVersion, NewCase
from hc18.reviews.store import ReviewStore

MAX_SECONDS = 0.6
MAX_KEYS = 2
_PICTURE = "svg[role=application]"
_WAYS = {"accept, then next": (("y", "n"), False), "one key per case": (("y",), True)}


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument(
        "--cases", type=int, default=50, metavar="N", help="cases timed each way (default: %(default)s)"
    )
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    passed = True
    with browser_and_folder() as (browser, folder):
        for way, (keys, is_one_key) in _WAYS.items():
            store = folder / f"{'-'.join(keys)}.db"
            _fill(folder / store.stem, store, options.cases + 1)
            seconds = _time_cases(browser, store, options.cases, keys, is_one_key=is_one_key)
            median = statistics.median(seconds)
            print(
                f"{way}: {len(keys)} keystroke{'s' * (len(keys) > 1)} (limit {MAX_KEYS}), from an accepted case to the "
                f"next picture: median {median:.2f} s (limit {MAX_SECONDS}), most {max(seconds):.2f} of {len(seconds)}"
            )
            passed &= median <= MAX_SECONDS and len(keys) <= MAX_KEYS
    return 0 if passed else 1


def _time_cases(browser: Browser, store: Path, n_cases: int, keys: Sequence[str], *, is_one_key: bool) -> list[float]:
    """Seconds of each case; the store has one case more."""
    with running_app(store) as url:
        page = new_page(browser)
        open_app(page, url, "Start here")
        page.get_by_placeholder("Your name").fill("Dr. Bench")
        page.keyboard.press("Enter")
        page.get_by_role("link", name="Case").click()
        page.locator(_PICTURE).wait_for()
        if is_one_key:
            page.get_by_text("Y accepts, signs").click()
        return [_time_case(page, number, keys) for number in range(1, n_cases + 1)]


def _time_case(page: Page, number: int, keys: Sequence[str]) -> float:
    """Seconds from the first key to the picture of the next case."""
    enabled = page.locator(f".st-key-accept-{number} button:not([disabled])")
    enabled.wait_for()
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.evaluate("document.activeElement?.blur()")
    begin = time.perf_counter()
    for index, key in enumerate(keys):
        if index:
            page.locator(f".st-key-sign-{number} button:not([disabled])").wait_for()
        page.keyboard.press(key)
    page.locator(f'{_PICTURE}[data-case="case-{number + 1}"][data-loaded="true"]').wait_for()
    return time.perf_counter() - begin


def _fill(folder: Path, store: Path, n_cases: int) -> None:
    """A store with phantoms whose ellipse the model found exactly."""
    phantoms = write_phantom_folder(folder, n_cases, 0, 0)
    model = ModelVersion("benchmark", "1", "0" * 64)
    cases = [
        NewCase(
            read_visible(folder / phantom.folder / phantom.filename),
            from_table(phantom.spec.pixel_size_mm),
            ModelMeasurement(model, "ok", ellipse_px=phantom.spec.ellipse, confidence=0.97),
        )
        for phantom in phantoms
    ]
    with ReviewStore(str(store)) as opened:
        opened.register_cases(cases, "benchmark")


if __name__ == "__main__":
    sys.exit(main())
