"""HC18 folder to COCO JSON."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from pycocotools import mask as coco_mask
from pycocotools.coco import COCO

from fetal_hc.errors import ConfigError, DatasetError, FetalHCError
from fetal_hc.io.coco import read_coco, resolve_image_path
from fetal_hc.io.masks import polygon_area
from fetal_hc.io.records import CocoAnnotation, CocoImage
from fetal_hc.io.tables import read_table
from hc18.dataset.convert import FOLDS_FILE, REPORT_FILE, TRAIN_FILE, VAL_FILE, clip_to_image, convert_hc18
from hc18.geometry.ellipse import Ellipse
from tests.synthetic_hc18 import (
    ELLIPSES,
    IMAGE_HW,
    PIXEL_SIZE_MM,
    annotation_path,
    draw_disc,
    hc_mm,
    replace_in_table,
    save_png,
    training_table,
    write_hc18_folder,
)

OUTPUTS = (TRAIN_FILE, VAL_FILE, FOLDS_FILE, REPORT_FILE)
CUT = Ellipse(80.0, 30.0, 55.0, 42.0, 0.2)  # leaves the image at the top


def read_folds(path: Path) -> dict[str, int]:
    table = read_table(path, ["filename", "fold"])
    return {name: int(fold) for _, name, fold in table.cells.itertuples(name=None)}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_hc18_folder(tmp_path / "hc18")


def read_heads(folder: Path) -> dict[str, tuple[CocoImage, CocoAnnotation]]:
    """Image and annotation record of every file name, of both splits."""
    heads = {}
    for name in (TRAIN_FILE, VAL_FILE):
        dataset = read_coco(folder / name)
        annotations = {annotation.image_id: annotation for annotation in dataset.annotations}
        assert len(annotations) == len(dataset.annotations) == len(dataset.images)
        heads.update({image.file_name: (image, annotations[image.id]) for image in dataset.images})
    return heads


def polygon_of(annotation: CocoAnnotation) -> np.ndarray:
    assert isinstance(annotation.segmentation, list)
    return np.array(annotation.segmentation[0]).reshape(-1, 2)


def test_every_image_is_in_one_split_with_its_own_id(root: Path, tmp_path: Path) -> None:
    report = convert_hc18(root, tmp_path / "out", n_folds=2, val_fold=1)
    heads = read_heads(tmp_path / "out")
    assert set(heads) == set(ELLIPSES)
    assert len({image.id for image, _ in heads.values()}) == len(ELLIPSES)
    assert (report.n_images, report.n_examinations, report.n_train + report.n_val) == (5, 4, 5)


def test_validation_holds_the_fold_asked_for_and_no_examination_of_training(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path, n_folds=4, val_fold=2)
    folds = read_folds(tmp_path / FOLDS_FILE)
    val, train = (read_coco(tmp_path / name).images for name in (VAL_FILE, TRAIN_FILE))
    assert {image.file_name for image in val} == {name for name, fold in folds.items() if fold == 2}
    assert not {image.extra["examination"] for image in val} & {image.extra["examination"] for image in train}


def test_image_record_holds_calibration_and_reference(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path, n_folds=2)
    image, _ = read_heads(tmp_path)["001_2HC.png"]
    assert (image.height, image.width) == IMAGE_HW
    assert image.extra == {
        "pixel_size_mm": PIXEL_SIZE_MM,
        "hc_mm": round(hc_mm(ELLIPSES["001_2HC.png"]), 2),
        "examination": "001",
        "fold": read_folds(tmp_path / FOLDS_FILE)["001_2HC.png"],
    }


def test_ellipse_is_stored_with_pixel_centres_and_polygon_in_the_corner_convention(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path, n_folds=2)
    for name, (_, annotation) in read_heads(tmp_path).items():
        stored = Ellipse(**annotation.extra["ellipse_px"])
        polygon = polygon_of(annotation)
        assert stored.center_x == pytest.approx(ELLIPSES[name].center_x, abs=0.05)
        assert stored.semi_axis_a == pytest.approx(ELLIPSES[name].semi_axis_a, abs=0.08)
        assert polygon.mean(axis=0) == pytest.approx((stored.center_x + 0.5, stored.center_y + 0.5), abs=1e-4)
        assert len(polygon) >= 180


def test_area_and_box_are_those_of_the_polygon(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path, n_folds=2)
    for name, (_, annotation) in read_heads(tmp_path).items():
        polygon = polygon_of(annotation)
        assert annotation.area == pytest.approx(abs(polygon_area(polygon)), abs=1e-3)
        assert annotation.area == pytest.approx(ELLIPSES[name].area(), rel=2e-3)
        assert annotation.bbox_xywh == pytest.approx((*polygon.min(axis=0), *np.ptp(polygon, axis=0)), abs=1e-3)
        assert np.array_equal(polygon, np.round(polygon, 4))


def test_head_that_leaves_the_image_has_a_cut_polygon_and_a_whole_ellipse(tmp_path: Path) -> None:
    root = write_hc18_folder(tmp_path / "hc18", {**ELLIPSES, "010_HC.png": CUT})
    report = convert_hc18(root, tmp_path, n_folds=2)
    _, annotation = read_heads(tmp_path)["010_HC.png"]
    polygon = polygon_of(annotation)
    assert annotation.extra["touches_border"] is True
    assert annotation.bbox_xywh[1] == 0.0
    assert polygon[:, 1].min() == 0.0
    assert annotation.area < 0.95 * CUT.area()
    assert Ellipse(**annotation.extra["ellipse_px"]).center_y == pytest.approx(CUT.center_y, abs=0.3)
    assert [problem.kind for problem in report.problems] == ["unclosed_outline"]


def test_pycocotools_loads_both_files_and_masks_have_the_stated_area(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path, n_folds=2)
    for name in (TRAIN_FILE, VAL_FILE):
        coco = COCO(tmp_path / name)
        assert coco.cats == {1: {"id": 1, "name": "head"}}
        for annotation in coco.anns.values():
            assert coco_mask.area(coco.annToRLE(annotation)) == pytest.approx(annotation["area"], rel=0.01)


def test_image_folder_is_found_from_the_json(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path / "a" / "b", n_folds=2)
    path = tmp_path / "a" / "b" / TRAIN_FILE
    dataset = read_coco(path)
    assert dataset.info["image_root"] == "../../hc18/training_set"
    assert all(resolve_image_path(path, dataset, image).is_file() for image in dataset.images)


def test_same_options_give_the_same_bytes(root: Path, tmp_path: Path) -> None:
    convert_hc18(root, tmp_path / "out", n_folds=2)
    before = {name: (tmp_path / "out" / name).read_bytes() for name in OUTPUTS}
    convert_hc18(root, tmp_path / "out", n_folds=2)
    assert {name: (tmp_path / "out" / name).read_bytes() for name in OUTPUTS} == before
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == sorted(OUTPUTS)


def test_ids_do_not_depend_on_the_split(root: Path, tmp_path: Path) -> None:
    identifiers = []
    for val_fold in (0, 1):
        convert_hc18(root, tmp_path, n_folds=2, val_fold=val_fold)
        identifiers.append({name: image.id for name, (image, _) in read_heads(tmp_path).items()})
    assert identifiers[0] == identifiers[1]


def test_report_counts_and_warns(root: Path, tmp_path: Path) -> None:
    save_png(annotation_path(root, "002_HC.png"), draw_disc(ELLIPSES["002_HC.png"]))
    convert_hc18(root, tmp_path, n_folds=2)
    report = json.loads((tmp_path / REPORT_FILE).read_text(encoding="utf-8"))
    assert (report["n_images"], sum(report["images_per_fold"]), report["seed"]) == (5, 5, 0)
    assert report["hc_difference_mm"]["max_abs"] < 0.2
    assert [problem["kind"] for problem in report["problems"]] == ["filled_disc"]
    assert read_heads(tmp_path)["002_HC.png"][1].extra["drawing"] == "disc"


def test_fatal_problem_leaves_nothing_behind(root: Path, tmp_path: Path) -> None:
    replace_in_table(training_table(root), "000_HC.png,0.5", "000_HC.png,0")
    with pytest.raises(DatasetError, match="row 2, 'pixel size"):
        convert_hc18(root, tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(("n_folds", "val_fold"), [(5, 5), (5, -1), (0, 0)])
def test_impossible_validation_fold_is_refused(root: Path, tmp_path: Path, n_folds: int, val_fold: int) -> None:
    with pytest.raises(ConfigError, match=f"val_fold is {val_fold}"):
        convert_hc18(root, tmp_path / "out", n_folds=n_folds, val_fold=val_fold)


def test_more_folds_than_examinations_are_refused(root: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected 2 to 4, the number of examinations"):
        convert_hc18(root, tmp_path / "out", n_folds=5)


def test_output_that_is_a_file_is_one_clear_error(root: Path, tmp_path: Path) -> None:
    (tmp_path / "out").write_text("", encoding="utf-8")
    with pytest.raises(FetalHCError, match="cannot be written"):
        convert_hc18(root, tmp_path / "out", n_folds=2)


def test_polygon_inside_is_not_changed() -> None:
    polygon = ELLIPSES["000_HC.png"].outline(180)
    assert np.array_equal(clip_to_image(polygon, IMAGE_HW), polygon)


def test_circle_over_a_corner_keeps_its_quarter() -> None:
    polygon = Ellipse(0.0, 0.0, 50.0, 50.0, 0.0).outline(720)
    clipped = clip_to_image(polygon, IMAGE_HW)
    assert abs(polygon_area(clipped)) == pytest.approx(math.pi * 2500 / 4, rel=1e-4)
    assert clipped.min() == 0.0


def test_polygon_larger_than_the_image_becomes_the_image() -> None:
    clipped = clip_to_image(Ellipse(80.0, 60.0, 900.0, 900.0, 0.0).outline(360), IMAGE_HW)
    assert abs(polygon_area(clipped)) == pytest.approx(IMAGE_HW[0] * IMAGE_HW[1])
    assert (tuple(clipped.min(axis=0)), tuple(clipped.max(axis=0))) == ((0.0, 0.0), (160.0, 120.0))


def test_polygon_outside_becomes_empty() -> None:
    assert clip_to_image(Ellipse(-300.0, 60.0, 50.0, 40.0, 0.0).outline(180), IMAGE_HW).shape == (0, 2)
