import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.datasets import load_dataset, load_dataset_dicts, load_training_records
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc_cli.training.architectures import MASK_RCNN

MakeRecord = Callable[..., dict[str, Any]]
TRIANGLE = [1.0, 1.0, 5.0, 1.0, 5.0, 5.0]


def annotation(number: int, image_id: int, **fields: Any) -> dict[str, Any]:
    defaults = {
        "id": number,
        "image_id": image_id,
        "category_id": 4,
        "bbox": [1, 1, 4, 4],
        "area": 8.0,
        "iscrowd": 0,
        "segmentation": [TRIANGLE],
    }
    return {**defaults, **fields}


@pytest.fixture
def tree(make_record: MakeRecord) -> dict[str, Any]:
    """COCO content: three images (20 before 10), two classes with ids 4 and 9; image 30 has no objects."""
    images = []
    for image_id in (20, 10, 30):
        make_record(image_hw=(12, 16), name=f"{image_id}.png")
        images.append({"id": image_id, "file_name": f"{image_id}.png", "height": 12, "width": 16})
    images[1]["pixel_size_mm"] = 0.1
    return {
        "info": {"image_root": "."},
        "images": images,
        "annotations": [annotation(1, 10, ellipse_px={"center_x": 3.0}), annotation(2, 20, category_id=9)],
        "categories": [{"id": 9, "name": "mask"}, {"id": 4, "name": "head"}],
    }


@pytest.fixture
def write(cfg: CfgNode, tmp_path: Path) -> Callable[..., CfgNode]:
    """Writes a COCO tree as dataset `name` and returns a configuration that finds it."""

    def write_tree(tree: dict[str, Any], name: str = "toy") -> CfgNode:
        (tmp_path / f"{name}.json").write_text(json.dumps(tree), encoding="utf-8")
        cfg.DATASETS.ROOT = str(tmp_path)
        cfg.DATASETS.TRAIN = [name]
        cfg.MODEL.ROI_HEADS.NUM_CLASSES = 2
        return cfg

    return write_tree


def test_records_come_by_image_id_with_their_fields(
    write: Callable[..., CfgNode], tree: dict[str, Any], tmp_path: Path
):
    records = load_dataset_dicts(write(tree), MASK_RCNN, "toy")
    assert [record["image_id"] for record in records] == [10, 20, 30]
    assert Path(records[0]["file_name"]).samefile(tmp_path / "10.png")
    assert (records[0]["height"], records[0]["width"], records[0]["pixel_size_mm"]) == (12, 16, 0.1)


def test_annotations_get_contiguous_classes_and_keep_their_fields(write: Callable[..., CfgNode], tree: dict[str, Any]):
    first, second, empty = (record["annotations"] for record in load_dataset_dicts(write(tree), MASK_RCNN, "toy"))
    assert (first[0]["category_id"], second[0]["category_id"], empty) == (0, 1, [])
    assert list(first[0]["bbox"]) == [1, 1, 4, 4]
    assert list(first[0]["segmentation"][0]) == TRIANGLE
    assert first[0]["ellipse_px"] == {"center_x": 3.0}


def test_dataset_knows_its_classes(write: Callable[..., CfgNode], tree: dict[str, Any]):
    dataset = load_dataset(write(tree), MASK_RCNN, "toy")
    assert dataset.class_names == ("head", "mask")
    assert dataset.category_ids == (4, 9)


def test_images_are_found_under_another_root(write: Callable[..., CfgNode], tree: dict[str, Any], tmp_path: Path):
    tree["info"] = {"image_root": "nowhere"}
    cfg = write(tree)
    cfg.DATASETS.IMAGE_ROOT = str(tmp_path)
    assert len(load_dataset_dicts(cfg, MASK_RCNN, "toy")) == 3


def test_all_missing_images_are_listed(write: Callable[..., CfgNode], tree: dict[str, Any], tmp_path: Path):
    cfg = write(tree)
    (tmp_path / "10.png").unlink()
    (tmp_path / "30.png").unlink()
    with pytest.raises(DatasetError, match=r"DATASETS\.IMAGE_ROOT") as caught:
        load_dataset_dicts(cfg, MASK_RCNN, "toy")
    assert len(caught.value.problems) == 2
    assert "10.png" in str(caught.value)
    assert "30.png" in str(caught.value)


def test_an_unknown_dataset_names_the_file_it_looked_for(cfg: CfgNode, tmp_path: Path):
    cfg.DATASETS.ROOT = str(tmp_path)
    with pytest.raises(DatasetError, match=r"dataset 'hc18_train': no file .*hc18_train\.json.*DATASETS\.ROOT"):
        load_dataset_dicts(cfg, MASK_RCNN, "hc18_train")


def test_a_wrong_number_of_classes_names_both(write: Callable[..., CfgNode], tree: dict[str, Any]):
    cfg = write(tree)
    cfg.MODEL.ROI_HEADS.NUM_CLASSES = 3
    with pytest.raises(ConfigError, match=r"NUM_CLASSES is 3, but .*toy\.json has 2 categories \(head, mask\)"):
        load_dataset_dicts(cfg, MASK_RCNN, "toy")


@pytest.mark.parametrize(("is_filtered", "expected"), [(True, [10]), (False, [10, 20, 30])])
def test_images_without_objects_are_left_out_on_request(
    write: Callable[..., CfgNode], tree: dict[str, Any], is_filtered: bool, expected: list[int]
):
    tree["annotations"][1]["iscrowd"] = 1
    cfg = write(tree)
    cfg.DATALOADER.FILTER_EMPTY_ANNOTATIONS = is_filtered
    assert [record["image_id"] for record in load_training_records(cfg, MASK_RCNN)] == expected


def test_training_without_objects_is_refused(write: Callable[..., CfgNode], tree: dict[str, Any]):
    tree["annotations"] = []
    with pytest.raises(DatasetError, match="no image with annotated objects"):
        load_training_records(write(tree), MASK_RCNN)


def test_training_needs_a_dataset(cfg: CfgNode):
    with pytest.raises(ConfigError, match=r"DATASETS\.TRAIN is empty"):
        load_training_records(cfg, MASK_RCNN)


def test_training_joins_datasets(write: Callable[..., CfgNode], tree: dict[str, Any]):
    write(tree, "second")
    cfg = write(tree, "first")
    cfg.DATASETS.TRAIN = ["first", "second"]
    assert [record["image_id"] for record in load_training_records(cfg, MASK_RCNN)] == [10, 20, 10, 20]


def test_datasets_with_different_classes_are_refused(write: Callable[..., CfgNode], tree: dict[str, Any]):
    write(tree, "first")
    tree["categories"][0]["name"] = "hat"
    cfg = write(tree, "second")
    cfg.DATASETS.TRAIN = ["first", "second"]
    with pytest.raises(ConfigError, match="first: head, mask; second: head, hat"):
        load_training_records(cfg, MASK_RCNN)


def test_boxes_without_outline_have_no_segmentation(write: Callable[..., CfgNode], tree: dict[str, Any]):
    del tree["annotations"][0]["segmentation"]
    tree["annotations"][1]["segmentation"] = []
    first, second, _ = (record["annotations"] for record in load_dataset_dicts(write(tree), MASK_RCNN, "toy"))
    assert "segmentation" not in first[0]
    assert "segmentation" not in second[0]


def test_run_lengths_are_kept(write: Callable[..., CfgNode], tree: dict[str, Any]):
    tree["annotations"][0]["segmentation"] = {"size": [12, 16], "counts": [20, 4, 168]}
    assert load_dataset_dicts(write(tree), MASK_RCNN, "toy")[0]["annotations"][0]["segmentation"]["counts"] == [
        20,
        4,
        168,
    ]
