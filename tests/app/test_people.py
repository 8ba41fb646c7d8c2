"""Two reviewers at one case, a hurried one, and a server that dies: nothing is lost, nothing happens in silence."""

from contextlib import ExitStack
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect

from hc18.geometry.ellipse import Ellipse
from hc18.reviews.models import CaseId, ReviewAction
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Server, free_port, running_app
from tests.app.reviewer import TIMEOUT_MS, Person, register, sized

ELLIPSE = Ellipse(200.0, 150.0, 120.0, 95.0, 0.3)
OWN_DRAWING = "You had drawn another ellipse"


@pytest.fixture
def case_id(server: Server, request: pytest.FixtureRequest) -> CaseId:
    """A case of its own for each test."""
    return register(server, sum(map(ord, request.node.name)), sized(0.2, 0.2), ELLIPSE)


def look(person: Person, case_id: CaseId) -> float:
    """Opens a case; its circumference in mm."""
    person.open(f"case?case={case_id}")
    person.wait_for_result()
    return person.hc()


def drag(person: Person, handle: str, across: float, down: float) -> float:
    """Drags a handle and waits for the server; the new circumference in mm."""
    person.drag(handle, across, down)
    drawn = person.live_hc()
    person.expect_hc(drawn)
    return drawn


def conflict(
    first: Person, second: Person, server: Server, case_id: CaseId, *, draws_late: bool = False
) -> tuple[float, float]:
    """Both draw, the first one saves, and the second one loads their version; both circumferences.

    The second one learns of it when saving, or, with `draws_late`, when drawing.
    """
    for person in (first, second):
        look(person, case_id)
    own = 0.0 if draws_late else drag(second, "long-end", 40.0, 10.0)
    theirs = drag(first, "short-end", 0.0, 20.0)
    first.press("Save correction")
    first.expect_badge("Corrected")
    if draws_late:
        own = drag(second, "long-end", 40.0, 10.0)
    else:
        second.press("Save correction")
    expect(second.page.get_by_role("alert").filter(has_text="Dr. Ann")).to_be_visible(timeout=TIMEOUT_MS)
    with ReviewStore(server.store) as store:
        assert [event.reviewer for event in store.events(case_id)] == ["test", "Dr. Ann"]
    second.press("Load their version")
    second.expect_badge("Corrected")
    return theirs, own


def test_their_version_is_really_shown_and_the_own_drawing_is_offered(
    browser: Browser, server: Server, case_id: CaseId
) -> None:
    with Person(browser, server.url, "Dr. Ann") as first, Person(browser, server.url, "Dr. Bob") as second:
        theirs, own = conflict(first, second, server, case_id)
        second.expect_hc(theirs)
        second.expect_live_hc(theirs)
        expect(second.page.get_by_text(OWN_DRAWING)).to_contain_text(f"({own:.1f} mm)")
        expect(second.button("Save correction")).to_have_count(0)
        second.press("Sign")
        second.expect_badge("Signed")
        with ReviewStore(server.store) as store:
            state = store.state(case_id)
            assert (state.reviewer, state.signed_by) == ("Dr. Ann", "Dr. Bob")
            assert state.outline.hc_mm == pytest.approx(theirs, abs=0.051)


def test_offered_drawing_is_used_only_when_asked_for(browser: Browser, server: Server, case_id: CaseId) -> None:
    with Person(browser, server.url, "Dr. Ann") as first, Person(browser, server.url, "Dr. Bob") as second:
        theirs, own = conflict(first, second, server, case_id, draws_late=True)
        second.expect_hc(theirs)
        second.press("Show my drawing")
        second.expect_hc(own)
        second.expect_live_hc(own)
        second.press("Save correction")
        expect(second.button("Save correction")).to_have_count(0, timeout=TIMEOUT_MS)
        with ReviewStore(server.store) as store:
            assert [event.reviewer for event in store.events(case_id)][1:] == ["Dr. Ann", "Dr. Bob"]
            assert store.state(case_id).outline.hc_mm == pytest.approx(own, abs=0.051)
            assert store.draft(case_id, "Dr. Bob") is None


def slow_picture(page: Page) -> None:
    """Pictures arrive only when the page is told to show them."""
    page.add_init_script(
        """const set = SVGImageElement.prototype.setAttribute;
        SVGImageElement.prototype.setAttribute = function (name, value) {
          if (name !== "href" || window.mayShow) return set.call(this, name, value);
          const timer = setInterval(() => {
            if (window.mayShow) { clearInterval(timer); set.call(this, name, value); }
          }, 50);
        };"""
    )


def test_nothing_is_accepted_before_its_picture_is_on_the_screen(
    browser: Browser, server: Server, case_id: CaseId
) -> None:
    with Person(browser, server.url, "Dr. Hasty") as person:
        slow_picture(person.page)
        person.open(f"case?case={case_id}")
        expect(person.metric("Head circumference")).to_be_visible(timeout=TIMEOUT_MS)
        person.settle()
        expect(person.button("Accept")).to_be_disabled()
        person.page.evaluate("window.mayShow = true")
        expect(person.button("Accept")).to_be_enabled(timeout=TIMEOUT_MS)
        person.press("Accept")
        person.expect_badge("Accepted")


def test_answer_to_an_action_does_not_hang_over_the_next_case(
    browser: Browser, server: Server, case_id: CaseId
) -> None:
    register(server, 4711, sized(0.2, 0.2), ELLIPSE)
    with Person(browser, server.url, "Dr. Quick") as person:
        look(person, case_id)
        person.press("Accept")
        expect(person.page.get_by_text("Saved: accepted.")).to_be_visible(timeout=TIMEOUT_MS)
        person.press("Next")
        expect(person.page).not_to_have_url(f"{server.url}/case?case={case_id}", timeout=TIMEOUT_MS)
        person.wait_for_result()
        person.settle()
        expect(person.page.get_by_text("Saved: accepted.")).to_have_count(0)


def test_drawing_survives_a_crash_of_the_server_and_a_reload(
    browser: Browser, tmp_path: Path, repository_root: Path
) -> None:
    port = free_port()
    with ExitStack() as stack:
        with running_app(tmp_path, repository_root, port) as (server, process):
            person = stack.enter_context(Person(browser, server.url, "Dr. Crash"))
            case_id = register(server, 1, sized(0.2, 0.2), ELLIPSE)
            look(person, case_id)
            drawn = drag(person, "short-end", 0.0, 20.0)
            process.kill()
            process.wait()
        with running_app(tmp_path, repository_root, port) as (server, _):
            look(person, case_id)
            person.expect_hc(drawn)
            expect(person.page.get_by_text("Restored: the ellipse that you drew")).to_be_visible(timeout=TIMEOUT_MS)
            person.press("Discard changes")
            expect(person.button("Accept")).to_be_enabled(timeout=TIMEOUT_MS)
            with ReviewStore(server.store) as store:
                assert store.draft(case_id, "Dr. Crash") is None
                assert [event.action for event in store.events(case_id)] == [ReviewAction.MEASURED]


def test_drawing_that_never_reached_the_dying_server_is_sent_to_the_next_one(
    browser: Browser, tmp_path: Path, repository_root: Path
) -> None:
    port = free_port()
    with ExitStack() as stack:
        with running_app(tmp_path, repository_root, port) as (server, process):
            person = stack.enter_context(Person(browser, server.url, "Dr. Crash"))
            case_id = register(server, 1, sized(0.2, 0.2), ELLIPSE)
            look(person, case_id)
            process.kill()
            process.wait()
            person.drag("short-end", 0.0, 20.0)
            drawn = person.live_hc()
        with running_app(tmp_path, repository_root, port):
            person.expect_hc(drawn)
            expect(person.page.get_by_text("Your ellipse was restored")).to_be_visible(timeout=TIMEOUT_MS)
            assert person.live_hc() == pytest.approx(drawn, abs=0.051)
            person.press("Save correction")
            person.expect_badge("Corrected")
