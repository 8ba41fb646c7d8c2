"""The editor's script as Streamlit calls it, in a real browser without the app."""

import base64
from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import Browser, Page, ViewportSize

from fetal_hc_app.editor import SCRIPTS, EditorView, to_payload
from hc18.geometry.ellipse import Ellipse

VIEW = EditorView(
    case="1",
    image_url="data:image/gif;base64,R0lGODlhAQABAAAAACwAAAAAAQABAAA=",
    next_image_url="",
    image_hw=(200, 300),
    pixel_size_xy_mm=(0.2, 0.2),
    ellipse=Ellipse(150.0, 100.0, 90.0, 60.0, 0.0),
    model_ellipse=None,
    reference_ellipse=None,
    mask_edge_xy=np.empty((0, 2)),
    is_read_only=False,
    is_reviewers=False,
    seq=0,
    session="s",
)
MARK = '[data-handle="long-end"] .mark'


@pytest.fixture
def page(browser: Browser, repository_root: Path) -> Page:
    """A page with the editor's HTML and its script as `window.mount`; `window.sent` collects what it sends."""
    folder = repository_root / "app" / "fetal_hc_app" / "editor"
    script = "".join((folder / name).read_text(encoding="utf-8") for name in SCRIPTS)
    address = f"data:text/javascript;base64,{base64.b64encode(script.encode()).decode()}"
    page = browser.new_context(viewport=ViewportSize(width=900, height=700)).new_page()
    page.set_content(f'<div id="parent">{(folder / "editor.html").read_text(encoding="utf-8")}</div>')
    page.evaluate(
        """async ([address, data]) => {
            const { default: run } = await import(address);
            window.sent = [];
            const parentElement = document.getElementById("parent");
            const setStateValue = (name, value) => window.sent.push([name, value]);
            window.mount = () => run({ parentElement, data, setStateValue });
        }""",
        [address, to_payload(VIEW)],
    )
    return page


def test_cleaning_up_after_an_overtaken_call_leaves_the_editor_alive(page: Page) -> None:
    page.evaluate("() => { const first = window.mount(); window.mount(); first(); }")
    drag(page)
    assert "edit" in [name for name, _ in page.evaluate("window.sent")]


def test_editor_that_comes_back_to_the_same_page_is_there_once(page: Page) -> None:
    page.evaluate("() => { window.mount()(); window.mount(); }")
    assert page.locator(MARK).count() == 1
    drag(page)
    assert "edit" in [name for name, _ in page.evaluate("window.sent")]


def drag(page: Page) -> None:
    """Moves the end of the long axis."""
    box = page.locator(MARK).bounding_box()
    assert box is not None
    page.mouse.move(box["x"] + 5, box["y"] + 5)
    page.mouse.down()
    page.mouse.move(box["x"] + 25, box["y"] + 5, steps=3)
    page.mouse.up()
