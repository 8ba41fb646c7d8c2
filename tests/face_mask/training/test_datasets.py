"""Classification manifests as datasets."""

from pathlib import Path

import pytest

from fetal_hc.engine.config import CfgNode, get_default_config
from fetal_hc.engine.data.datasets import dataset_path, load_dataset
from fetal_hc.errors import DatasetError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.architectures import architecture_of
from tests.face_mask.toy_faces import write_manifest_dataset


def config(root: Path, task: str = "ImageClassifier") -> CfgNode:
    cfg = get_default_config(ARCHITECTURES)
    cfg.DATASETS.ROOT = str(root)
    cfg.MODEL.META_ARCHITECTURE = task
    return cfg


def test_parts_of_a_manifest_are_datasets(tmp_path: Path) -> None:
    cfg = config(write_manifest_dataset(tmp_path))
    train, val = (load_dataset(cfg, architecture_of(cfg), f"photos_{part}") for part in ("train", "val"))
    assert train.class_names == ("with_mask", "without_mask")
    assert (len(train.records), len(val.records)) == (6, 4)
    assert not {r["image_id"] for r in train.records} & {r["image_id"] for r in val.records}
    assert all(Path(r["file_name"]).is_file() for r in val.records)
    for record in val.records:
        assert train.class_names[record["annotations"][0]["category_id"]] == Path(record["file_name"]).parent.name


def test_coco_file_goes_before_a_manifest(tmp_path: Path) -> None:
    cfg = config(write_manifest_dataset(tmp_path))
    assert dataset_path(cfg, architecture_of(cfg), "photos_val").name == "photos.csv"
    (tmp_path / "photos_val.json").write_text("{}")
    assert dataset_path(cfg, architecture_of(cfg), "photos_val").name == "photos_val.json"


def test_only_a_classifier_takes_a_manifest(tmp_path: Path) -> None:
    cfg = config(write_manifest_dataset(tmp_path), "SemanticSegmenter")
    with pytest.raises(DatasetError, match="only an image classifier can learn"):
        load_dataset(cfg, architecture_of(cfg), "photos_train")


def test_missing_photos_are_all_named(tmp_path: Path) -> None:
    cfg = config(write_manifest_dataset(tmp_path))
    for record in load_dataset(cfg, architecture_of(cfg), "photos_val").records[:2]:
        Path(record["file_name"]).unlink()
    with pytest.raises(DatasetError) as caught:
        load_dataset(cfg, architecture_of(cfg), "photos_train")
    assert len(caught.value.problems) == 2
