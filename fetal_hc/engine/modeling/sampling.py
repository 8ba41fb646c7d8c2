"""Matching of anchors and proposals to ground truth, and sampling of a training minibatch of them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def match(
    iou: Tensor, thresholds: Sequence[float], labels: Sequence[int], *, allow_low_quality: bool
) -> tuple[Tensor, Tensor]:
    """Matched target index (R,) and label (R,) of R candidates from iou (T, R) with T targets.

    A candidate gets `labels[i]` for the interval of `thresholds` its best overlap falls in: 1 positive, 0 negative,
    -1 ignored. With `allow_low_quality`, the best candidates of each target (ties included) are positive too
    (Faster R-CNN, section 3.1.2, case i). Without targets all candidates get `labels[0]`.
    """
    if iou.numel() == 0:
        matches = iou.new_zeros((iou.shape[1],), dtype=torch.int64)
        return matches, matches.to(torch.int8) + labels[0]
    best, matches = iou.max(dim=0)
    edges = [-float("inf"), *thresholds, float("inf")]
    match_labels = torch.ones_like(matches, dtype=torch.int8)
    for label, low, high in zip(labels, edges[:-1], edges[1:], strict=True):
        match_labels[(best >= low) & (best < high)] = label
    if allow_low_quality:
        best_per_target = iou.max(dim=1).values
        match_labels[torch.nonzero(iou == best_per_target[:, None])[:, 1]] = 1
    return matches, match_labels


def subsample(labels: Tensor, n_samples: int, positive_fraction: float, background: int) -> tuple[Tensor, Tensor]:
    """Random indices of positives and negatives: at most `n_samples`, positives up to their fraction of it.

    labels (R,): -1 ignored, `background` negative, anything else positive. Missing positives are made up for by
    negatives. The calls to `randperm` come in Detectron2's order, so equal seeds give equal samples.
    """
    positive = torch.nonzero((labels != -1) & (labels != background)).squeeze(1)
    negative = torch.nonzero(labels == background).squeeze(1)
    n_positive = min(positive.numel(), int(n_samples * positive_fraction))
    n_negative = min(negative.numel(), n_samples - n_positive)
    chosen_positive = torch.randperm(positive.numel(), device=positive.device)[:n_positive]
    chosen_negative = torch.randperm(negative.numel(), device=negative.device)[:n_negative]
    return positive[chosen_positive], negative[chosen_negative]
