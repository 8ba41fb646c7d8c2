import pytest

from hc18.reviews.comparison import score_reviews
from hc18.reviews.records import ReviewAction
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import CORRECTED, MODEL_ELLIPSE, PIXEL_SIZE_MM, measurement, new_case


def test_agreement_of_a_store_compares_model_and_reviewer(sqlite_store: ReviewStore) -> None:
    cases = [new_case(number) for number in range(1, 5)] + [new_case(5, found=measurement(None))]
    sqlite_store.register_cases(cases, "ann")
    sqlite_store.append(1, 1, ReviewAction.ACCEPT, "ann")
    sqlite_store.append(2, 1, ReviewAction.CORRECT, "ann", ellipse_px=CORRECTED)
    sqlite_store.append(3, 1, ReviewAction.REJECT, "ann", reason="no skull")
    sqlite_store.append(5, 1, ReviewAction.CORRECT, "ann", ellipse_px=CORRECTED)
    agreement = score_reviews(sqlite_store)
    assert (agreement.n, agreement.n_accepted, agreement.n_corrected, agreement.n_rejected) == (2, 1, 2, 1)
    assert agreement.correction_rate == 0.5
    difference = (MODEL_ELLIPSE.circumference() - CORRECTED.circumference()) * PIXEL_SIZE_MM
    assert [case.difference_mm for case in agreement.differences] == pytest.approx([0.0, difference])
    assert [case.label for case in agreement.worst_cases()] == ["Case 2"]
