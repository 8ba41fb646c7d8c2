"""The page Worklist in a real browser: what arrived and goes back, why it waits or failed, and the retry."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from cryptography.fernet import Fernet
from playwright.sync_api import Browser, ViewportSize, expect

from hc18.pacs.inbox import Inbox
from hc18.pacs.inbox_tables import Finished, InstanceState
from hc18.pacs.outbox import OUTBOX_NAME, Outbox, OutboxState
from hc18.pacs.progress import Stage, list_work
from hc18.pacs.returns import queue_reports
from hc18.pacs.site import read_site
from hc18.pacs.spool import Arrival, key_of
from hc18.pacs.vault import KEY_VARIABLE, Vault
from hc18.reviews.models import ReviewAction
from hc18.reviews.store import ReviewStore, now_utc
from tests.app.conftest import Server, free_port, running_app
from tests.app.reviewer import TIMEOUT_MS, Person
from tests.app.test_accessibility import OVERFLOW, problems
from tests.hc18.pacs.objects import scanned
from tests.hc18.reviews.cases import new_case
from tests.synthetic_dicom import to_bytes

WHY = "The file does not say where the ultrasound picture lies."


@dataclass(frozen=True)
class Ward:
    """A running app, and the databases that it shows."""

    server: Server
    inbox: Inbox
    outbox: Outbox

    def stages(self) -> list[Stage]:
        with ReviewStore(self.server.store) as store:
            return [item.stage for item in list_work(self.inbox, self.outbox, store)]


@pytest.fixture(scope="module")
def ward(tmp_path_factory: pytest.TempPathFactory, repository_root: Path) -> Iterator[Ward]:
    """One object that waits for a person, a case to review, and a signed one whose report no archive takes."""
    folder = tmp_path_factory.mktemp("ward")
    settings = (
        f'folder = "state"\nkeep_references = true\n[[archive]]\nname = "pacs"\nurl = "http://127.0.0.1:{free_port()}"\n'
        '[reports]\nto = "pacs"\nkinds = ["tid5000"]\nattempts = 1\n'
    )
    (folder / "site.toml").write_text(settings, encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FETAL_HC_PACS", str(folder / "site.toml"))
        patch.setenv(KEY_VARIABLE, Fernet.generate_key().decode())
        site = read_site()
        assert site is not None
        inbox, outbox = Inbox(site, Vault()), Outbox(site.folder / OUTBOX_NAME, most_attempts=1)
        with ReviewStore(str(folder / "reviews.db")) as store:
            for number in (1, 2):
                case_id = store.register_case(new_case(number), "DICOM receiver").case_id
                inbox.link(case_id, to_bytes(scanned(number)), None, "SCANNER1")
            store.append(case_id, 1, ReviewAction.ACCEPT, "Dr. Lead")
            store.append(case_id, 2, ReviewAction.SIGN, "Dr. Lead")
            assert site.destination is not None
            queue_reports(inbox, outbox, store, site.destination, site.reports)
            outbox.send_due(site.destination)
        content = to_bytes(scanned(3))
        arrival = Arrival(key_of(Vault(), str(scanned(3).SOPInstanceUID), content), "SCANNER2", now_utc(), content)
        inbox.spool.put(arrival.key, arrival.sender, arrival.received_at, content)
        inbox.begin([arrival])
        inbox.finish([Finished(arrival, InstanceState.WAITS, WHY)])
        inbox.spool.keep(arrival.key)
        with running_app(folder, repository_root) as (server, _):
            yield Ward(server, inbox, outbox)
        inbox.close()
        outbox.close()


def test_states_are_told_apart(ward: Ward) -> None:
    assert sorted(ward.stages()) == sorted([Stage.WAITS, Stage.MEASURED, Stage.NOT_SENT])


def test_page_shows_states_and_reasons_at_every_width(browser: Browser, ward: Ward) -> None:
    with Person(browser, ward.server.url, "Dr. Work") as person:
        person.open("worklist")
        for words in ("All · 3", "Waits · 1", "Measured · 1", "Failed · 1", "Sent · 0"):
            expect(person.page.get_by_text(words, exact=True)).to_be_visible(timeout=TIMEOUT_MS)
        for width in (768, 1366, 2560):
            person.page.set_viewport_size(ViewportSize(width=width, height=900))
            person.settle()
            assert (width, problems(person.page)) == (width, [])
            assert (width, person.page.evaluate(OVERFLOW) <= 1) == (width, True)
        person.page.get_by_text("Sent · 0", exact=True).click()
        expect(person.page.get_by_text("Nothing is in this state")).to_be_visible(timeout=TIMEOUT_MS)
        assert person.script_errors == []


def test_what_waits_is_opened_and_becomes_a_case(browser: Browser, ward: Ward) -> None:
    with Person(browser, ward.server.url, "Dr. Open") as person:
        person.open("worklist")
        person.page.get_by_text("Waits · 1", exact=True).click()
        person.settle()
        person.press("Open and prepare: 1")
        person.wait_for_result()
    assert Stage.WAITS not in ward.stages()
    assert ward.inbox.spool.waiting() == []


def test_failed_report_is_tried_again(browser: Browser, ward: Ward) -> None:
    with Person(browser, ward.server.url, "Dr. Retry") as person:
        person.open("worklist")
        person.page.get_by_text("Failed · 1", exact=True).click()
        person.settle()
        person.press("Try again: 1")
        expect(person.page.get_by_text("1 are tried again")).to_be_visible(timeout=TIMEOUT_MS)
    assert [row.state for row in ward.outbox.rows()] == [OutboxState.WAITING]
    assert Stage.SENDING in ward.stages()
