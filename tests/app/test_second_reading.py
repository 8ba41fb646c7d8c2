"""A blind second reading, from the request to the settled disagreement, in a real browser."""

import re

from playwright.sync_api import Browser, expect

from hc18.geometry.ellipse import Ellipse
from hc18.reviews.models import Decision, ReviewAction
from hc18.reviews.store import ReviewStore
from hc18.reviews.worklist import ask_reading, open_readings
from tests.app.conftest import Server
from tests.app.reviewer import TIMEOUT_MS, Person, register, sized

ELLIPSE = Ellipse(200.0, 150.0, 120.0, 95.0, 0.3)


def test_second_reader_sees_no_ellipse_and_a_disagreement_is_settled(browser: Browser, server: Server) -> None:
    case_id = register(server, 2024, sized(0.2, 0.2), ELLIPSE)
    with ReviewStore(server.store) as store:
        state = store.append(case_id, 1, ReviewAction.ACCEPT, "Dr. First")
        with store.writer() as connection:
            ask_reading(connection, [case_id], "", "Dr. Lead", state.changed_at_utc)
            assert open_readings(connection, "Dr. First") == []
            assert open_readings(connection, "Dr. Second") == [case_id]
    with Person(browser, server.url, "Dr. Second") as person:
        person.page.get_by_role("link", name="Second reading").click()
        expect(person.picture).to_be_visible(timeout=TIMEOUT_MS)
        expect(person.page.locator(".live")).to_have_text("no ellipse")
        expect(person.page.locator(".toggle.model")).to_be_hidden()
        assert f"{0.2 * ELLIPSE.circumference():.1f}" not in person.page.inner_text("body")
        person.press("Draw an ellipse by hand")
        drawn = person.live_hc()
        assert person.page.locator('[data-part="mask"]').get_attribute("d") == ""
        expect(person.button("Save this reading")).to_be_enabled(timeout=TIMEOUT_MS)
        person.press("Save this reading")
        expect(person.page.get_by_text("No case waits for a second reading by you")).to_be_visible(timeout=TIMEOUT_MS)
    with Person(browser, server.url, "Dr. Lead") as lead:
        lead.page.get_by_role("link", name="Agreement").click()
        lead.page.get_by_text("Between readers", exact=True).click()
        expect(lead.metric("Cases read twice")).to_have_text("1", timeout=TIMEOUT_MS)
        expect(lead.page.get_by_text(re.compile("Disagreements to settle: 1"))).to_be_visible()
        lead.open(f"case?case={case_id}")
        lead.wait_for_result()
        lead.section("Second readings")
        lead.press("Show this ellipse")
        lead.expect_hc(drawn)
        lead.page.get_by_label("Why this ellipse counts").fill("follows the outer edge")
        lead.page.keyboard.press("Tab")
        lead.press("Settle with the ellipse on the screen")
        lead.expect_badge("Corrected")
    with ReviewStore(server.store) as store:
        state = store.state(case_id)
        assert (state.decision, state.reviewer, state.is_adjudicated) == (Decision.CORRECTED, "Dr. Lead", True)
        assert [reading.reader for reading in state.readings] == ["Dr. Second"]
        assert store.verify().problems == ()
