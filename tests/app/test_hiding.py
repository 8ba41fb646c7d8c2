"""Calibration by two clicks and boxes over burned-in text, drawn in a real browser."""

import numpy as np
import pytest
from playwright.sync_api import Browser, expect

from fetal_hc_app.panels.hiding import hide_parts
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import uncalibrated
from hc18.reviews.images import ImageFile, StillImage
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Phantoms, Server
from tests.app.reviewer import TIMEOUT_MS, Person, register


def test_pixels_under_a_box_are_black_and_no_others() -> None:
    still = StillImage(ImageFile("a.png"), np.full((6, 8, 3), 9, dtype=np.uint8))
    hidden = hide_parts(still, [(1.6, 2.0, 4.4, 3.4)]).image_rgb
    expected = np.full((6, 8, 3), 9, dtype=np.uint8)
    expected[2:4, 2:5] = 0
    assert np.array_equal(hidden, expected)
    assert still.image_rgb.min() == 9


def test_text_under_a_box_never_reaches_the_store(browser: Browser, server: Server, phantoms: Phantoms) -> None:
    with ReviewStore(server.store) as store:
        known = {row.case_id for row in store.rows()}
    with Person(browser, server.url, "Dr. Hide") as person:
        person.page.get_by_text("Hide burned-in text first").click()
        expect(person.page.get_by_label("Hide burned-in text first")).to_be_checked(timeout=TIMEOUT_MS)
        person.settle()
        person.upload([phantoms.images[2]])
        expect(person.picture).to_be_visible(timeout=TIMEOUT_MS)
        person.settle()
        person.picture.scroll_into_view_if_needed()
        box = person.page.locator('[data-part="image"]').bounding_box()
        assert box is not None
        per_px = box["width"] / 800.0
        person.page.mouse.move(box["x"] + 20 * per_px, box["y"] + 20 * per_px)
        person.page.mouse.down()
        person.page.mouse.move(box["x"] + 220 * per_px, box["y"] + 80 * per_px, steps=4)
        person.page.mouse.up()
        person.press("Hide boxes (1) and measure")
        person.wait_for_result()
    with ReviewStore(server.store) as store:
        new = next(row.case_id for row in store.rows() if row.case_id not in known)
        assert store.image(new)[25:75, 25:215].max() == 0


def test_two_clicks_on_the_depth_scale_give_millimetres(browser: Browser, server: Server) -> None:
    ellipse = Ellipse(200.0, 150.0, 120.0, 95.0, 0.3)
    case_id = register(server, 77, uncalibrated("No millimetres: for a test."), ellipse)
    with Person(browser, server.url, "Dr. Scale") as person:
        person.open(f"case?case={case_id}")
        person.wait_for_result()
        person.settle()
        person.page.get_by_role("button", name="Depth scale").click()
        box = person.page.locator('[data-part="image"]').bounding_box()
        assert box is not None
        per_px = box["width"] / 400.0
        for down in (50, 250):
            person.page.mouse.click(box["x"] + 20 * per_px, box["y"] + down * per_px)
        field = person.page.get_by_label("Distance of the two marks, mm", exact=False)
        expect(field).to_be_visible(timeout=TIMEOUT_MS)
        field.fill("50")
        field.press("Enter")
        person.page.locator(f".st-key-marks-{case_id}-use button").click()
        person.expect_badge("Not reviewed")
        expect(person.metric("Head circumference")).to_contain_text("mm", timeout=TIMEOUT_MS)
        assert person.hc() == pytest.approx(0.25 * ellipse.circumference(), rel=0.01)
