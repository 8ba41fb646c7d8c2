"""Examinations of one patient code: their ages, and their place on the growth chart."""

import numpy as np
import pytest

from fetal_hc_app.panels.examination import growth_points
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews import worklist as notes
from hc18.reviews.models import ModelMeasurement, ModelVersion, NewCase, ReviewAction
from hc18.reviews.store import ReviewStore
from hc18.reviews.worklist import CaseTags

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
