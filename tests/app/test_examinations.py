"""Examinations of one patient code: their ages, and their place on the growth chart."""

from dataclasses import replace

import numpy as np
import pytest

from fetal_hc_app.panels.examination import examination_result, growth_points
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table
from hc18.measurement.interval_model import Interval
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews import worklist as notes
from hc18.reviews.models import ModelMeasurement, ModelVersion, NewCase, ReviewAction
from hc18.reviews.queue import QueueView
from hc18.reviews.store import ReviewStore
from hc18.reviews.worklist import CaseTags
from tests.app.conftest import Phantoms
from tests.app.test_screens import ELLIPSE, metric, page, register, texts

MODEL = ModelVersion("test", "1", "ab" * 32)


def test_age_of_one_examination_gives_those_of_the_others_by_their_days(store: ReviewStore) -> None:
    axes = (100.0, 104.0, 150.0)  # two images of the first examination, one of the second
    ids = []
    for seed, axis in enumerate(axes):
        noise = np.random.default_rng(seed).integers(0, 90, (300, 400, 3), dtype=np.uint8)
        measurement = ModelMeasurement(MODEL, "ok", ellipse_px=Ellipse(200.0, 150.0, axis, 80.0, 0.0), confidence=0.9)
        ids.append(store.register_case(NewCase(noise, from_table(0.3), measurement), "test").case_id)
    store.append(ids[0], 1, ReviewAction.SET_AGE, "test", age=IndependentAge(140.0, "due date"))
    with store.writer() as connection:
        notes.write_tags(connection, ids[:2], CaseTags("E-1", "P-1", "2026-01-01"))
        notes.write_tags(connection, ids[2:], CaseTags("E-2", "P-1", "2026-01-29"))
    with store.reader() as connection:
        of_subject = notes.cases_of_subject(connection, "P-1")
        assert notes.cases_of_examination(connection, CaseTags("E-1", "P-1")) == ids[:2]
    cases = list(store.cases([case_id for case_id, _ in of_subject]))
    found = growth_points(cases, of_subject)
    values = [case.state.outline.hc_mm or 0.0 for case in store.cases(ids)]
    assert found == [(140.0, pytest.approx((values[0] + values[1]) / 2)), (168.0, pytest.approx(values[2]))]


def test_examination_counts_what_reviewers_kept_and_leaves_doubtful_images_out(store: ReviewStore) -> None:
    ids = [register(store, seed, flags=("uncertain",) if seed else ()) for seed in range(4)]
    store.append(ids[1], 1, ReviewAction.ACCEPT, "test")
    wider = Ellipse(200.0, 150.0, 130.0, 95.0, 0.3)
    store.append(ids[2], 1, ReviewAction.CORRECT, "test", ellipse_px=wider)
    found = examination_result("E-1", list(store.cases(ids)))
    assert found.best_images == ("Case 1", "Case 2", "Case 3")
    assert (found.n_images, found.n_measured, found.n_flagged) == (4, 4, 1)
    assert found.spread_mm == pytest.approx(0.2 * (wider.circumference() - ELLIPSE.circumference()))
    store.append(ids[2], 2, ReviewAction.REJECT, "test", reason="Wrong plane")
    assert examination_result("E-1", list(store.cases(ids))).n_measured == 3


@pytest.mark.slow
def test_images_of_an_examination_stand_on_one_page_with_their_median(store: ReviewStore) -> None:
    ids = [register(store, seed) for seed in range(3)]
    with store.writer() as connection:
        notes.write_tags(connection, ids, CaseTags("E-1", "P-1"))
    test = page("case", case=str(ids[0])).run()
    test.segmented_control(key=f"section-{ids[0]}").set_value("Examination").run()
    assert not test.exception
    assert metric(test, "Median HC") == f"{0.2 * ELLIPSE.circumference():.1f} mm"
    assert metric(test, "Images of this examination") == "3"
    assert "3 of 3 images count for the median" in texts(test)


@pytest.mark.slow
def test_codes_typed_before_an_upload_are_noted_and_found(store: ReviewStore, phantoms: Phantoms) -> None:
    test = page("measure").run()
    test.text_input(key="upload-0-examination").set_value("E-9")
    test.text_input(key="upload-0-subject").set_value("P-9")
    test.file_uploader[0].set_value([(image.name, image.read_bytes(), "image/png") for image in phantoms.images[:2]])
    test.run()
    assert not test.exception
    assert [row.label for row in store.rows(QueueView(search="p-9"))] == ["Case 1", "Case 2"]
    next(button for button in test.button if button.label == "Clear list").click().run()
    assert test.text_input(key="upload-1-examination").value == ""


@pytest.mark.slow
def test_images_of_two_heads_under_one_code_are_named(store: ReviewStore) -> None:
    ids = []
    for seed, scale in enumerate((1.0, 1.0, 1.2)):
        outline = replace(ELLIPSE, semi_axis_a=scale * ELLIPSE.semi_axis_a, semi_axis_b=scale * ELLIPSE.semi_axis_b)
        hc_mm = 0.2 * outline.circumference()
        image = np.random.default_rng(seed).integers(0, 90, (300, 400, 3), dtype=np.uint8)
        interval = Interval(hc_mm - 4.0, hc_mm + 4.0, 2.0, 0.9)
        found = ModelMeasurement(MODEL, "ok", ellipse_px=outline, confidence=0.9, interval=interval)
        ids.append(store.register_case(NewCase(image, from_table(0.2), found), "test").case_id)
    said = []
    for chosen in (ids[:2], ids):
        with store.writer() as connection:
            notes.write_tags(connection, chosen, CaseTags("E-1"))
        test = page("case", case=str(ids[0])).run()
        test.segmented_control(key=f"section-{ids[0]}").set_value("Examination").run()
        assert not test.exception
        said.append("do not all overlap" in texts(test))
    assert said == [False, True]
