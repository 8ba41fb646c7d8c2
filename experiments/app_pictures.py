"""Pictures of the reviewer app for the docs, made with phantoms in a real browser.

    python -m experiments.app_pictures --output docs/images

Fills a store with phantoms that the shipped model measures, opens each page in a headless Chromium, and writes
`app_case.png`, `app_picture.png`, `app_queue.png`, `app_reading.png` and `app_review.png`. No picture shows an image of
a data set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from playwright.sync_api import Page

from benchmarks.app_speed import browser_and_folder, new_page, open_app, running_app
from fetal_hc.model.checksum import file_sha256
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table
from hc18.measurement.head_model import bundled_model_path, load_model
from hc18.measurement.pipeline import measure_frame
from hc18.phantoms.folder import write_phantom_folder
from hc18.reviews import worklist
from hc18.reviews.adapters import from_measurement
from hc18.reviews.batch_import import read_visible
from hc18.reviews.models import ModelVersion, NewCase, ReviewAction, SoftMask
from hc18.reviews.store import ReviewStore

_CASES, _SEED = 12, 4
_PICTURE = "svg[role=application]"


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    with browser_and_folder() as (browser, folder):
        store = folder / "reviews.db"
        _fill(folder / "phantoms", store)
        with running_app(store) as url:
            page = new_page(browser)
            open_app(page, url, "Start here")
            page.get_by_placeholder("Your name").fill("Dr. Example")
            page.keyboard.press("Enter")
            _take_pictures(page, options.output)
    return 0


def _take_pictures(page: Page, output: Path) -> None:
    """Walks through the pages and writes their pictures."""
    page.get_by_role("link", name="Queue").click()
    page.get_by_text("Click a case").wait_for()
    _write(page, output / "app_queue.png")
    page.get_by_role("link", name="Case").first.click()
    page.locator(f'{_PICTURE}[data-loaded="true"]').wait_for()
    page.locator(".st-key-decision button:not([disabled])").first.wait_for()
    _write(page, output / "app_case.png")
    handle = page.locator('[data-handle="short-end"] .mark').bounding_box()
    if handle is None:
        raise RuntimeError("the handle of the ellipse is not on the screen")
    page.mouse.move(handle["x"] + 9, handle["y"] + 9)
    page.mouse.down()
    page.mouse.move(handle["x"] + 15, handle["y"] + 23, steps=5)
    _write(page, output / "app_picture.png")
    page.mouse.up()
    page.get_by_role("button", name="Save correction").wait_for()
    _write(page, output / "app_review.png")
    page.get_by_role("link", name="Second reading").click()
    page.get_by_text("to read. You see neither").wait_for()
    page.locator(f'{_PICTURE}[data-loaded="true"]').wait_for()
    _write(page, output / "app_reading.png")


def _write(page: Page, path: Path) -> None:
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()
    page.wait_for_function("document.querySelectorAll('[data-testid=stSkeleton]').length === 0")
    page.evaluate("document.querySelector('.stMain').scrollTo(0, 0)")
    page.wait_for_timeout(2000)
    page.screenshot(path=str(path))


def _fill(folder: Path, path: Path) -> None:
    """Phantoms that the model has measured, some of them decided on."""
    heads = load_model(bundled_model_path(), num_threads=1)
    model = ModelVersion(heads.name, heads.version, file_sha256(bundled_model_path()))
    cases = []
    for phantom in write_phantom_folder(folder, _CASES, 0, _SEED):
        image_rgb = read_visible(folder / phantom.folder / phantom.filename)
        calibration = from_table(phantom.spec.pixel_size_mm)
        found = measure_frame(heads, image_rgb, [calibration])
        mask = None
        if found.detection is not None:
            mask = SoftMask(found.detection.box_xyxy, found.detection.soft_mask)
        recorded = from_measurement(model, found.measurement, heads.intervals)
        cases.append(NewCase(image_rgb, found.measurement.calibration, recorded, soft_mask=mask))
    with ReviewStore(str(path)) as store:
        ids = [registration.case_id for registration in store.register_cases(cases, "Dr. Example")]
        for case_id in ids[1:4]:
            store.append(case_id, 1, ReviewAction.ACCEPT, "Dr. Example")
        store.append(ids[1], 2, ReviewAction.SIGN, "Dr. Lead")
        drawn = store.state(ids[4]).model_outline.ellipse_px
        if drawn is not None:
            wider = Ellipse(drawn.center_x, drawn.center_y, drawn.semi_axis_a + 4, drawn.semi_axis_b, drawn.angle_rad)
            store.append(ids[4], 1, ReviewAction.CORRECT, "Dr. Other", ellipse_px=wider)
        with store.writer() as connection:
            worklist.write_tags(connection, ids[:3], worklist.CaseTags("E-17", "P-3"))
            worklist.assign(connection, ids[5:], ["Dr. Example", "Dr. Other"])
            worklist.ask_reading(connection, ids[4:5], worklist.ANYBODY, "Dr. Lead", datetime.now(UTC))


if __name__ == "__main__":
    sys.exit(main())
