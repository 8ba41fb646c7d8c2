"""Checks fitted to outlines whose evidence is known."""

import numpy as np
import pytest

from fetal_hc.errors import DatasetError
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.evidence import ORIGIN_EVIDENCE, PLANE_EVIDENCE
from hc18.measurement.outline import HeadOutline, Quality
from hc18.training.image_check_fit import MAX_FLAGGED, MAX_REFUSED, Example, Kind, fit_image_checks

OUTLINE = HeadOutline(Ellipse(200.0, 150.0, 120.0, 90.0, 0.4), None, "", 0.9, Quality(), (), 0)


def examples(n_home: int = 300, n_away: int = 100, n_others: int = 60) -> list[Example]:
    """Heads with more skull than anything else, home without text; two images a patient."""
    rng = np.random.default_rng(0)
    names = sorted({*PLANE_EVIDENCE, *ORIGIN_EVIDENCE})
    found = []
    for kind, count in ((Kind.HOME, n_home), (Kind.AWAY, n_away), (Kind.NO_HEAD, n_others)):
        for index in range(count):
            evidence = dict(zip(names, rng.normal(size=len(names)).tolist(), strict=True))
            evidence["skull"] += 0.0 if kind == Kind.NO_HEAD else 8.0
            evidence["text"] += 0.0 if kind == Kind.HOME else 5.0
            found.append(Example(f"{kind}{index}", f"{kind}{index // 2}", kind, evidence))
    return found


def test_checks_tell_heads_and_origins_of_patients_they_did_not_see():
    items = examples()
    fitted = fit_image_checks(items)
    judged = [checks.judge(OUTLINE, item.evidence) for checks, item in zip(fitted.unseen, items, strict=True)]
    refused = np.array([outline.ellipse_px is None for outline in judged])
    kinds = np.array([item.kind for item in items])
    assert refused[kinds == Kind.NO_HEAD].mean() > 0.85
    assert refused[kinds != Kind.NO_HEAD].mean() <= MAX_REFUSED + 0.005
    unfamiliar = np.array([outline.quality.unfamiliarity for outline in judged])
    limit = fitted.checks.unfamiliar_above
    assert (unfamiliar[kinds == Kind.HOME] > limit).mean() < 0.05
    assert (unfamiliar[kinds == Kind.AWAY] > limit).mean() > 0.9


def test_few_heads_are_flagged_and_none_where_nothing_else_looks_like_one():
    items = examples()
    fitted = fit_image_checks(items)
    flagged = [
        bool(checks.judge(OUTLINE, item.evidence).flags)
        for checks, item in zip(fitted.unseen, items, strict=True)
        if item.kind == Kind.HOME and item.evidence["text"] < 0
    ]
    assert np.mean(flagged) <= MAX_FLAGGED + 0.01


def test_images_of_a_patient_are_judged_by_the_same_checks():
    items = examples()
    fitted = fit_image_checks(items)
    by_group: dict[str, set[int]] = {}
    for checks, item in zip(fitted.unseen, items, strict=True):
        by_group.setdefault(item.group, set()).add(id(checks))
    assert all(len(found) == 1 for found in by_group.values())
    assert fitted.checks not in fitted.unseen


def test_too_few_examples_of_a_kind_are_refused():
    with pytest.raises(DatasetError, match="5 outlines in images of kind 'no_head'"):
        fit_image_checks(examples(n_others=5))
