"""Every page and panel through Streamlit's own test runner, without a browser."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from streamlit.testing.v1 import AppTest

from fetal_hc import DISCLAIMER
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table, uncalibrated
from hc18.obstetrics.gestational_age import AgeSource, IndependentAge
from hc18.reports.from_store import submission_csv
from hc18.reviews.models import CaseId, Decision, ModelMeasurement, ModelVersion, NewCase, ReviewAction
from hc18.reviews.queue import QueueFilter
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Phantoms

pytestmark = pytest.mark.slow  # each starts the whole page
ELLIPSE = Ellipse(200.0, 150.0, 120.0, 95.0, 0.3)
MODEL = ModelVersion("test", "1", "ab" * 32)
SCRIPT = "app/fetal_hc_app/start/review.py"
TIMEOUT_S = 120.0
SESSION = "the session of this test"


def page(name: str, **query: str) -> AppTest:
    """One page by itself, with a reviewer whose browser has shown the picture of the case."""
    test = AppTest.from_string(
        f"from fetal_hc_app.screens.{name} import {name}_page\n{name}_page()", default_timeout=TIMEOUT_S
    )
    test.session_state["reviewer_name"] = "Dr. Page"
    test.session_state["editor_session"] = SESSION
    for key, value in query.items():
        test.query_params[key] = value
        test.session_state["editor"] = {"shown": f"case-{value}"}
    return test


def register(store: ReviewStore, seed: int = 1, *, is_calibrated: bool = True, flags: tuple[str, ...] = ()) -> CaseId:
    """A case with a known ellipse on noise."""
    noise = np.random.default_rng(seed).integers(0, 90, (300, 400, 1), dtype=np.uint8)
    calibration = from_table(0.2) if is_calibrated else uncalibrated("No millimetres: for a test.")
    status = "ok" if is_calibrated else "no_pixel_size"
    measurement = ModelMeasurement(MODEL, status, ellipse_px=ELLIPSE, confidence=0.9, flags=flags)
    return store.register_case(NewCase(np.repeat(noise, 3, axis=2), calibration, measurement), "test").case_id


def texts(test: AppTest) -> str:
    """All that the page says."""
    parts = [*test.markdown, *test.caption, *test.error, *test.warning, *test.info, *test.success]
    return "\n".join(str(element.value) for element in parts).replace("\\", "")


def metric(test: AppTest, label: str) -> str:
    return next(str(element.value) for element in test.metric if element.label == label)


def draw(test: AppTest, case_id: CaseId, ellipse: Ellipse, seq: int = 1) -> AppTest:
    """What the browser sends when the ellipse is released."""
    names = ("center_x", "center_y", "semi_axis_a", "semi_axis_b", "angle_rad")
    payload = {name: getattr(ellipse, name) for name in names}
    edit = {"case": f"case-{case_id}", "seq": seq, "session": SESSION, "shown": True, "ellipse": payload}
    test.session_state["editor"] = {"shown": f"case-{case_id}", "edit": edit}
    return test.run()


def test_whole_app_starts_with_the_banner(
    store: ReviewStore, repository_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("streamlit.get_option", lambda name: "127.0.0.1")
    test = AppTest.from_file(str(repository_root / SCRIPT), default_timeout=TIMEOUT_S).run()
    assert not test.exception
    assert any(DISCLAIMER in element.proto.body for element in test.get("html"))
    assert "Start here" in texts(test)


def test_public_address_without_login_is_refused(
    store: ReviewStore, repository_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import streamlit as st

    monkeypatch.setattr(st, "get_option", lambda name: "0.0.0.0")
    test = AppTest.from_file(str(repository_root / SCRIPT), default_timeout=TIMEOUT_S).run()
    assert "no login is configured" in texts(test)
    assert not test.button


@pytest.mark.parametrize("name", ["measure", "queue", "case", "agreement", "about"])
def test_page_of_an_empty_store_says_what_to_do(store: ReviewStore, name: str) -> None:
    test = page(name).run()
    assert not test.exception
    assert texts(test)


def test_upload_measures_with_the_table_and_lists_what_is_wrong(store: ReviewStore, phantoms: Phantoms) -> None:
    image, other = phantoms.images[:2]
    test = page("measure").run()
    test.file_uploader[0].set_value(
        [
            (phantoms.table.name, phantoms.table.read_bytes(), "text/csv"),
            (image.name, image.read_bytes(), "image/png"),
            ("broken.png", other.read_bytes()[:999], "image/png"),
        ]
    ).run()
    assert not test.exception
    assert "damaged or incomplete" in texts(test)
    value = float(metric(test, "Head circumference").split()[0])
    assert value == pytest.approx(phantoms.hc_mm[image.name], rel=0.06)
    assert "Pixel size: table" in texts(test)
    assert [row.decision for row in store.rows()] == [Decision.UNREVIEWED]


def test_no_millimetres_without_a_pixel_size_until_one_is_typed(store: ReviewStore) -> None:
    case_id = register(store, is_calibrated=False)
    test = page("case", case=str(case_id)).run()
    assert metric(test, "Head circumference").endswith("px")
    test.number_input(key=f"size-{case_id}").set_value(0.25).run()
    test.button(key=f"size-{case_id}-use").click().run()
    assert metric(test, "Head circumference") == f"{0.25 * ELLIPSE.circumference():.1f} mm"
    assert "typed by hand" in texts(test)
    assert store.events(case_id)[-1].action is ReviewAction.CALIBRATE


def test_section_for_the_pixel_size_opens_without_one_too(store: ReviewStore) -> None:
    case_id = register(store, is_calibrated=False)
    test = page("case", case=str(case_id)).run()
    test.segmented_control(key=f"section-{case_id}").set_value("Pixel size").run()
    assert not test.exception


def test_impossible_pixel_size_is_answered_with_a_sentence(store: ReviewStore) -> None:
    case_id = register(store, is_calibrated=False)
    test = page("case", case=str(case_id)).run()
    test.number_input(key=f"size-{case_id}").set_value(40.0).run()
    test.button(key=f"size-{case_id}-use").click().run()
    assert "expected millimetres per pixel" in texts(test)
    assert store.state(case_id).calibration.pixel_size_xy_mm is None


def test_accept_sign_reopen(store: ReviewStore) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id)).run()
    test.button(key=f"accept-{case_id}").click().run()
    test.button(key=f"sign-{case_id}").click().run()
    assert store.state(case_id).is_signed
    assert "Signed" in texts(test)
    test.text_input(key=f"reopen-{case_id}-words").set_value("wrong plane").run()
    test.button(key=f"reopen-{case_id}").click().run()
    state = store.state(case_id)
    assert (state.is_signed, store.events(case_id)[-1].reason) == (False, "wrong plane")


def test_reopening_needs_a_reason(store: ReviewStore) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id)).run()
    test.button(key=f"accept-{case_id}").click().run()
    test.button(key=f"sign-{case_id}").click().run()
    test.button(key=f"reopen-{case_id}").click().run()
    assert "No reason is given" in texts(test)
    assert store.state(case_id).is_signed


def test_reject_keeps_the_chosen_reason(store: ReviewStore) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id)).run()
    test.button(key=f"rejecting-{case_id}").click().run()
    test.text_input(key=f"reject-{case_id}-words").set_value("shadow").run()
    test.button(key=f"reject-{case_id}-3").click().run()
    state = store.state(case_id)
    assert (state.decision, state.reason) == (Decision.REJECTED, "Image quality too poor: shadow")
    assert [element.label for element in test.metric] == ["Rejected: the model's circumference"]


def test_drawn_ellipse_is_measured_and_saved_as_a_correction(store: ReviewStore) -> None:
    case_id = register(store)
    drawn = Ellipse(205.0, 148.0, 131.0, 90.0, 0.5)
    test = draw(page("case", case=str(case_id)).run(), case_id, drawn)
    assert metric(test, "Head circumference") == f"{0.2 * drawn.circumference():.1f} mm"
    assert test.number_input(key=f"field-{case_id}-semi_axis_a").value == pytest.approx(131.0)
    test.button(key=f"correct-{case_id}").click().run()
    state = store.state(case_id)
    assert (state.decision, state.outline.ellipse_px) == (Decision.CORRECTED, drawn)
    assert state.outline.hc_mm == pytest.approx(0.2 * drawn.circumference())


def test_number_field_changes_the_ellipse_and_reset_brings_the_models_back(store: ReviewStore) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id)).run()
    test.number_input(key=f"field-{case_id}-semi_axis_b").set_value(80.0).run()
    changed = Ellipse(200.0, 150.0, 120.0, 80.0, 0.3)
    assert metric(test, "Head circumference") == f"{0.2 * changed.circumference():.1f} mm"
    test.button(key=f"reset-{case_id}").click().run()
    assert metric(test, "Head circumference") == f"{0.2 * ELLIPSE.circumference():.1f} mm"
    assert store.state(case_id).revision == 1


def test_drawing_on_a_signed_case_changes_nothing(store: ReviewStore) -> None:
    case_id = register(store)
    state = store.append(case_id, 1, ReviewAction.ACCEPT, "test")
    store.append(case_id, state.revision, ReviewAction.SIGN, "test")
    test = draw(page("case", case=str(case_id)).run(), case_id, Ellipse(210.0, 150.0, 99.0, 90.0, 0.0))
    assert metric(test, "Head circumference") == f"{0.2 * ELLIPSE.circumference():.1f} mm"


def test_change_of_somebody_else_is_told_before_anything_is_overwritten(store: ReviewStore) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id)).run()
    store.append(case_id, 1, ReviewAction.REJECT, "Dr. Other", reason="plane")
    test.button(key=f"accept-{case_id}").click().run()
    assert "Dr. Other" in texts(test)
    assert store.state(case_id).decision is Decision.REJECTED
    test.button(key=f"reload-{case_id}").click().run()
    assert "Dr. Other" not in "\n".join(str(error.value) for error in test.error)


def test_nothing_can_be_decided_without_a_name(store: ReviewStore) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id))
    test.session_state["reviewer_name"] = ""
    test.run()
    assert "Type your name" in texts(test)
    assert test.button(key=f"accept-{case_id}").disabled


def test_flags_are_explained_in_words(store: ReviewStore) -> None:
    case_id = register(store, flags=("touches_border", "low_score"))
    said = texts(page("case", case=str(case_id)).run())
    assert "Head cut off." in said
    assert "Low confidence." in said


def test_percentile_needs_an_independent_age(store: ReviewStore) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id)).run()
    assert metric(test, "Percentile") == "–"
    store.append(case_id, 1, ReviewAction.SET_AGE, "test", age=IndependentAge(125.0, "due date"))
    test = page("case", case=str(case_id)).run()
    assert float(metric(test, "Percentile").strip("<>")) >= 0.0
    test.segmented_control(key=f"section-{case_id}").set_value("Growth and dates").run()
    assert not test.exception
    assert "Independent age: 17+6 weeks" in texts(test)


def test_age_from_the_due_date_is_recorded_without_dates(store: ReviewStore) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id)).run()
    test.segmented_control(key=f"section-{case_id}").set_value("Growth and dates").run()
    test.segmented_control(key=f"age-{case_id}").set_value(AgeSource.EDD).run()
    test.date_input(key=f"age-{case_id}-exam").set_value(date(2024, 3, 1)).run()
    test.date_input(key=f"age-{case_id}-edd").set_value(date(2024, 8, 1)).run()
    test.button(key=f"age-{case_id}-use").click().run()
    age = store.state(case_id).age
    assert age == IndependentAge(127.0, "estimated due date")
    assert "2024" not in texts(test)


def test_frames_of_a_cine_are_measured_when_asked_for_and_a_doubtful_clip_is_named(store: ReviewStore) -> None:
    data_store = pytest.importorskip("data_store")
    content = (Path(data_store.__file__).parent / "data" / "color3d_jpeg_baseline.dcm").read_bytes()
    test = page("measure").run()
    test.file_uploader[0].set_value([("cine.dcm", content, "application/dicom")]).run()
    assert store.progress().n_cases == 0
    test.slider[0].set_value(7).run()
    next(button for button in test.button if button.label == "Measure this frame").click().run()
    assert not test.exception
    assert store.progress().n_cases == 1
    assert "Pixel size: DICOM ultrasound region" in texts(test)
    assert "frames are flagged" not in texts(test)
    test.slider[0].set_value(60).run()
    next(button for button in test.button if button.label == "Measure this frame").click().run()
    assert store.progress().n_cases == 2
    (said,) = [box.value for box in test.warning if "frames are flagged" in box.value]  # it shows another organ
    assert "2 of 2 frames are flagged or show no head" in said
    assert "may not show the plane of a fetal head" in said


def test_login_is_asked_for_when_it_is_configured(store: ReviewStore, repository_root: Path) -> None:
    test = AppTest.from_file(str(repository_root / SCRIPT), default_timeout=TIMEOUT_S)
    test.secrets["auth"] = {"redirect_uri": "http://localhost/oauth2callback", "cookie_secret": "x"}
    test.run()
    assert [button.label for button in test.button] == ["Log in"]
    assert not test.file_uploader


@pytest.mark.parametrize("section", ["Pixel size", "Reports and exports", "History"])
def test_sections_open(store: ReviewStore, section: str) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id)).run()
    test.segmented_control(key=f"section-{case_id}").set_value(section).run()
    assert not test.exception


def test_unknown_case_is_a_sentence(store: ReviewStore) -> None:
    test = page("case", case="4711").run()
    assert not test.exception
    assert test.error


def test_queue_counts_and_filters(store: ReviewStore) -> None:
    first, _ = register(store, 1), register(store, 2, flags=("low_score",))
    store.append(first, 1, ReviewAction.ACCEPT, "test")
    test = page("queue").run()
    assert (metric(test, "Cases"), metric(test, "To review"), metric(test, "To sign")) == ("2", "1", "1")
    test.segmented_control(key="queue_filter").set_value(QueueFilter.FLAGGED).run()
    assert not test.exception
    assert "Cases 1 to 1 of 1" in texts(test)


def test_agreement_shows_bias_and_worst_cases(store: ReviewStore) -> None:
    for seed, widening in ((1, 0.0), (2, 3.0), (3, -4.0)):
        case_id = register(store, seed)
        ellipse = Ellipse(200.0, 150.0, 120.0 + widening, 95.0, 0.3)
        if widening:
            store.append(case_id, 1, ReviewAction.CORRECT, "test", ellipse_px=ellipse)
        else:
            store.append(case_id, 1, ReviewAction.ACCEPT, "test")
    test = page("agreement").run()
    assert not test.exception
    assert metric(test, "Corrected") == "67%"
    assert metric(test, "Bias").endswith("mm")


def test_about_shows_the_model_card(store: ReviewStore) -> None:
    assert "Limits" in texts(page("about").run())


@pytest.mark.parametrize(
    ("field", "value", "sentence"),
    [
        ("center_x", 99999.0, "lies outside the image of 400 x 300 px"),
        ("center_y", -20.0, "lies outside the image of 400 x 300 px"),
        ("semi_axis_b", -5.0, "A semi-axis of -5 px is not possible. Type a length above 0."),
        ("semi_axis_a", 0.0, "A semi-axis of 0 px is not possible"),
        ("semi_axis_a", 5000.0, "too long for the image; type at most 800 px"),
    ],
)
def test_impossible_number_is_refused_at_once(store: ReviewStore, field: str, value: float, sentence: str) -> None:
    case_id = register(store)
    test = page("case", case=str(case_id)).run()
    key = f"field-{case_id}-{field}"
    before = test.number_input(key=key).value
    test.number_input(key=key).set_value(value).run()
    assert sentence in texts(test)
    assert test.number_input(key=key).value == before
    assert metric(test, "Head circumference") == f"{0.2 * ELLIPSE.circumference():.1f} mm"


def test_files_with_the_same_pixels_keep_both_names(store: ReviewStore, phantoms: Phantoms) -> None:
    image = phantoms.images[0].read_bytes()
    table = phantoms.table.read_text(encoding="utf-8").replace(phantoms.images[0].name, "first.png")
    test = page("measure").run()
    test.file_uploader[0].set_value(
        [
            ("table.csv", table.encode(), "text/csv"),
            ("first.png", image, "image/png"),
            ("second.png", image, "image/png"),
        ]
    ).run()
    assert not test.exception
    assert "second.png shows the same pixels as first.png" in texts(test).replace("**", "")
    listed = test.dataframe[0].value
    assert list(listed["File"]) == ["first.png", "second.png"]
    assert list(listed["Case"]) == ["Case 1", "Case 1"]
    assert list(listed["Known before"]) == ["", "same pixels as first.png"]
    store.append(1, 1, ReviewAction.ACCEPT, "test")
    rows = submission_csv(store, {"first.png": CaseId(1), "second.png": CaseId(1)}).splitlines()[1:]
    assert [row.partition(",")[0] for row in rows] == ["first.png", "second.png"]
    assert rows[0].partition(",")[2] == rows[1].partition(",")[2]
