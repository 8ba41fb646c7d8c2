"""The agreement of the model with the reviewers of a store."""

from __future__ import annotations

from hc18.evaluation.agreement import Agreement, ReviewedHc, score_agreement
from hc18.reports.case import Decision
from hc18.reviews.store import ReviewStore

_WITH_ELLIPSE = (Decision.ACCEPTED, Decision.CORRECTED)


def score_reviews(store: ReviewStore) -> Agreement:
    """Bland-Altman analysis and correction rate of all decided cases, signed or not.

    Raises:
        StoreError: if the store cannot be read.
    """
    rows = [row for row in store.rows() if row.decision is not Decision.UNREVIEWED]
    return score_agreement(
        (
            ReviewedHc(row.label, row.model_hc_mm, row.hc_mm, row.decision is Decision.CORRECTED)
            for row in rows
            if row.decision in _WITH_ELLIPSE
        ),
        n_rejected=sum(row.decision is Decision.REJECTED for row in rows),
    )
