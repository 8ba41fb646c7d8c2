"""Folders of images on the app's computer."""

import shutil
from pathlib import Path

import pytest

from fetal_hc.errors import DatasetError
from fetal_hc_app.batches import import_images, open_batch
from fetal_hc_app.resources import model
from fetal_hc_cli.score import main as score
from hc18.dataset.pixel_size_table import read_pixel_sizes
from hc18.reviews.measuring import Model, Sizes
from hc18.reviews.store import ReviewStore
from tests.app.conftest import Phantoms

NO_SIZES = Sizes({}, None, "")


@pytest.fixture(scope="module")
def network() -> Model:
    return model()


def test_folder_without_results_is_measured(
    store: ReviewStore, network: Model, phantoms: Phantoms, tmp_path: Path
) -> None:
    for image in phantoms.images[:2]:
        shutil.copy(image, tmp_path / image.name)
        shutil.copy(phantoms.annotation(image), tmp_path)
    (tmp_path / "broken.png").write_bytes(b"no image")
    table = {row.filename: row for row in read_pixel_sizes(phantoms.table)}
    steps = list(
        import_images(open_batch(str(tmp_path), "", None), store, network, Sizes(table, None, ""), "Dr. Batch")
    )
    assert {step.name: bool(step.problem) for step in steps} == {
        **{image.name: False for image in phantoms.images[:2]},
        "broken.png": True,
    }
    for row in store.rows():
        assert row.model_hc_mm == pytest.approx(phantoms.hc_mm[phantoms.images[row.case_id - 1].name], rel=0.06)


def test_scored_batch_keeps_its_values(store: ReviewStore, network: Model, phantoms: Phantoms, tmp_path: Path) -> None:
    details = tmp_path / "details.csv"
    images = phantoms.images[0].parent
    options = ["--images", str(images), "--pixel-sizes", str(phantoms.table), "--runner", "serial"]
    assert score([*options, "--output", str(tmp_path / "submission.csv"), "--details", str(details)]) == 0
    steps = list(import_images(open_batch(str(details), str(images), None), store, network, NO_SIZES, "Dr. Batch"))
    assert [step.problem for step in steps if step.name in phantoms.hc_mm] == [""] * 3
    found = sorted(row.model_hc_mm or 0.0 for row in store.rows())
    assert found == pytest.approx(sorted(phantoms.hc_mm.values()), rel=0.06)


@pytest.mark.parametrize(("source", "sentence"), [("", "Type the path"), ("/no/such/folder", "no such file")])
def test_wrong_path_is_refused(source: str, sentence: str) -> None:
    with pytest.raises(DatasetError, match=sentence):
        open_batch(source, "", None)


def test_only_the_operators_folder_may_be_opened(tmp_path: Path) -> None:
    inside, outside = tmp_path / "in", tmp_path / "out"
    inside.mkdir()
    outside.mkdir()
    (inside / "link").symlink_to(outside)
    assert open_batch(str(inside), "", inside).folder == inside
    for source in (outside, inside / ".." / "out", inside / "link"):
        with pytest.raises(DatasetError, match="Only folders below"):
            open_batch(str(source), "", inside)


def test_images_with_the_same_pixels_are_named(
    store: ReviewStore, network: Model, phantoms: Phantoms, tmp_path: Path
) -> None:
    for name in ("a.png", "b.png"):
        shutil.copy(phantoms.images[0], tmp_path / name)
    steps = list(import_images(open_batch(str(tmp_path), "", None), store, network, NO_SIZES, "Dr. Batch"))
    assert [(step.name, step.problem, step.same_as) for step in steps] == [("a.png", "", ""), ("b.png", "", "a.png")]
    assert store.progress().n_cases == 1
