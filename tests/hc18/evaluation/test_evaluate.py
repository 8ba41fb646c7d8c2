"""Scores of a submission against the labelled images."""

import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from fetal_hc.errors import DatasetError
from fetal_hc.io.coco import read_coco, write_coco
from hc18.dataset.convert import VAL_FILE, convert_hc18
from hc18.dataset.submission import write_submission
from hc18.evaluation.evaluate import ReferenceCase, evaluate, evaluate_submission, score_case
from hc18.evaluation.score_summary import trimester_of
from hc18.geometry.ellipse import Ellipse
from tests.synthetic_hc18 import ELLIPSES, PIXEL_SIZE_MM, hc_mm, write_hc18_folder


def circle(hc_mm: float, center_x: float = 80.0) -> Ellipse:
    radius = hc_mm / (2 * math.pi)
    return Ellipse(center_x, 60.0, radius, radius, 0.0)


def references(*values_mm: float) -> list[ReferenceCase]:
    return [ReferenceCase(f"{index:03d}_HC.png", circle(value), value) for index, value in enumerate(values_mm)]


def predictions(*values_mm: float | None) -> dict[str, Ellipse | None]:
    return {f"{index:03d}_HC.png": None if value is None else circle(value) for index, value in enumerate(values_mm)}


@pytest.mark.parametrize(
    ("hc_mm", "trimester"),
    [(44.3, "first"), (97.89, "first"), (97.9, "second"), (260.4, "second"), (260.41, "third"), (346.4, "third")],
)
def test_trimester_follows_from_the_reference_circumference(hc_mm: float, trimester: str) -> None:
    assert trimester_of(hc_mm) == trimester


def test_case_is_scored_against_the_table_and_the_ellipse() -> None:
    reference = ReferenceCase("000_HC.png", circle(180.0), 181.0)
    score = score_case(reference, circle(183.0))
    assert score.predicted_hc_mm == pytest.approx(183.0)
    assert score.difference_mm == pytest.approx(2.0)  # against the table's 181
    assert score.dice == pytest.approx(2 * 180**2 / (180**2 + 183**2), abs=1e-6)  # against the ellipse of 180
    assert score.hausdorff_mm == pytest.approx(3.0 / (2 * math.pi), abs=1e-4)


def test_statistics_of_known_differences() -> None:
    evaluation = evaluate(predictions(101, 98, 203, 200), references(100, 100, 200, 200))
    difference, absolute = evaluation.overall.difference_mm, evaluation.overall.absolute_difference_mm
    assert difference is not None
    assert absolute is not None
    values = [1.0, -2.0, 3.0, 0.0]
    assert difference.mean == pytest.approx(0.5)
    assert difference.sd == pytest.approx(np.std(values, ddof=1))
    assert (absolute.median, absolute.q25, absolute.q75) == pytest.approx((1.5, 0.75, 2.25))
    assert (absolute.p95, absolute.min, absolute.max) == pytest.approx((2.85, 0.0, 3.0), abs=1e-9)


def test_failed_case_is_counted_and_leaves_the_mean_alone() -> None:
    evaluation = evaluate(predictions(101, None, 203), references(100, 100, 200, 90))
    assert (evaluation.overall.n_scored, evaluation.overall.n_failed) == (2, 2)
    assert evaluation.failed == ("001_HC.png", "003_HC.png")
    assert evaluation.overall.difference_mm is not None
    assert evaluation.overall.difference_mm.mean == pytest.approx(2.0)


def test_trimesters_are_summarised_apart() -> None:
    evaluation = evaluate(predictions(61, 151, 152, None), references(60, 150, 150, 300))
    groups = {name: (group.n_scored, group.n_failed) for name, group in evaluation.trimesters.items()}
    assert groups == {"first": (1, 0), "second": (2, 0), "third": (0, 1)}
    assert evaluation.trimesters["second"].difference_mm is not None
    assert evaluation.trimesters["second"].difference_mm.mean == pytest.approx(1.5)


def test_unknown_spread_and_empty_groups_are_not_numbers() -> None:
    evaluation = evaluate(predictions(61), references(60))
    assert evaluation.overall.dice is not None
    assert evaluation.overall.dice.sd is None
    assert evaluation.trimesters["third"].dice is None


def test_prediction_without_reference_is_refused() -> None:
    with pytest.raises(DatasetError, match=r"'001_HC.png' has no reference"):
        evaluate(predictions(100, 100), references(100))


def test_nothing_to_evaluate_is_refused() -> None:
    with pytest.raises(DatasetError, match="no reference case"):
        evaluate({}, [])


def test_worst_cases_come_first() -> None:
    evaluation = evaluate(predictions(101, 95, None, 203), references(100, 100, 100, 200))
    assert [case.filename for case in evaluation.worst(2)] == ["001_HC.png", "003_HC.png"]


def test_json_holds_every_case_and_only_finite_numbers() -> None:
    evaluation = evaluate(predictions(101, None), references(100, 300))
    restored = json.loads(json.dumps(evaluation.to_json(), allow_nan=False))
    assert restored["overall"]["n_failed"] == 1
    assert restored["failed"] == ["001_HC.png"]
    assert restored["cases"][0]["trimester"] == "second"
    assert restored["cases"][1]["difference_mm"] is None
    assert restored["trimester_hc_limits_mm"] == [97.9, 260.4]


def test_table_shows_counts_metrics_worst_and_failed_cases() -> None:
    table = evaluate(predictions(101, None), references(100, 300)).to_table()
    lines = table.splitlines()
    assert lines[0].split() == [
        "group",
        "scored",
        "failed",
        "metric",
        "mean",
        "SD",
        "median",
        "q25",
        "q75",
        "p95",
        "min",
        "max",
    ]
    assert lines[2].split() == ["all", "1", "1", "DF", "mm", "1.00", "-", *["1.00"] * 6]
    assert lines[4].split()[:3] == ["DSC", "%", "99.00"]
    assert "third         0      1  no case scored" in table
    assert "failed, no prediction: 001_HC.png" in table
    assert "000_HC.png +1.00 mm" in table


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_hc18_folder(tmp_path / "hc18")


def write_perfect_submission(path: Path, names: list[str]) -> Path:
    write_submission(path, {name: ELLIPSES[name].to_mm(PIXEL_SIZE_MM, PIXEL_SIZE_MM) for name in names}, names)
    return path


def test_true_ellipses_score_almost_perfectly(root: Path, tmp_path: Path) -> None:
    evaluation = evaluate_submission(write_perfect_submission(tmp_path / "s.csv", list(ELLIPSES)), root)
    assert (evaluation.overall.n_scored, evaluation.overall.n_failed) == (5, 0)
    for case in evaluation.cases:
        assert case.hc_mm == pytest.approx(hc_mm(ELLIPSES[case.filename]), abs=0.005)
        assert case.difference_mm == pytest.approx(0.0, abs=0.006)
        assert case.dice is not None
        assert case.dice > 0.998
        assert case.hausdorff_mm is not None
        assert case.hausdorff_mm < 0.06


def test_quarter_turn_shows_in_overlap_only(root: Path, tmp_path: Path) -> None:
    name = "000_HC.png"
    truth = ELLIPSES[name].to_mm(PIXEL_SIZE_MM, PIXEL_SIZE_MM)
    write_submission(tmp_path / "s.csv", {name: replace(truth, angle_rad=truth.angle_rad + math.pi / 2)}, [name])
    case = evaluate_submission(tmp_path / "s.csv", root).cases[0]
    assert case.difference_mm == pytest.approx(0.0, abs=0.006)
    assert case.dice is not None
    assert case.dice < 0.9


def test_labelled_images_without_a_row_are_failures(root: Path, tmp_path: Path) -> None:
    evaluation = evaluate_submission(write_perfect_submission(tmp_path / "s.csv", ["002_HC.png"]), root)
    assert (evaluation.overall.n_scored, evaluation.overall.n_failed) == (1, 4)


def test_subset_evaluates_only_its_images_and_counts_the_rest(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path, n_folds=2)
    names = [image.file_name for image in read_coco(tmp_path / VAL_FILE).images]
    submission = write_perfect_submission(tmp_path / "s.csv", [name for name in ELLIPSES if name != names[0]])
    evaluation = evaluate_submission(submission, root, subset=tmp_path / VAL_FILE)
    assert {case.filename for case in evaluation.cases} == set(names)
    assert evaluation.failed == (names[0],)
    assert evaluation.n_ignored == len(ELLIPSES) - len(names)
    assert f"left out: {evaluation.n_ignored} rows" in evaluation.to_table()


def test_subset_may_name_images_with_their_folder(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path, n_folds=2)
    dataset = read_coco(tmp_path / VAL_FILE)
    moved = [replace(image, file_name=f"../training_set/{image.file_name}") for image in dataset.images]
    write_coco(tmp_path / "fold.json", replace(dataset, images=tuple(moved)))
    submission = write_perfect_submission(tmp_path / "s.csv", list(ELLIPSES))
    plain, nested = (evaluate_submission(submission, root, subset=tmp_path / name) for name in (VAL_FILE, "fold.json"))
    assert nested == plain


def test_row_of_an_unlabelled_image_is_refused(root: Path, tmp_path: Path) -> None:
    write_submission(tmp_path / "s.csv", {"999_HC.png": circle(100)}, ["999_HC.png"])
    with pytest.raises(DatasetError, match=r"'999_HC.png' is not a labelled image"):
        evaluate_submission(tmp_path / "s.csv", root)
