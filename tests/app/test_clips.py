"""Clips in a real browser: play, best frames, several frames of one clip as one examination."""

import re
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from fetal_hc.io.images import read_image
from hc18.reviews.images import clip_frames
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Phantoms, running_app
from tests.app.reviewer import TIMEOUT_MS, Person
from tests.app.test_accessibility import problems
from tests.synthetic_dicom import region, to_bytes, ultrasound


def clip_file(folder: Path, phantoms: Phantoms) -> Path:
    """A clip of seven frames: one head, less and less of noise over it."""
    sharp = read_image(phantoms.images[0].read_bytes())[:, :, 0].astype(np.float64)
    noise = np.random.default_rng(0).normal(0.0, 1.0, (7, *sharp.shape)) * np.linspace(3.0, 0.0, 7)[:, None, None]
    frames = np.clip(sharp + noise, 0, 255).astype(np.uint8)
    height, width = sharp.shape
    path = folder / "cine.dcm"
    path.write_bytes(to_bytes(ultrasound(frames, [region((0, 0, width - 1, height - 1), (0.02, 0.02))])))
    return path


def test_best_frames_of_a_clip_become_cases_of_one_examination(
    browser: Browser, phantoms: Phantoms, tmp_path: Path, repository_root: Path
) -> None:
    with running_app(tmp_path, repository_root) as (server, _), Person(browser, server.url, "Dr. Clip") as person:
        page = person.page
        person.upload([clip_file(tmp_path, phantoms)])
        strip = page.locator(".strip button")
        expect(strip).to_have_count(7, timeout=TIMEOUT_MS)
        page.get_by_role("button", name="Play").click()
        expect(page.get_by_role("button", name="Pause")).to_be_visible()
        expect(page.locator("[data-part=words]")).not_to_contain_text("Frame 1 ", timeout=TIMEOUT_MS)
        page.get_by_role("button", name="Pause").click()
        strip.nth(4).click()
        expect(page.get_by_role("slider", name="Frame")).to_have_value("5", timeout=TIMEOUT_MS)
        person.press("Find the best frames")
        expect(person.metric("Median HC of the best frames")).to_contain_text("mm", timeout=TIMEOUT_MS)
        expect(page.locator(".strip button.best")).to_have_count(5)
        expect(strip.last).to_have_class(re.compile("best"))  # the frame without noise
        assert problems(page) == []
        with ReviewStore(server.store) as store:
            assert store.progress().n_cases == 0
        person.press("Measure 5 frames")
        expect(page.get_by_test_id("stDataFrame")).to_be_visible(timeout=TIMEOUT_MS)
        person.settle()
        with ReviewStore(server.store) as store:
            (code,) = {row.examination for row in store.rows()}
            assert store.progress().n_cases == 5
        assert code.startswith("clip-")
        assert person.script_errors == []


@pytest.mark.parametrize(("n_frames", "count"), [(2, 2), (100, 100), (101, 100), (900, 100)])
def test_frames_of_a_long_clip_are_spread_over_all_of_it(n_frames: int, count: int) -> None:
    frames = clip_frames(n_frames)
    assert (frames[0], frames[-1], len(frames)) == (0, n_frames - 1, count)
