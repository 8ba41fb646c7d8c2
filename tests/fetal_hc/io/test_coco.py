"""COCO files: round trip, and every problem reported at once."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from pycocotools.coco import COCO

from fetal_hc.errors import DatasetError
from fetal_hc.io.coco import read_coco, resolve_image_path, write_coco
from fetal_hc.io.records import CocoAnnotation, CocoCategory, CocoDataset, CocoImage

POLYGON = [10.25, 5.0, 30.5, 5.0, 30.5, 25.0]
DATASET = CocoDataset(
    images=(
        CocoImage(1, "010_HC.png", 540, 800, {"pixel_size_mm": 0.1, "hc_mm": 170.5}),
        CocoImage(2, "010_2HC.png", 538, 741),
    ),
    annotations=(
        CocoAnnotation(1, 1, 1, (10.25, 5.0, 20.25, 20.0), 202.5, [POLYGON], 0, {"touches_border": False}),
        CocoAnnotation(2, 2, 1, (0.0, 0.0, 2.0, 2.0), 4.0, {"size": [2, 2], "counts": "04"}, 1),
        CocoAnnotation(3, 2, 1, (0.0, 0.0, 2.0, 2.0), 4.0, None),
    ),
    categories=(CocoCategory(1, "head"),),
    info={"image_root": "../images", "seed": 3},
)


def document() -> dict[str, Any]:
    """A small COCO file."""
    return {
        "images": [{"id": 1, "file_name": "a.png", "height": 10, "width": 20}],
        "annotations": [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [1, 2, 3, 4]}],
        "categories": [{"id": 1, "name": "head"}],
    }


def write_json(path: Path, content: object) -> Path:
    path.write_text(json.dumps(content), encoding="utf-8")
    return path


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    write_coco(tmp_path / "a.json", DATASET)
    assert read_coco(tmp_path / "a.json") == DATASET


def test_equal_datasets_give_equal_bytes_whatever_the_order_of_extra_keys(tmp_path: Path) -> None:
    turned = CocoImage(1, "010_HC.png", 540, 800, {"hc_mm": 170.5, "pixel_size_mm": 0.1})
    write_coco(tmp_path / "a.json", DATASET)
    write_coco(
        tmp_path / "b.json",
        CocoDataset((turned, DATASET.images[1]), DATASET.annotations, DATASET.categories, DATASET.info),
    )
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


def test_written_file_loads_in_pycocotools(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_coco(tmp_path / "a.json", DATASET)
    coco = COCO(str(tmp_path / "a.json"))
    capsys.readouterr()
    assert coco.getAnnIds(imgIds=[2]) == [2, 3]
    assert coco.annToMask(coco.anns[1]).sum() == pytest.approx(202.5, abs=25)


def test_area_and_crowd_flag_may_be_missing(tmp_path: Path) -> None:
    annotation = read_coco(write_json(tmp_path / "a.json", document())).annotations[0]
    assert (annotation.area, annotation.iscrowd, annotation.segmentation) == (12.0, 0, None)


def test_image_path_starts_at_the_files_folder() -> None:
    path = resolve_image_path(Path("out/hc18_train.json"), DATASET, DATASET.images[0])
    assert path == Path("out/../images/010_HC.png")


def test_not_finite_numbers_are_not_written(tmp_path: Path) -> None:
    broken = CocoDataset((CocoImage(1, "a.png", 1, 1, {"hc_mm": float("nan")}),), (), ())
    with pytest.raises(DatasetError, match="NaN"):
        write_coco(tmp_path / "a.json", broken)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda d: d["images"][0].pop("height"), r"images\[0\]: key 'height' is missing"),
        (lambda d: d["images"][0].update(width=0), r"images\[0\]: height 10 and width 0"),
        (lambda d: d["images"].append(d["images"][0]), "images: id 1 is used more than once"),
        (lambda d: d["annotations"].append(d["annotations"][0]), "annotations: id 1 is used more than once"),
        (lambda d: d["annotations"][0].update(image_id=7), "annotation 1: image_id 7 does not exist"),
        (lambda d: d["annotations"][0].update(category_id=0), "annotation 1: category_id 0 does not exist"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 3]), r"annotations\[0\]: .*expected a COCO record"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, -3, 4]), "negative side"),
        (lambda d: d["annotations"][0].update(bbox=[1, 2, 0, 4]), r"annotation 1: bbox .* has no area"),
        (
            lambda d: d["annotations"][0].update(bbox=[12, 2, 18, 4]),
            "leaves its image of 20 x 10 px.*top, right, bottom",
        ),
        (lambda d: d["annotations"].append(d["annotations"][0] | {"id": 2}), "annotation 2: .* is also annotation 1"),
        (lambda d: d["images"].append(d["images"][0] | {"id": 2}), r"file name 'a\.png' stands in more than one"),
        (lambda d: d["annotations"][0].update(segmentation=[[1, 2, 3, 4]]), "a polygon has 4 numbers"),
        (lambda d: d["annotations"][0].update(segmentation="x"), "neither a list of polygons nor run lengths"),
        (lambda d: d["categories"][0].update(id="one"), r"categories\[0\]"),
        (lambda d: d.pop("images"), "'images' is not a list"),
    ],
)
def test_each_problem_is_named_with_its_place(
    tmp_path: Path, spoil: Callable[[dict[str, Any]], object], expected: str
) -> None:
    content = document()
    spoil(content)
    with pytest.raises(DatasetError, match=expected) as caught:
        read_coco(write_json(tmp_path / "a.json", content))
    assert "a.json" in str(caught.value)


def test_a_box_may_leave_its_image_by_a_pixel(tmp_path: Path) -> None:
    content = document()
    content["annotations"][0]["bbox"] = [17, 6, 4, 5]
    assert read_coco(write_json(tmp_path / "a.json", content)).annotations[0].bbox_xywh == (17.0, 6.0, 4.0, 5.0)


def test_all_problems_come_in_one_error(tmp_path: Path) -> None:
    content = document()
    content["images"][0].pop("id")
    content["categories"][0].pop("name")
    with pytest.raises(DatasetError) as caught:
        read_coco(write_json(tmp_path / "a.json", content))
    assert len(caught.value.problems) == 2


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"none\.json: cannot be read .*run the converter"):
        read_coco(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("text", "expected"), [("{", "is not JSON"), ("[]", "holds a list"), ("[" * 9_999, "nested too deeply")]
)
def test_other_content_is_refused(tmp_path: Path, text: str, expected: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DatasetError, match=expected):
        read_coco(tmp_path / "a.json")
