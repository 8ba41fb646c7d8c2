"""A reviewer's day in a real browser: many cases with the keyboard, undo, the look of the picture, batches."""

import pytest
from playwright.sync_api import Browser, expect

from hc18.geometry.ellipse import Ellipse
from hc18.reviews.models import CaseId, Decision, ReviewAction
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Server, running_app
from tests.app.reviewer import TIMEOUT_MS, Person, register, sized

ELLIPSE = Ellipse(200.0, 150.0, 120.0, 95.0, 0.3)


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory, repository_root):
    """A running app with a queue of its own: nobody else's case comes in between."""
    with running_app(tmp_path_factory.mktemp("day"), repository_root) as (server, _):
        for seed in range(8):
            register(server, seed, sized(0.2, 0.2), ELLIPSE)
        yield server


def open_case(person: Person, case_id: int) -> None:
    person.open(f"case?case={case_id}")
    person.wait_for_result()
    ready(person, case_id)


def ready(person: Person, case_id: int) -> None:
    """Until the picture of a case is on the screen and can be decided on."""
    picture = person.page.locator(f'svg[data-case="case-{case_id}"][data-loaded="true"]')
    expect(picture).to_be_visible(timeout=TIMEOUT_MS)
    expect(person.page.locator(f".st-key-accept-{case_id} button").first).to_be_enabled(timeout=TIMEOUT_MS)
    person.settle()
    person.page.evaluate("document.activeElement?.blur()")


def decisions(server: Server) -> list[tuple[Decision, bool]]:
    with ReviewStore(server.store) as store:
        return [(row.decision, row.is_signed) for row in store.rows()]


def test_keys_work_through_the_list_and_undo_comes_back_to_the_case(browser: Browser, day: Server) -> None:
    with Person(browser, day.url, "Dr. Keys") as person:
        open_case(person, 1)
        person.page.keyboard.press("y")
        person.expect_badge("Accepted")
        person.page.keyboard.press("n")
        ready(person, 2)
        expect(person.page.get_by_text("1 of 7, To review")).to_be_visible()
        person.page.keyboard.press("x")
        expect(person.button("Image quality too poor")).to_be_visible(timeout=TIMEOUT_MS)
        person.page.keyboard.press("3")
        person.expect_badge("Rejected")
        person.page.get_by_text("Y accepts, signs and shows the next case").click()
        person.settle()
        person.page.wait_for_function("document.activeElement === document.body")  # the switch gives the keys back
        person.page.keyboard.press("n")
        ready(person, 3)
        person.page.keyboard.press("y")
        ready(person, 4)
        assert decisions(day)[:3] == [(Decision.ACCEPTED, False), (Decision.REJECTED, False), (Decision.ACCEPTED, True)]
        person.page.keyboard.press("Control+z")
        ready(person, 3)
        assert decisions(day)[2] == (Decision.UNREVIEWED, False)
        with ReviewStore(day.store) as store:
            actions = [event.action for event in store.events(3)]
            assert actions[1:] == [ReviewAction.ACCEPT, ReviewAction.SIGN, ReviewAction.REOPEN, ReviewAction.WITHDRAW]
            assert store.verify().problems == ()


def test_undo_and_redo_of_a_drawing_change_the_numbers_too(browser: Browser, day: Server) -> None:
    with Person(browser, day.url, "Dr. Undo") as person:
        open_case(person, 5)
        before = person.hc()
        person.drag("short-end", 0.0, 25.0)
        drawn = person.live_hc()
        person.expect_hc(drawn)
        person.settle()
        person.page.keyboard.press("Control+z")
        person.expect_hc(before)
        person.expect_live_hc(before)
        person.settle()
        person.page.keyboard.press("Control+Shift+z")
        person.expect_hc(drawn)
        with Person(browser, day.url, "Dr. Undo") as elsewhere:  # another device finds the unsaved drawing
            elsewhere.open("case?case=5")
            elsewhere.expect_hc(drawn)
            elsewhere.settle()
            elsewhere.drag("long-end", 30.0, 0.0)
            elsewhere.expect_hc(elsewhere.live_hc())
            elsewhere.settle()
            person.drag("long-start", -15.0, 0.0)
            expect(person.page.get_by_text("in another browser")).to_be_visible(timeout=TIMEOUT_MS)


def test_leaving_with_an_unsaved_drawing_warns(browser: Browser, day: Server) -> None:
    with Person(browser, day.url, "Dr. Leave") as person:
        open_case(person, 6)
        person.drag("short-end", 0.0, 25.0)
        person.expect_hc(person.live_hc())
        person.settle()
        kinds: list[str] = []
        person.page.on("dialog", lambda dialog: (kinds.append(dialog.type), dialog.accept()))
        person.page.reload()
        person.wait_for_result()
        assert kinds == ["beforeunload"]


def test_look_of_the_picture_is_kept_and_a_caliper_measures(browser: Browser, day: Server) -> None:
    with Person(browser, day.url, "Dr. Look") as person:
        open_case(person, 7)
        image = person.page.locator('[data-part="image"]')
        for key in ("i", "b", "k", "h", "f", "l"):
            person.page.keyboard.press(key)
        box = image.bounding_box()
        assert box is not None
        per_px = box["width"] / 400.0
        person.page.mouse.move(box["x"] + 100 * per_px, box["y"] + 120 * per_px)
        person.page.mouse.down()
        person.page.mouse.move(box["x"] + 200 * per_px, box["y"] + 120 * per_px, steps=4)
        person.page.mouse.up()
        length = person.page.locator("svg .length").first.text_content() or ""
        assert float(length.split()[0]) == pytest.approx(100 * 0.2, abs=0.2)
        zoom = person.page.locator('[data-part="zoom"]').inner_text()
        assert zoom != "100 %"
        person.page.keyboard.press("n")
        ready(person, 8)
        assert "look" in image.evaluate("node => node.style.filter")
        assert person.page.locator('[data-part="zoom"]').inner_text() == zoom
        assert person.page.locator("svg .length").count() == 0
        assert person.script_errors == []


def test_seen_cases_are_signed_together_and_codes_are_found(browser: Browser, day: Server) -> None:
    ids = [register(day, seed, sized(0.2, 0.2), ELLIPSE) for seed in (101, 102)]
    with ReviewStore(day.store) as store:
        for case_id in ids:
            store.append(case_id, 1, ReviewAction.ACCEPT, "Dr. Lead")
        store.append(CaseId(4), 1, ReviewAction.ACCEPT, "Dr. Else")
    with Person(browser, day.url, "Dr. Lead") as person:
        person.page.get_by_role("link", name="Queue").click()
        expect(person.metric("To sign")).to_be_visible(timeout=TIMEOUT_MS)
        person.section("Examination and patient code")
        for label, words in (("Examination", "E-17"), ("Patient code", "P-3")):
            person.page.get_by_label(label, exact=True).fill(words)
            person.page.keyboard.press("Tab")
            person.settle()
        person.press("Note this")
        expect(person.page.get_by_text("Noted for")).to_be_visible(timeout=TIMEOUT_MS)
        person.page.get_by_label("Search label, examination or patient code").fill("e-17")
        person.page.keyboard.press("Enter")
        expect(person.page.get_by_text("of 10. Click a case")).to_be_visible(timeout=TIMEOUT_MS)
        person.page.get_by_text("Sign", exact=True).last.click()
        person.press("Sign 2 cases")
        expect(person.page.get_by_text("2 cases signed")).to_be_visible(timeout=TIMEOUT_MS)
    with ReviewStore(day.store) as store:
        assert [store.state(case_id).signed_by for case_id in ids] == ["Dr. Lead", "Dr. Lead"]
        assert not store.state(4).is_signed
        assert store.verify().problems == ()
