"""The built-in engine against numbers that Detectron2 wrote: parity where Detectron2 is not installed.

Tolerances allow for another machine's arithmetic; with Detectron2 at hand, test_detectron2_parity.py is far stricter.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.train.solver import build_optimizer, build_schedule, clip_gradients
from fetal_hc_cli.training.architectures import MASK_RCNN
from tests.fetal_hc.engine import parity_cases, parity_measures, write_parity_fixtures
from tests.fetal_hc.engine.parity_cases import (
    CLIPPINGS,
    GROUP_CASES,
    GROUPINGS,
    SCHEDULES,
    SGD,
    VARIANTS,
    parity_config,
)
from tests.fetal_hc.engine.write_parity_fixtures import DETECTIONS, NUMBERS

# Boxes in pixels, the others without unit; architecture.md promises these across machines.
TOLERANCES = {"boxes": 1e-2, "scores": 1e-4, "masks": 1e-3}


@pytest.fixture(scope="module")
def numbers() -> dict[str, Any]:
    return json.loads(NUMBERS.read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def detections() -> dict[str, np.ndarray]:
    with np.load(DETECTIONS) as archive:
        return dict(archive)


@pytest.mark.parametrize("name", VARIANTS)
def test_losses_and_gradients_are_those_of_detectron2(numbers: dict[str, Any], name: str) -> None:
    model = build_model(parity_config(*VARIANTS[name], *parity_cases.NOTHING_SAMPLED), MASK_RCNN)
    parity_cases.fill_weights(model)
    found = parity_measures.losses_and_gradients(model, model(parity_cases.model_inputs()))
    expected = numbers["training"][name]
    assert found["losses"] == pytest.approx(expected["losses"], rel=1e-4)
    assert found["gradients"] == pytest.approx(expected["gradients"], rel=2e-3)


@pytest.mark.parametrize("name", VARIANTS)
def test_detections_are_those_of_detectron2(detections: dict[str, np.ndarray], name: str) -> None:
    model = build_model(parity_config(*VARIANTS[name]), MASK_RCNN).eval()
    parity_cases.fill_weights(model)
    with torch.no_grad():
        found = write_parity_fixtures.to_arrays(name, model(parity_cases.model_inputs()))
    expected = {key: array for key, array in detections.items() if key.startswith(f"{name}/")}
    assert set(found) == set(expected)
    for key, array in expected.items():
        assert found[key].shape == array.shape, key
        np.testing.assert_allclose(
            found[key], array, rtol=0, atol=TOLERANCES.get(key.rpartition("/")[2], 0), err_msg=key
        )


@pytest.mark.parametrize("name", SCHEDULES)
def test_learning_rates_are_those_of_detectron2(numbers: dict[str, Any], name: str) -> None:
    cfg = parity_config(*SCHEDULES[name])
    optimizer = build_optimizer(cfg, nn.Linear(1, 1, bias=False))
    found = parity_measures.learning_rates(optimizer, build_schedule(cfg, optimizer), cfg.SOLVER.MAX_ITER)
    assert found == pytest.approx(numbers["learning_rates"][name], rel=1e-9, abs=1e-15)


@pytest.mark.parametrize(("variant", "grouping"), GROUP_CASES)
def test_rates_and_decays_are_those_of_detectron2(numbers: dict[str, Any], variant: str, grouping: str) -> None:
    cfg = parity_config(*VARIANTS[variant], *SGD, *GROUPINGS[grouping])
    model = build_model(cfg, MASK_RCNN)
    found = parity_measures.rates_and_decays(build_optimizer(cfg, model), model)
    assert found == write_parity_fixtures.per_parameter(numbers["rates_and_decays"][f"{variant}: {grouping}"])


@pytest.mark.parametrize("name", CLIPPINGS)
def test_clipped_steps_are_those_of_detectron2(numbers: dict[str, Any], name: str) -> None:
    cfg = parity_config(*parity_cases.SHORT_SGD, *CLIPPINGS[name])
    model = build_model(cfg, MASK_RCNN)
    optimizer = build_optimizer(cfg, model)
    schedule = build_schedule(cfg, optimizer)
    found = parity_measures.movements(model, optimizer, schedule, lambda: clip_gradients(cfg, model.parameters()))
    assert found == pytest.approx(numbers["clipped_steps"][name], rel=1e-5)


def test_fixtures_stay_small() -> None:
    assert NUMBERS.stat().st_size + DETECTIONS.stat().st_size < 300_000


@pytest.mark.detectron2
@pytest.mark.filterwarnings("ignore")
def test_fixtures_are_what_detectron2_computes_now(numbers: dict[str, Any], detections: dict[str, np.ndarray]) -> None:
    now = write_parity_fixtures.compute_numbers()
    # The networks ran on another processor, whose sums are taken in another order; the rest is plain arithmetic. Hence
    # the tolerances with which the built-in engine is compared with these files.
    training = now.pop("training")
    assert set(training) == set(numbers["training"])
    for name, expected in numbers["training"].items():
        assert training[name]["losses"] == pytest.approx(expected["losses"], rel=1e-4), name
        assert training[name]["gradients"] == pytest.approx(expected["gradients"], rel=2e-3), name
    assert now == approximately({key: value for key, value in numbers.items() if key in now}, rel=1e-6)
    found = write_parity_fixtures.compute_detections()
    assert set(found) == set(detections)
    for key, array in detections.items():
        tolerance = TOLERANCES.get(key.rpartition("/")[2], 0)
        np.testing.assert_allclose(found[key], array, rtol=0, atol=tolerance, err_msg=key)


def approximately(tree: Any, rel: float) -> Any:
    """The tree with every number replaced by one that compares approximately."""
    if isinstance(tree, dict):
        return {key: approximately(value, rel) for key, value in tree.items()}
    if isinstance(tree, list) and not all(isinstance(item, float) for item in tree):
        return [approximately(item, rel) for item in tree]
    return tree if isinstance(tree, str) else pytest.approx(tree, rel=rel, abs=1e-15)
