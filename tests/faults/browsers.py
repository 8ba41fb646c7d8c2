"""Two people at one case, each in a browser of their own, who draw, save, decide and reload in a random order."""

import atexit
import time
from contextlib import ExitStack
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from playwright.sync_api import Browser, sync_playwright

from hc18.geometry.ellipse import Ellipse
from hc18.reviews.models import CaseId
from hc18.reviews.store import ReviewStore
from tests.app.conftest import CHROMIUM_ARGUMENTS, Server, chromium_path, running_app
from tests.app.reviewer import Person, register, sized

ROOT = Path(__file__).resolve().parents[2]
ELLIPSE = Ellipse(200.0, 150.0, 120.0, 95.0, 0.3)
N_STEPS = 8
_HANDLES = ("long-end", "short-end")
_BUTTONS = ("Save correction", "Accept", "Load their version", "Show my drawing", "Discard changes", "Reset")
_MM_TOLERANCE = 0.051  # the screen shows one decimal
_PATIENCE_S = 20.0  # until the page shows what the server drew last


@cache
def _opened() -> tuple[Server, Browser, Path]:
    """A running app, a browser and the app's log, which the trials of one process share until it ends."""
    stack = ExitStack()
    atexit.register(stack.close)
    folder = Path(stack.enter_context(TemporaryDirectory()))
    server, _ = stack.enter_context(running_app(folder, ROOT))
    playwright = stack.enter_context(sync_playwright())
    browser = playwright.chromium.launch(executable_path=chromium_path(), args=list(CHROMIUM_ARGUMENTS))
    stack.callback(browser.close)
    return server, browser, folder / "server.log"


def two_browsers(data: bytes, folder: Path) -> str:
    """Two people at one new case; at the end both see what the record says, and nobody's saved work is missing."""
    moments = np.random.default_rng(list(data))
    server, browser, log = _opened()
    case_id = register(server, int.from_bytes(data, "big"), sized(0.2, 0.2), ELLIPSE)
    with Person(browser, server.url, "Dr. Ann") as ann, Person(browser, server.url, "Dr. Bob") as bob:
        for person in (ann, bob):
            _look(person, case_id)
        saved = {"Dr. Ann": 0, "Dr. Bob": 0}
        for _ in range(N_STEPS):
            name, person = (("Dr. Ann", ann), ("Dr. Bob", bob))[int(moments.integers(2))]
            before = _n_events(server, case_id)
            _act(person, case_id, moments)
            saved[name] += _n_events(server, case_id) - before
        for person in (ann, bob):
            _look(person, case_id)
        _check(server, case_id, saved, (ann, bob))
    assert "Traceback" not in log.read_text(encoding="utf-8", errors="replace")
    return "held"


def _look(person: Person, case_id: CaseId) -> None:
    """Opens the case anew."""
    person.open(f"case?case={case_id}")
    person.wait_for_result()
    person.settle()


def _act(person: Person, case_id: CaseId, moments: np.random.Generator) -> None:
    """Draws, presses one of the buttons that can be pressed, or reloads."""
    way = moments.random()
    offered = [name for name in _BUTTONS if person.button(name).count() and person.button(name).first.is_enabled()]
    if way < 0.1:
        _look(person, case_id)
    elif way < 0.5 or not offered:
        if person.page.locator(f'[data-handle="{_HANDLES[0]}"] .mark').count():
            person.drag(_HANDLES[int(moments.integers(2))], *moments.integers(-30, 31, 2).tolist())
    else:
        person.press(offered[int(moments.integers(len(offered)))])
    person.page.wait_for_timeout(300.0)
    person.settle()


def _n_events(server: Server, case_id: CaseId) -> int:
    with ReviewStore(server.store) as store:
        return len(store.events(case_id))


def _check(server: Server, case_id: CaseId, saved: dict[str, int], people: tuple[Person, Person]) -> None:
    """Returns if the record is whole and both see the value that counts."""
    with ReviewStore(server.store) as store:
        assert store.verify().problems == (), store.verify().problems
        events, state = store.events(case_id), store.state(case_id)
    assert [event.revision for event in events] == list(range(1, len(events) + 1))
    counted = {name: sum(event.reviewer == name for event in events) for name in saved}
    assert counted == saved, (counted, saved)
    for person in people:
        assert person.script_errors == [], person.script_errors
        assert state.outline.hc_mm is not None
        _expect_record(person, state.outline.hc_mm)


def _expect_record(person: Person, hc_mm: float) -> None:
    """Returns when a person sees a value twice, after a restored drawing was discarded; the machine may be busy."""
    deadline = time.monotonic() + _PATIENCE_S
    while True:
        seen = (person.hc(), person.live_hc())
        if all(abs(value - hc_mm) < _MM_TOLERANCE for value in seen):
            return
        assert time.monotonic() < deadline, (seen, hc_mm)
        if person.button("Discard changes").count():
            person.press("Discard changes")
        person.page.wait_for_timeout(300.0)
        person.settle()
