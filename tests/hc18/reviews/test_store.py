import stat
from pathlib import Path

import numpy as np
import pytest

from hc18.dicom import pixel_sha256
from hc18.geometry.ellipse import Ellipse
from hc18.geometry.pixel_size import from_table, from_user, uncalibrated
from hc18.obstetrics.gestational_age import IndependentAge
from hc18.reviews.models import (
    Decision,
    ModelVersion,
    ReviewAction,
    ReviewConflict,
    ReviewRefused,
    SoftMask,
    StoreError,
)
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import CORRECTED, MODEL_ELLIPSE, PIXEL_SIZE_MM, image_of, measurement, new_case


def test_registered_case_starts_with_the_models_measurement(store: ReviewStore) -> None:
    registration = store.register_case(new_case(1), "ann")
    state = store.state(registration.case_id)
    assert registration.is_new
    assert (state.revision, state.decision, state.is_signed) == (1, Decision.UNREVIEWED, False)
    assert state.outline.ellipse_px == MODEL_ELLIPSE
    assert state.outline.hc_mm == pytest.approx(MODEL_ELLIPSE.circumference() * PIXEL_SIZE_MM)
    assert state.image_sha256 == pixel_sha256(image_of(1))


def test_same_pixels_come_back_with_their_history(store: ReviewStore) -> None:
    first = store.register_case(new_case(1), "ann")
    store.append(first.case_id, 1, ReviewAction.ACCEPT, "ann")
    again = store.register_case(new_case(1, found=measurement(None)), "bob")
    assert (again.case_id, again.is_new) == (first.case_id, False)
    assert store.state(again.case_id).decision is Decision.ACCEPTED


def test_same_pixels_twice_in_one_batch_are_one_case(store: ReviewStore) -> None:
    first, second = store.register_cases([new_case(1), new_case(1)], "ann")
    assert (first.is_new, second.is_new) == (True, False)
    assert first.case_id == second.case_id


def test_image_comes_back_pixel_for_pixel(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "ann").case_id
    np.testing.assert_array_equal(store.image(case_id), image_of(1))


def test_soft_mask_comes_back_to_eight_bits(store: ReviewStore) -> None:
    mask = np.linspace(0.0, 1.0, 16, dtype=np.float32).reshape(4, 4)
    box = np.array([1.5, 2.0, 30.25, 40.0], dtype=np.float32)
    case_id = store.register_case(new_case(1, soft_mask=SoftMask(box, mask)), "ann").case_id
    found = store.soft_mask(case_id)
    assert found is not None
    np.testing.assert_array_equal(found.box_xyxy, box)
    np.testing.assert_allclose(found.mask, mask, atol=0.5 / 255)


def test_case_without_mask_has_none(store: ReviewStore) -> None:
    assert store.soft_mask(store.register_case(new_case(1), "ann").case_id) is None


def test_every_event_says_who_what_before_and_after(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "ann").case_id
    store.append(case_id, 1, ReviewAction.CORRECT, "bob", ellipse_px=CORRECTED, reason="outer edge")
    event = store.events(case_id)[1]
    assert (event.reviewer, event.action, event.reason) == ("bob", ReviewAction.CORRECT, "outer edge")
    assert (event.before.ellipse_px, event.after.ellipse_px) == (MODEL_ELLIPSE, CORRECTED)
    assert event.before.hc_mm == pytest.approx(MODEL_ELLIPSE.circumference() * PIXEL_SIZE_MM)
    assert event.after.hc_mm == pytest.approx(CORRECTED.circumference() * PIXEL_SIZE_MM)
    assert event.model.sha256 == "ab" * 32
    assert event.calibration == from_table(PIXEL_SIZE_MM)
    assert event.at_utc.utcoffset() is not None


def test_signed_case_is_found_after_reopening_the_store(store_url: str) -> None:
    with ReviewStore(store_url) as store:
        case_id = store.register_case(new_case(1), "ann").case_id
        store.append(case_id, 1, ReviewAction.ACCEPT, "ann")
        signed = store.append(case_id, 2, ReviewAction.SIGN, "ann")
    with ReviewStore(store_url) as store:
        assert store.state(case_id) == signed
        assert signed.signed_by == "ann"


def test_second_reviewer_does_not_overwrite_the_first(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "ann").case_id
    store.append(case_id, 1, ReviewAction.CORRECT, "ann", ellipse_px=CORRECTED)
    with pytest.raises(ReviewConflict, match=r"ann: correct at \d{4}-\d\d-\d\dT.* UTC"):
        store.append(case_id, 1, ReviewAction.ACCEPT, "bob")
    assert store.state(case_id).outline.ellipse_px == CORRECTED


def test_revision_from_the_future_is_refused(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "ann").case_id
    with pytest.raises(ReviewConflict, match="1 revisions, not 7"):
        store.append(case_id, 7, ReviewAction.ACCEPT, "ann")


def test_case_is_amended_once_it_was_reopened(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "ann").case_id
    store.append(case_id, 1, ReviewAction.ACCEPT, "ann")
    assert not store.append(case_id, 2, ReviewAction.SIGN, "ann").was_amended
    assert store.append(case_id, 3, ReviewAction.REOPEN, "bob", reason="wrong plane").was_amended
    store.append(case_id, 4, ReviewAction.REJECT, "bob", reason="wrong plane")
    state = store.append(case_id, 5, ReviewAction.SIGN, "bob")
    assert state.was_amended
    assert (state.decision, state.outline.ellipse_px, state.signed_by) == (Decision.REJECTED, None, "bob")


def test_new_calibration_changes_millimetres_and_nothing_else(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1, calibration=uncalibrated("no table")), "ann").case_id
    store.append(case_id, 1, ReviewAction.CORRECT, "ann", ellipse_px=CORRECTED)
    state = store.append(case_id, 2, ReviewAction.CALIBRATE, "ann", calibration=from_user((1.0, 1.25), "ann"))
    assert state.outline.ellipse_px == CORRECTED
    assert state.outline.hc_mm == pytest.approx(CORRECTED.to_mm(1.0, 1.25).circumference())
    assert state.model_outline.hc_mm == pytest.approx(MODEL_ELLIPSE.to_mm(1.0, 1.25).circumference())
    assert state.decision is Decision.CORRECTED


def test_implausible_flag_follows_the_calibration(store: ReviewStore) -> None:
    found = measurement(flags=("touches_border",))
    case_id = store.register_case(new_case(1, found=found), "ann").case_id
    assert store.state(case_id).flags == ("touches_border",)
    state = store.append(case_id, 1, ReviewAction.CALIBRATE, "ann", calibration=from_user(0.05))  # HC 5.5 mm
    assert state.flags == ("touches_border", "implausible_hc")


def test_age_is_kept_with_the_case(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "ann").case_id
    age = IndependentAge(150.0, "crown-rump length")
    assert store.append(case_id, 1, ReviewAction.SET_AGE, "ann", age=age).age == age
    assert store.append(case_id, 2, ReviewAction.ACCEPT, "ann").age == age


def test_new_model_measures_an_undecided_case_again(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "ann").case_id
    newer = measurement(CORRECTED, model=ModelVersion("hc18", "2", "cd" * 32))
    mask = SoftMask(np.zeros(4, np.float32), np.ones((2, 2), np.float32))
    state = store.append(case_id, 1, ReviewAction.MEASURED, "ann", measurement=newer, soft_mask=mask)
    assert (state.measurement, state.model_outline.ellipse_px) == (newer, CORRECTED)
    assert store.soft_mask(case_id) is not None


def test_refused_action_leaves_no_event(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "ann").case_id
    with pytest.raises(ReviewRefused):
        store.append(case_id, 1, ReviewAction.SIGN, "ann")
    assert len(store.events(case_id)) == 1
    assert store.verify().problems == ()


def test_label_is_neutral_unless_given_and_can_be_changed(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "ann").case_id
    assert store.case(case_id).label == f"Case {case_id}"
    store.set_label(case_id, "  twin\x00 A\n\ud800 " + "x" * 200)
    assert store.case(case_id).label == ("twin A " + "x" * 200)[:80]
    store.set_label(case_id, " ")
    assert store.case(case_id).label == f"Case {case_id}"
    assert store.verify().problems == ()


def test_many_cases_are_read_as_each_alone_in_the_order_asked_for(store: ReviewStore) -> None:
    ids = [store.register_case(new_case(number), "ann").case_id for number in range(5)]
    store.append(ids[3], 1, ReviewAction.CORRECT, "bob", ellipse_px=CORRECTED)
    store.set_label(ids[3], "twin A")
    wanted = [ids[3], ids[0], ids[4], ids[3], ids[1]]
    assert list(store.cases(wanted, cases_per_read=2)) == [store.case(case_id) for case_id in wanted]
    assert list(store.cases([])) == []
    with pytest.raises(StoreError, match="no case 99"):
        list(store.cases([ids[0], 99]))


def test_any_text_a_reviewer_types_is_kept(store: ReviewStore) -> None:
    case_id = store.register_case(new_case(1), "Änne 李").case_id
    reason = "quote ' \" \\ ; DROP TABLE cases; -- \x00 \ud800 =cmd()"
    store.append(case_id, 1, ReviewAction.REJECT, "Änne 李", reason=reason)
    assert store.events(case_id)[1].reason == reason
    assert store.state(case_id).reviewer == "Änne 李"


def test_unknown_case_is_a_sentence(store: ReviewStore) -> None:
    for call in (store.state, store.events, store.case, store.image):
        with pytest.raises(StoreError, match="case 99"):
            call(99)
    with pytest.raises(StoreError, match="no case 99"):
        store.append(99, 1, ReviewAction.ACCEPT, "ann")
    with pytest.raises(StoreError, match="no case 99"):
        store.set_label(99, "x")


@pytest.mark.parametrize(("reviewer", "reason"), [(" \n", ""), ("x" * 201, ""), ("ann", "x" * 2001)])
def test_names_and_reasons_have_bounds(sqlite_store: ReviewStore, reviewer: str, reason: str) -> None:
    case_id = sqlite_store.register_case(new_case(1), "ann").case_id
    with pytest.raises(ReviewRefused, match=r"name|characters"):
        sqlite_store.append(case_id, 1, ReviewAction.ACCEPT, reviewer, reason=reason)


def test_case_cannot_be_registered_by_nobody(sqlite_store: ReviewStore) -> None:
    with pytest.raises(ReviewRefused, match="no reviewer"):
        sqlite_store.register_case(new_case(1), "")


def test_batch_is_registered_completely_or_not_at_all(sqlite_store: ReviewStore) -> None:
    huge = Ellipse(1e308, 0.0, 1e308, 1e308, 0.0)  # its circumference is infinite, which no JSON holds
    with pytest.raises(ValueError, match="JSON"):
        sqlite_store.register_cases([new_case(1), new_case(2, found=measurement(huge))], "ann")
    assert sqlite_store.progress().n_cases == 0


def test_new_file_is_readable_by_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "reviews.db"
    with ReviewStore(str(path)) as store:
        store.register_case(new_case(1), "ann")
        assert {stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()} == {0o600}
