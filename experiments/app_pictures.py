"""Pictures of the reviewer app for the docs, made with phantoms in a real browser.

    python -m experiments.app_pictures --output docs/images
    python -m experiments.app_pictures --output pictures --widths 768 1366 2560

Fills a store with phantoms that the shipped model measures, opens each page in a headless Chromium, and writes the
pictures of `docs/reviewer.md`. With --widths it writes every page at each window width instead, from top to bottom, to
be looked at. No picture shows an image of a data set.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
from playwright.sync_api import Page, ViewportSize
from tqdm import tqdm

from benchmarks.app_speed import browser_and_folder, new_page, open_app, running_app
from benchmarks.clip_speed import write_clip
from experiments.app_pictures_site import fill_site
from fetal_hc.model.checksum import file_sha256
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table
from hc18.measurement.head_model import bundled_model_path, load_model
from hc18.measurement.pipeline import measure_frame
from hc18.phantoms.phantom import render_phantom
from hc18.phantoms.spec import PhantomSpec, sample_spec
from hc18.reviews import worklist
from hc18.reviews.adapters import from_measurement
from hc18.reviews.models import ModelVersion, NewCase, ReviewAction, SoftMask
from hc18.reviews.store import ReviewStore

_N_CASES, _N_SAME, _N_FRAMES, _SEED = 12, 4, 9, 4
_READ_CASE = 2  # one of an examination, accepted, with two second readings
_HEIGHT = 768  # of the window, px
_SECTIONS = ("Growth and dates", "Pixel size", "Reports and exports", "History", "Second readings", "Examination")
_PICTURE = "svg[role=application]"


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--output", type=Path, required=True, metavar="DIR", help="folder of the pictures")
    parser.add_argument("--widths", type=int, nargs="+", metavar="PX", help="every page at these widths of the window")
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    options.output.mkdir(parents=True, exist_ok=True)
    with browser_and_folder() as (browser, folder):
        store = folder / "reviews.db"
        _fill(store)
        fill_site(folder, store)
        with running_app(store) as url:
            page = new_page(browser)
            open_app(page, url, "Start here")
            _say_name(page)
            if options.widths:
                _take_all_pages(page, options.output, options.widths, _write_clip(folder / "cine.dcm"))
            else:
                _take_pictures(page, options.output, _write_clip(folder / "cine.dcm"))
    return 0


def _take_pictures(page: Page, output: Path, clip: Path) -> None:
    """Walks through the pages and writes the pictures of the docs."""
    _open_queue(page)
    _write(page, output / "app_queue.png")
    _open_case(page)
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
    _open_reading(page)
    _write(page, output / "app_reading.png")
    _open_section(page, "Examination")
    _write(page, output / "app_examination.png", shown="[data-testid=stDataFrame]")
    _open_clip(page, clip)
    _write(page, output / "app_clip.png", shown=".strip")
    _open_worklist(page)
    _write(page, output / "app_worklist.png")


def _take_all_pages(page: Page, output: Path, widths: Sequence[int], clip: Path) -> None:
    """Writes every page at every width as `PAGE_WIDTH.png`, the whole height of it."""
    pages: dict[str, Callable[[Page], None]] = {
        "queue": _open_queue,
        "case": _open_case,
        **{f"case-{name.partition(' ')[0].lower()}": partial(_open_section, name=name) for name in _SECTIONS},
        "reading": _open_reading,
        "worklist": _open_worklist,
        "archive": partial(_open_link, name="Archive"),
        "agreement": partial(_open_link, name="Agreement"),
        "faces": partial(_open_link, name="Faces"),
        "about": partial(_open_link, name="About"),
        "measure": partial(_open_link, name="Measure"),
        "clip": partial(_open_clip, clip=clip),
    }
    for name, open_page in tqdm(pages.items(), unit="page"):
        open_page(page)
        for width in widths:
            page.set_viewport_size(ViewportSize(width=width, height=_HEIGHT))
            _settle(page)
            height = page.evaluate("document.querySelector('.stMain').scrollHeight")
            page.set_viewport_size(ViewportSize(width=width, height=max(_HEIGHT, int(height) + 80)))
            _write(page, output / f"{name}_{width}.png")
        page.set_viewport_size(ViewportSize(width=1366, height=_HEIGHT))


def _open_link(page: Page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()
    _settle(page)


def _open_queue(page: Page) -> None:
    _open_link(page, "Queue")
    page.get_by_text("Click a case").wait_for()


def _open_worklist(page: Page) -> None:
    _open_link(page, "Worklist")
    page.get_by_text("Click a row").wait_for()


def _open_case(page: Page, case_id: int | None = None) -> None:
    if case_id is None:
        _open_link(page, "Case")
    else:
        page.goto(f"{page.url.partition('://')[0]}://{page.url.split('/')[2]}/case?case={case_id}")
        _say_name(page)
    page.locator(f'{_PICTURE}[data-loaded="true"]').wait_for()
    page.locator(".st-key-decision button:not([disabled])").first.wait_for()


def _say_name(page: Page) -> None:
    page.get_by_placeholder("Your name").fill("Dr. Example")
    page.keyboard.press("Enter")
    _settle(page)


def _open_section(page: Page, name: str) -> None:
    _open_case(page, _READ_CASE)
    page.get_by_role("radio", name=name, exact=True).click()
    _settle(page)


def _open_reading(page: Page) -> None:
    _open_link(page, "Second reading")
    page.get_by_text("to read. You see neither").wait_for()
    page.locator(f'{_PICTURE}[data-loaded="true"]').wait_for()


def _open_clip(page: Page, clip: Path) -> None:
    _open_link(page, "Measure")
    page.locator("input[type=file]").set_input_files(str(clip))
    page.get_by_role("button", name="Find the best frames").click()
    page.locator(".strip button.best").first.wait_for()


def _write(page: Page, path: Path, shown: str = "") -> None:
    """Takes a picture of the window, from the top of the page or with an element in the middle."""
    _settle(page)
    page.wait_for_function("document.querySelectorAll('[data-testid=stSkeleton]').length === 0")
    page.evaluate("document.querySelector('.stMain').scrollTo(0, 0)")
    if shown:
        page.locator(shown).first.evaluate("element => element.scrollIntoView({block: 'center'})")
    page.wait_for_timeout(2000)
    page.screenshot(path=str(path))


def _settle(page: Page) -> None:
    page.locator('[data-testid="stApp"][data-test-script-state="notRunning"]').wait_for()


def _write_clip(path: Path) -> Path:
    """A DICOM clip of one phantom under less and less noise."""
    phantom = render_phantom(_same_head(1)[0])
    rng, shares = np.random.default_rng(_SEED), np.linspace(2.0, 0.0, _N_FRAMES)
    frames = [np.clip(phantom.image + share * rng.normal(0.0, 20.0, phantom.image.shape), 0, 255) for share in shares]
    write_clip(path, np.asarray(frames, dtype=np.uint8), phantom.pixel_size_mm)
    return path


def _same_head(n_images: int) -> list[PhantomSpec]:
    """Images of one head in one plane; speckle and shadows differ."""
    spec = sample_spec(np.random.default_rng(_SEED))
    return [replace(spec, seed=spec.seed + number) for number in range(n_images)]


def _fill(path: Path) -> None:
    """Phantoms that the model has measured, some of them decided on; the first are images of one examination."""
    heads = load_model(bundled_model_path(), num_threads=1)
    model = ModelVersion(heads.name, heads.version, file_sha256(bundled_model_path()))
    rng, cases = np.random.default_rng(_SEED), []
    for spec in [*_same_head(_N_SAME), *(sample_spec(rng) for _ in range(_N_CASES - _N_SAME))]:
        image_rgb = np.repeat(render_phantom(spec).image[:, :, None], 3, axis=2)
        calibration = from_table(spec.pixel_size_mm)
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
        read = store.state(ids[1]).model_outline.ellipse_px
        if read is not None:
            for step, (reader, more) in enumerate((("Dr. Other", 0.5), ("Dr. Third", 3.0)), start=2):
                store.append(ids[1], step, ReviewAction.READ, reader, ellipse_px=_wider(read, more))
        for case_id in ids[2:4]:
            store.append(case_id, 2, ReviewAction.SIGN, "Dr. Lead")
        drawn = store.state(ids[4]).model_outline.ellipse_px
        if drawn is not None:
            store.append(ids[4], 1, ReviewAction.CORRECT, "Dr. Other", ellipse_px=_wider(drawn, 4.0))
        with store.writer() as connection:
            worklist.write_tags(connection, ids[:_N_SAME], worklist.CaseTags("E-17", "P-3"))
            worklist.assign(connection, ids[5:], ["Dr. Example", "Dr. Other"])
            worklist.ask_reading(connection, [ids[4], *ids[8:]], worklist.ANYBODY, "Dr. Lead", datetime.now(UTC))


def _wider(ellipse: Ellipse, more_px: float) -> Ellipse:
    return replace(ellipse, semi_axis_a=ellipse.semi_axis_a + more_px)


if __name__ == "__main__":
    sys.exit(main())
