"""Every page for everybody: axe-core's rules, the keyboard, narrow and wide windows, dark colours, another language."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect

from hc18.geometry.ellipse import Ellipse
from tests.app.conftest import Server
from tests.app.reviewer import TIMEOUT_MS, Person, register, sized

ELLIPSE = Ellipse(200.0, 150.0, 120.0, 95.0, 0.3)
PAGES = ("Queue", "Second reading", "Agreement", "About", "Measure")
HARMLESS = frozenset({"minor", "moderate"})  # Streamlit's own: a role of its upload field, headings of a table
MOST_STOPS = 5
WIDTHS = (640, 768, 1366, 2560)  # 640 px is a window of 1280 px at 200 %
OVERFLOW = "document.querySelector('.stMain').scrollWidth - document.querySelector('.stMain').clientWidth"


def problems(page: Page) -> list[str]:
    """Serious and critical violations of WCAG's rules that axe-core finds, contrast of AA included."""
    found = Axe().run(page).response["violations"]
    return [f"{rule['id']}: {rule['nodes'][0]['html'][:120]}" for rule in found if str(rule["impact"]) not in HARMLESS]


@pytest.mark.parametrize(("scheme", "widths"), [("light", (768, 1366)), ("dark", (1366,))])
def test_pages_pass_the_rules_of_axe(browser: Browser, server: Server, scheme: str, widths: tuple[int, ...]) -> None:
    case_id = register(server, 31, sized(0.2, 0.2), ELLIPSE)
    with Person(browser, server.url, "Dr. Axe") as person:

        def check(name: str) -> None:
            for width in widths:
                person.page.set_viewport_size(ViewportSize(width=width, height=900))
                person.settle()
                assert (name, width, problems(person.page)) == (name, width, [])

        person.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        person.open(f"case?case={case_id}")
        person.wait_for_result()
        expect(person.page.locator(f".st-key-accept-{case_id} button").first).to_be_enabled(timeout=TIMEOUT_MS)
        check("Case")
        person.section("Examination")
        check("Examination")
        for name in PAGES:
            person.page.get_by_role("link", name=name).first.click()
            person.page.wait_for_url(f"**/{'' if name == 'Measure' else name.split()[-1].lower()}*")
            check(name)


def test_nothing_is_cut_off_at_any_width(browser: Browser, server: Server) -> None:
    case_id = register(server, 32, sized(0.2, 0.2), ELLIPSE)
    with Person(browser, server.url, "Dr. Wide") as person:
        person.open(f"case?case={case_id}")
        person.wait_for_result()
        accept = person.page.locator(f".st-key-accept-{case_id} button").first
        expect(accept).to_be_enabled(timeout=TIMEOUT_MS)
        for width in WIDTHS:
            person.page.set_viewport_size(ViewportSize(width=width, height=900))
            person.settle()
            assert (width, person.page.evaluate(OVERFLOW) <= 1) == (width, True)
            accept.scroll_into_view_if_needed()
            picture, button = person.picture.bounding_box(), accept.bounding_box()
            assert picture is not None
            assert button is not None
            is_beside = button["x"] >= picture["x"] + picture["width"]
            assert (width, is_beside) == (width, width > 1000)


def test_keyboard_accepts_within_five_stops(browser: Browser, server: Server) -> None:
    case_id = register(server, 33, sized(0.2, 0.2), ELLIPSE)
    with Person(browser, server.url, "Dr. Tab") as person:
        person.open(f"case?case={case_id}")
        person.wait_for_result()
        expect(person.page.locator(f".st-key-accept-{case_id} button").first).to_be_enabled(timeout=TIMEOUT_MS)
        person.settle()
        person.page.get_by_placeholder("Your name").focus()
        for _ in range(MOST_STOPS):
            person.page.keyboard.press("Tab")
            if person.page.evaluate(f"document.activeElement.closest('.st-key-accept-{case_id}') !== null"):
                break
        person.page.keyboard.press("Enter")
        person.expect_badge("Accepted")


def test_german_browser_gets_german_words(browser: Browser, server: Server) -> None:
    context = browser.new_context(locale="de-DE")
    page = context.new_page()
    page.goto(f"{server.url}/about")
    expect(page.get_by_role("link", name="Liste")).to_be_visible(timeout=TIMEOUT_MS)
    page.get_by_text("English", exact=True).click()
    expect(page.get_by_role("link", name="Queue")).to_be_visible(timeout=TIMEOUT_MS)
    context.close()
