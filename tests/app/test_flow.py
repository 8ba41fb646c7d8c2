"""The whole way of a case in a real browser: upload, look, correct, sign, export, find it again."""

import csv
import io
import json
import math
from pathlib import Path

import pydicom
import pytest
from fhir.resources.R4B.observation import Observation
from playwright.sync_api import Browser, expect
from pypdf import PdfReader

from fetal_hc import DISCLAIMER
from hc18.dataset.pixel_size_table import read_pixel_sizes
from hc18.geometry.ellipse import Ellipse
from hc18.reviews.models import ReviewAction
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Phantoms, Server
from tests.app.reviewer import TIMEOUT_MS, Person, register, sized


def test_phantom_from_upload_to_signed_exports(browser: Browser, server: Server, phantoms: Phantoms) -> None:
    image = phantoms.images[0]
    with Person(browser, server.url, "Dr. Flow") as person:
        person.upload([phantoms.table, image, phantoms.annotation(image)])
        person.wait_for_result()
        measured = person.hc()
        assert measured == pytest.approx(phantoms.hc_mm[image.name], rel=0.06)
        assert person.live_hc() == pytest.approx(measured, abs=0.11)
        expect(person.page.get_by_text("Pixel size: table")).to_be_visible()
        expect(person.page.get_by_text("Reference", exact=True)).to_be_visible()

        person.drag("short-end", 0.0, 25.0, release=False)
        dragged = person.live_hc()
        assert abs(dragged - measured) > 1.0
        assert person.hc() == measured  # nothing went to the server yet
        person.page.mouse.up()
        person.expect_hc(dragged)
        angle = person.field("Angle, degrees")
        person.drag("rotate", 12.0, 30.0)
        expect(person.page.get_by_label("Angle, degrees", exact=True)).not_to_have_value(f"{angle:.1f}")

        across, down = person.field("Centre across, px"), person.field("Centre down, px")
        person.picture.focus()
        person.page.keyboard.press("ArrowRight")
        person.page.keyboard.press("Shift+ArrowUp")
        moved = person.page.get_by_label("Centre down, px", exact=True)
        expect(moved).to_have_value(f"{down - 10.0:.1f}", timeout=TIMEOUT_MS)
        assert person.field("Centre across, px") == pytest.approx(across + 1.0, abs=0.11)

        final = person.hc()
        person.press("Save correction")
        person.expect_badge("Corrected")
        person.press("Sign")
        person.expect_badge("Signed")
        assert person.hc() == final
        person.section("Reports and exports")
        check_exports(person, final)

        with ReviewStore(server.store) as store:
            case_id = next(row.case_id for row in store.rows() if row.reviewer == "Dr. Flow")
        person.open(f"case?case={case_id}")
        person.wait_for_result()
        person.expect_badge("Corrected")
        person.expect_badge("Signed")
        assert person.hc() == final
        expect(person.page.get_by_text(DISCLAIMER)).to_be_visible()
        assert person.foreign_requests == []
        assert person.script_errors == []


def check_exports(person: Person, hc_mm: float) -> None:
    """Each export is parsed by its own library and holds the value."""
    pages = PdfReader(io.BytesIO(person.download("PDF report"))).pages
    text = " ".join(page.extract_text() for page in pages)
    assert f"{hc_mm:.1f} mm" in text
    assert DISCLAIMER in text
    assert "Dr. Flow" in text
    observation = Observation.model_validate_json(person.download("FHIR Observation"))
    assert observation.status == "final"
    assert float(observation.valueQuantity.value) == pytest.approx(hc_mm, abs=0.051)
    assert json.loads(observation.model_dump_json())["code"]["coding"][0]["code"] == "11984-2"
    rows = list(csv.DictReader(io.StringIO(person.download("Table row").decode("utf-8-sig"), newline="")))
    assert [row["decision"] for row in rows] == ["corrected"]
    assert float(rows[0]["hc_mm"]) == pytest.approx(hc_mm, abs=0.051)
    expect(person.button("DICOM SR")).to_be_disabled()  # the upload was not a DICOM file


def test_dicom_image_without_a_head_is_measured_by_hand_and_reported(browser: Browser, server: Server) -> None:
    data_store = pytest.importorskip("data_store")
    file = Path(data_store.__file__).parent / "data" / "OBXXXX1A.dcm"
    with Person(browser, server.url, "Dr. Hand") as person:
        person.upload([file])
        expect(person.page.get_by_text("The model found no head")).to_be_visible(timeout=TIMEOUT_MS)
        person.press("Draw an ellipse by hand")
        person.button("Save correction").wait_for()
        person.press("Save correction")
        person.expect_badge("Corrected")
        person.press("Sign")
        person.expect_badge("Signed")
        expect(person.page.get_by_text("Pixel size: DICOM ultrasound region")).to_be_visible()
        person.section("Reports and exports")
        report = pydicom.dcmread(io.BytesIO(person.download("DICOM SR")))
        hc_mm = person.hc()
        values = [float(element.value) for element in report.iterall() if element.keyword == "NumericValue"]
        assert (report.Modality, report.CompletionFlag) == ("SR", "COMPLETE")
        assert any(math.isclose(value, hc_mm, abs_tol=0.051) for value in values)
        assert str(report.get("PatientName", "")) == ""


def test_second_reviewer_is_not_overwritten(browser: Browser, server: Server) -> None:
    case_id = register(server, 11, sized(0.2, 0.2), Ellipse(200.0, 150.0, 120.0, 95.0, 0.3))
    with Person(browser, server.url, "Dr. First") as first, Person(browser, server.url, "Dr. Second") as second:
        for person in (first, second):
            person.open(f"case?case={case_id}")
            person.wait_for_result()
        first.press("Accept")
        first.expect_badge("Accepted")
        second.press("Accept")
        notice = second.page.get_by_role("alert").filter(has_text="Dr. First")
        expect(notice).to_be_visible(timeout=TIMEOUT_MS)
        with ReviewStore(server.store) as store:
            assert [event.action for event in store.events(case_id)] == [ReviewAction.MEASURED, ReviewAction.ACCEPT]
        second.press("Load their version")
        second.expect_badge("Accepted")
        second.press("Sign")
        second.expect_badge("Signed")
        with ReviewStore(server.store) as store:
            assert store.state(case_id).signed_by == "Dr. Second"
            assert store.verify().problems == ()


def test_browser_and_server_agree_on_unequal_pixel_sizes(browser: Browser, server: Server) -> None:
    ellipse = Ellipse(200.0, 150.0, 130.0, 90.0, 0.7)
    case_id = register(server, 12, sized(0.31, 0.19), ellipse)
    with Person(browser, server.url, "Dr. Oblong") as person:
        person.open(f"case?case={case_id}")
        person.wait_for_result()
        expected = ellipse.to_mm(0.31, 0.19).circumference()
        assert person.live_hc() == pytest.approx(expected, abs=0.051)
        assert person.hc() == pytest.approx(expected, abs=0.051)
        box = person.page.locator('[data-part="image"]').bounding_box()
        assert box is not None
        assert box["width"] / box["height"] == pytest.approx(400 * 0.31 / (300 * 0.19), rel=0.01)
        person.drag("long-end", 30.0, 18.0)
        person.expect_hc(person.live_hc())


def test_bad_files_are_named_and_the_good_one_is_measured(
    browser: Browser, server: Server, phantoms: Phantoms, tmp_path: Path
) -> None:
    content = phantoms.images[1].read_bytes()
    bad = {"empty.png": b"", "half.png": content[: len(content) // 2], "=cmd.png": b"\x00not an image" * 9}
    for name, data in bad.items():
        (tmp_path / name).write_bytes(data)
    with Person(browser, server.url, "Dr. Careful") as person:
        person.upload([*(tmp_path / name for name in bad), phantoms.images[1]])
        person.wait_for_result()
        for sentence in ("The file is empty", "damaged or incomplete", "not an image the app can read"):
            expect(person.page.get_by_text(sentence)).to_be_visible()
        assert "Traceback" not in person.page.inner_text("body")


def test_queue_opens_the_next_case(browser: Browser, server: Server) -> None:
    register(server, 13, sized(0.2, 0.2), Ellipse(200.0, 150.0, 120.0, 95.0, 0.1))
    with Person(browser, server.url, "Dr. Queue") as person:
        person.page.get_by_role("link", name="Queue").click()
        expect(person.metric("To review")).to_be_visible(timeout=TIMEOUT_MS)
        person.page.locator(".st-key-start-list button").click()
        person.wait_for_result()
        assert "case=" in person.page.url


def test_real_head_is_measured_close_to_its_reference(browser: Browser, server: Server, real_hc18_root: Path) -> None:
    table = real_hc18_root / "training_set_pixel_size_and_HC.csv"
    row = next(row for row in read_pixel_sizes(table) if (row.hc_mm or 0.0) > 170.0)
    assert row.hc_mm is not None
    with Person(browser, server.url, "Dr. Real") as person:
        person.upload([table, real_hc18_root / "training_set" / row.filename])
        person.wait_for_result()
        assert person.hc() == pytest.approx(row.hc_mm, rel=0.05)
        person.press("Accept")
        person.expect_badge("Accepted")
