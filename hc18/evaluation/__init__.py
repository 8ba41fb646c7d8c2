"""Errors of measurements against a reference (DF, ADF, DSC, HD), agreement with reviewers, and pictures of both."""

from hc18.evaluation.evaluate import HcEvaluation, evaluate_labelled, evaluate_submission
from hc18.evaluation.metrics import dice, hausdorff, hc_error

__all__ = [
    "HcEvaluation",
    "dice",
    "evaluate_labelled",
    "evaluate_submission",
    "hausdorff",
    "hc_error",
]
