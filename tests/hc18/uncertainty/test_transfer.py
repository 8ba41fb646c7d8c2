"""A training without errors of its own gets the calibration of one like it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from fetal_hc.errors import DatasetError
from hc18.uncertainty.calibration import LabelledMeasurement, fit_interval_model
from hc18.uncertainty.transfer import fit_reference_run, transfer_calibration, validate_reference_run
from hc18.uncertainty.validation import report_validation
from tests.measured_errors import errors_of_known_spread


def more_confident(item: LabelledMeasurement) -> LabelledMeasurement:
    """The same error, seen by a network whose masks are sharper, above all in bad images."""
    entropy = math.log(0.7) + 0.5 * item.features["entropy"]  # a logarithm
    return replace(item, features={**item.features, "entropy": entropy})


def test_calibration_is_transferred_to_a_network_that_is_more_confident_without_being_better() -> None:
    measured = errors_of_known_spread(1500)
    confident = [more_confident(item) for item in measured]
    model = fit_interval_model(measured)
    features, confident_features = ([item.features for item in items] for items in (measured, confident))
    transferred = transfer_calibration(model, confident_features, features)
    for item, confident_item in zip(measured[:50], confident[:50], strict=True):
        assert transferred.expected_error_mm(confident_item.features) == pytest.approx(
            model.expected_error_mm(item.features), rel=0.01
        )
    with pytest.raises(DatasetError, match="12 measured images"):
        transfer_calibration(model, features[:12], features)


def test_reference_run_with_few_images_of_its_own_is_covered() -> None:
    measured = errors_of_known_spread(1600)
    better = [
        replace(item, reference_hc_mm=item.hc_mm + 0.7 * (item.reference_hc_mm - item.hc_mm))
        for item in map(more_confident, measured)
    ]
    unlabelled = ([item.features for item in better[:200]], [item.features for item in measured[:200]])
    validated = validate_reference_run(measured[200:1200], better[1200:], *unlabelled)
    report = report_validation(validated)
    assert report.groups["all"][1] == pytest.approx(0.9, abs=0.03)
    assert report.false_review == pytest.approx(0.12, abs=0.05)
    expected_mm = np.mean([item.expected_error_mm for item in validated])
    assert expected_mm == pytest.approx(np.mean([item.measured.error_mm for item in validated]), rel=0.05)
    # What the fit to the folds alone would say of it.
    alone = fit_interval_model(measured[200:1200])
    assert expected_mm > 1.2 * np.mean([alone.expected_error_mm(item.features) for item in better[1200:]])


def test_reference_run_needs_some_images_of_its_own() -> None:
    measured = errors_of_known_spread(100)
    features = [item.features for item in measured]
    with pytest.raises(DatasetError, match="12 measured images"):
        fit_reference_run(measured, measured[:12], features, features)
