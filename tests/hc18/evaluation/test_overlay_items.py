"""Cases of a gallery: references from HC18 folders and COCO files, predictions from files and models."""

from pathlib import Path

import numpy as np
import pytest

from fetal_hc.errors import DatasetError
from hc18.dataset.convert import convert_hc18
from hc18.evaluation.overlay_items import (
    OverlayItem,
    read_coco_cases,
    read_folder_cases,
    read_hc18_cases,
    with_details,
    with_model,
    with_submission,
    worst_first,
)
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.batches import MeasureSettings, measure_batch
from hc18.measurement.pixel_size_rules import open_source
from hc18.measurement.worker import MeasureWork
from hc18.phantoms.folder import SMALL_IMAGE_HW, PhantomCase, write_phantom_folder
from tests.synthetic_heads import HeadFolder, write_head_folder


@pytest.fixture(scope="module")
def hc18_root(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[PhantomCase]]:
    """A small HC18 folder of phantoms and what was drawn."""
    root = tmp_path_factory.mktemp("hc18")
    return root, write_phantom_folder(root, 4, 0, seed=1, image_hw=SMALL_IMAGE_HW, overwrite=True)


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory, bright_model: Path) -> tuple[HeadFolder, Path]:
    """A folder of heads and the folder of its submission s.csv and details d.csv."""
    root = tmp_path_factory.mktemp("scored")
    heads = write_head_folder(root / "data", 3)
    settings = MeasureSettings(model=bright_model, runner="serial")
    measure_batch(open_source(heads.images, heads.pixel_sizes), root / "s.csv", root / "d.csv", settings)
    return heads, root


def test_hc18_folder(hc18_root: tuple[Path, list[PhantomCase]]) -> None:
    root, drawn = hc18_root
    cases = read_hc18_cases(root)
    assert [case.file_name for case in cases] == [case.filename for case in drawn]
    for case, truth in zip(cases, drawn, strict=True):
        (outline,) = case.truth_outlines_xy
        np.testing.assert_allclose(outline.mean(axis=0), _center(truth.spec.ellipse), atol=1.0)
        assert case.truth_hc_mm is not None


def _center(ellipse: Ellipse) -> tuple[float, float]:
    return ellipse.center_x, ellipse.center_y


def test_names_and_limit_choose_images(hc18_root: tuple[Path, list[PhantomCase]]) -> None:
    root, drawn = hc18_root
    assert len(read_hc18_cases(root, limit=2)) == 2
    assert [case.file_name for case in read_hc18_cases(root, names=[drawn[2].filename])] == [drawn[2].filename]
    with pytest.raises(DatasetError, match=r"has no gone\.png"):
        read_hc18_cases(root, names=["gone.png"])


def test_coco_outlines_lie_where_those_of_the_folder_do(
    hc18_root: tuple[Path, list[PhantomCase]], tmp_path: Path
) -> None:
    root, _ = hc18_root
    convert_hc18(root, tmp_path, n_folds=2, val_fold=0)
    by_name = {case.file_name: case for case in read_hc18_cases(root)}
    cases = read_coco_cases(tmp_path / "hc18_train.json") + read_coco_cases(tmp_path / "hc18_val.json")
    assert len(cases) == len(by_name)
    for case in cases:
        reference = by_name[case.file_name]
        assert case.image_path.samefile(reference.image_path)
        assert (case.pixel_size_mm, case.truth_hc_mm) == (reference.pixel_size_mm, reference.truth_hc_mm)
        box = np.concatenate([case.truth_outlines_xy[0].min(axis=0), case.truth_outlines_xy[0].max(axis=0)])
        outline = reference.truth_outlines_xy[0]
        np.testing.assert_allclose(box, np.concatenate([outline.min(axis=0), outline.max(axis=0)]), atol=0.1)


def test_folder_without_references(scored: tuple[HeadFolder, Path]) -> None:
    heads, _ = scored
    cases = read_folder_cases(heads.images, heads.pixel_sizes)
    assert [case.file_name for case in cases] == list(heads.ellipses_px)
    assert cases[0].pixel_size_mm == heads.pixel_sizes_mm[cases[0].file_name]
    assert cases[0].truth_outlines_xy == ()


@pytest.mark.parametrize("kind", ["submission", "details", "model"])
def test_predictions_of_every_kind_are_the_same_ellipse(
    scored: tuple[HeadFolder, Path], bright_model: Path, kind: str
) -> None:
    heads, root = scored
    cases = read_folder_cases(heads.images, heads.pixel_sizes)
    if kind == "submission":
        cases = with_submission(cases, root / "s.csv")
    elif kind == "details":
        cases = with_details(cases, root / "d.csv")
    else:
        cases = with_model(cases, MeasureWork(bright_model, 1, 0.5))
    for case in cases:
        truth = heads.ellipses_px[case.file_name]
        assert case.predicted_px is not None
        assert case.predicted_px.center_x == pytest.approx(truth.center_x, abs=0.2)
        assert case.predicted_px.circumference() == pytest.approx(truth.circumference(), rel=3e-3)
        assert case.predicted_hc_mm == pytest.approx(heads.hc_mm(case.file_name), rel=3e-3)


def test_image_without_prediction_has_a_note(scored: tuple[HeadFolder, Path], tmp_path: Path) -> None:
    heads, root = scored
    cases = read_folder_cases(heads.images, heads.pixel_sizes)
    for name, add in (("s.csv", with_submission), ("d.csv", with_details)):
        lines = (root / name).read_text().splitlines(keepends=True)
        (tmp_path / name).write_text("".join(lines[:-1]))
        last = add(cases, tmp_path / name)[-1]
        assert last.predicted_px is None
        assert last.note.startswith("no row in")


def test_predictions_of_other_images_are_refused(
    scored: tuple[HeadFolder, Path], hc18_root: tuple[Path, list[PhantomCase]], tmp_path: Path
) -> None:
    _, root = scored
    (tmp_path / "s.csv").write_text((root / "s.csv").read_text().replace("_HC.png", "_other.png"))
    with pytest.raises(DatasetError, match="none of its 3 rows belongs to the 4 images"):
        with_submission(read_hc18_cases(hc18_root[0]), tmp_path / "s.csv")


def test_submission_without_pixel_size_is_not_drawn(scored: tuple[HeadFolder, Path]) -> None:
    _, root = scored
    (case,) = with_submission([OverlayItem("000_HC.png", Path("000_HC.png"))], root / "s.csv")
    assert case.predicted_px is None
    assert "no pixel size" in case.note


def test_worst_cases_come_first() -> None:
    ellipse = Ellipse(1.0, 1.0, 1.0, 1.0, 0.0)
    missing = OverlayItem("missing", Path(), truth_hc_mm=100.0)
    small = OverlayItem("small", Path(), truth_hc_mm=100.0, predicted_px=ellipse, predicted_hc_mm=101.0)
    large = OverlayItem("large", Path(), truth_hc_mm=100.0, predicted_px=ellipse, predicted_hc_mm=90.0)
    unknown = OverlayItem("unknown", Path(), predicted_px=ellipse, predicted_hc_mm=90.0)
    assert worst_first([unknown, small, large, missing]) == [missing, large, small, unknown]
