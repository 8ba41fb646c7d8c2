"""The label floor: what the pipeline from drawing to circumference costs without any network."""

from pathlib import Path

import pytest

from experiments.label_floor import MAX_ANNOTATION_ERROR_MM, MAX_MASK_ERROR_MM, main, mask_hc
from hc18.dataset.folder import read_training_set
from tests.synthetic_hc18 import write_hc18_folder

# Closed and open outlines, heads at the border, small and large images.
SAMPLE = ("000_HC.png", "010_HC.png", "186_HC.png", "346_HC.png", "677_HC.png", "787_HC.png")


def test_polygon_mask_and_fit_return_the_drawn_circumference(tmp_path: Path) -> None:
    for case in read_training_set(write_hc18_folder(tmp_path / "hc18")):
        assert mask_hc(case) == pytest.approx(case.fitted_hc_mm, abs=0.03)


def test_real_annotations_reproduce_the_table(real_hc18_root: Path) -> None:
    present = {path.name for path in (real_hc18_root / "training_set").iterdir()}
    cases = read_training_set(real_hc18_root, names=present.intersection(SAMPLE))
    assert cases
    for case in cases:
        assert case.fitted_hc_mm == pytest.approx(case.hc_mm, abs=MAX_ANNOTATION_ERROR_MM)
        assert mask_hc(case) == pytest.approx(case.fitted_hc_mm, abs=MAX_MASK_ERROR_MM)


def test_missing_folder_is_bad_input(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--root", str(tmp_path / "none")]) == 2
    assert "none" in capsys.readouterr().err
