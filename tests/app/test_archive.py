"""A person searches a real archive in a real browser and opens what was found."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from playwright.sync_api import Browser, ViewportSize, expect

from hc18.reviews.store import ReviewStore
from tests.app.conftest import Phantoms, Server, running_app
from tests.app.reviewer import TIMEOUT_MS, Person
from tests.app.test_accessibility import OVERFLOW, problems
from tests.hc18.pacs.orthanc_server import Orthanc, running_orthanc
from tests.synthetic_dicom import SECRETS, region, to_bytes, ultrasound


@dataclass(frozen=True)
class Hospital:
    """An app with its archive."""

    server: Server
    orthanc: Orthanc
    folder: Path


@pytest.fixture(scope="module")
def hospital(tmp_path_factory: pytest.TempPathFactory, repository_root: Path, phantoms: Phantoms) -> Iterator[Hospital]:
    """An archive with a password that holds two images and a clip of one patient, and an app that knows it."""
    folder = tmp_path_factory.mktemp("hospital")
    orthanc_folder = folder / "orthanc"
    orthanc_folder.mkdir()
    with running_orthanc(orthanc_folder, user="reader", password="geheim") as orthanc:
        grey = [np.asarray(Image.open(path).convert("L")) for path in phantoms.images]
        box = region((0, 0, grey[0].shape[1] - 1, grey[0].shape[0] - 1))
        for number, pixels in enumerate([grey[0], grey[1], np.stack(grey)], start=1):
            uids = {"SOPInstanceUID": f"1.2.3.{number}", "SeriesInstanceUID": "1.2.3.99", "InstanceNumber": number}
            orthanc.add(to_bytes(ultrasound(pixels, [box], StudyDescription="Growth", SeriesNumber=1, **uids)))
        (folder / "site.toml").write_text(
            f'folder = "state"\n[[archive]]\nname = "Radiology"\nurl = "{orthanc.service.url}"\n'
            'user = "reader"\npassword_variable = "RADIOLOGY_PASSWORD"\n',
            encoding="utf-8",
        )
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("FETAL_HC_PACS", str(folder / "site.toml"))
            patch.setenv("RADIOLOGY_PASSWORD", "geheim")
            with running_app(folder, repository_root) as (server, _):
                yield Hospital(server, orthanc, folder)


def search(person: Person, name: str) -> None:
    """Looks for a patient."""
    person.open("archive")
    person.page.get_by_role("textbox", name="Patient name").fill(name)
    person.press("Search")
    person.settle()


def n_cases(hospital: Hospital) -> int:
    with ReviewStore(hospital.server.store) as store:
        return store.progress().n_cases


def test_images_are_found_shown_and_opened(browser: Browser, hospital: Hospital) -> None:
    with Person(browser, hospital.server.url, "Dr. Search") as person:
        search(person, "Nobody")
        expect(person.page.get_by_text("No ultrasound study matches")).to_be_visible(timeout=TIMEOUT_MS)
        search(person, "identitas")
        expect(person.page.get_by_text("3 images in this study")).to_be_visible(timeout=TIMEOUT_MS)
        expect(person.page.locator(".stImage img")).to_have_count(3, timeout=TIMEOUT_MS)
        assert person.page.evaluate(
            "[...document.querySelectorAll('.stImage img')].every((one) => one.naturalWidth > 0)"
        )
        person.press("Open image 1.1")
        person.page.wait_for_url(f"{hospital.server.url}/*")
        person.wait_for_result()
        assert n_cases(hospital) == 1
        assert person.foreign_requests == []
        assert person.script_errors == []
    kept = b"".join(file.read_bytes() for file in hospital.folder.glob("*") if file.is_file())
    assert not [secret for secret in (*SECRETS, "1.2.3.99") if secret.encode() in kept]


def test_frame_of_a_clip_becomes_a_case(browser: Browser, hospital: Hospital) -> None:
    before = n_cases(hospital)
    with Person(browser, hospital.server.url, "Dr. Frame") as person:
        search(person, "identitas")
        person.page.get_by_role("spinbutton", name="Frame of 3").fill("3")
        person.page.get_by_role("spinbutton", name="Frame of 3").press("Enter")
        person.press("Open frame 3")
        person.wait_for_result()
    assert n_cases(hospital) == before + 1


def test_whole_study_is_opened(browser: Browser, hospital: Hospital) -> None:
    with Person(browser, hospital.server.url, "Dr. Study") as person:
        search(person, "identitas")
        person.press("Open all 3 images")
        person.wait_for_result()
        expect(person.page.get_by_text("series 1 image 3.dcm, 3 frames")).to_be_visible(timeout=TIMEOUT_MS)
    assert n_cases(hospital) >= 2


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_page_passes_the_rules_of_axe_at_every_width(browser: Browser, hospital: Hospital, scheme: str) -> None:
    with Person(browser, hospital.server.url, "Dr. Axe") as person:
        person.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
        search(person, "identitas")
        expect(person.page.locator(".stImage img")).to_have_count(3, timeout=TIMEOUT_MS)
        for width in (768, 1366, 2560):
            person.page.set_viewport_size(ViewportSize(width=width, height=900))
            person.settle()
            assert (width, problems(person.page)) == (width, [])
            assert (width, person.page.evaluate(OVERFLOW) <= 1) == (width, True)
