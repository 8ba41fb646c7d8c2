"""A model that the engine has never heard of trains by one record; records of the table travel to other processes."""

import json
import pickle
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from fetal_hc.engine import rcnn
from fetal_hc.engine.architecture import Architecture, find_architecture
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DetectionDataset
from fetal_hc.engine.train.training_job import JobOptions, start_job
from fetal_hc.errors import ConfigError, DatasetError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.fetal_hc.engine.toy import ToyModel, toy_sample
from tests.fetal_hc.engine.toy_heads import write_heads


class ToyMapper:
    def __init__(self, cfg: CfgNode, is_train: bool, *, cache_limit_bytes: int = 0) -> None:
        self.scale = cfg.MODEL.TOY.SCALE

    def __call__(self, record: Mapping[str, Any], seed: Sequence[int] = (0,)) -> dict[str, Any]:
        sample = toy_sample(record["image_id"])
        return {**sample, "image": sample["image"] * self.scale}


class ToyEvaluator:
    def reset(self) -> None:
        self.outputs: list[float] = []

    def process(self, inputs: Sequence[Mapping[str, Any]], outputs: Sequence[torch.Tensor]) -> None:
        self.outputs += [float(output.detach()) for output in outputs]

    def evaluate(self) -> dict[str, dict[str, float]]:
        return {"toy": {"n_images": len(self.outputs)}}

    def metric_names(self) -> list[str]:
        return ["toy/n_images"]


def build_toy(cfg: CfgNode) -> ToyModel:
    return ToyModel(cfg.MODEL.TOY.DROPOUT)


def build_toy_evaluator(_cfg: CfgNode, _dataset: DetectionDataset) -> ToyEvaluator:
    return ToyEvaluator()


def check_toy(cfg: CfgNode) -> list[str]:
    return ["MODEL.TOY.SCALE: must be above 0"] if cfg.MODEL.TOY.SCALE <= 0 else []


def check_toy_dataset(_cfg: CfgNode, dataset: DetectionDataset) -> list[str]:
    return ["too few images"] if len(dataset.records) < 3 else []


TOY = Architecture(
    name="Toy",
    model=build_toy,
    mapper=ToyMapper,
    evaluators={"toy": build_toy_evaluator},
    config=({"MODEL": {"TOY": {"SCALE": 1.0, "DROPOUT": 0.2, "KIND": "plain"}}},),
    choices={"MODEL.TOY.KIND": ("plain",)},
    check_config=check_toy,
    check_dataset=check_toy_dataset,
)
TABLE = (rcnn.ARCHITECTURE, TOY)


@pytest.fixture
def config_file(tmp_path: Path) -> Path:
    write_heads(tmp_path)
    tree = {
        "MODEL": {"META_ARCHITECTURE": "Toy", "DEVICE": "cpu"},
        "DATASETS": {"ROOT": str(tmp_path), "TRAIN": ["heads"], "TEST": ["heads"]},
        "DATALOADER": {"NUM_WORKERS": 1},
        "SOLVER": {"MAX_ITER": 3, "STEPS": [], "IMS_PER_BATCH": 2, "WARMUP_ITERS": 0},
        "TEST": {"EVALUATORS": ["toy"], "BEST_METRIC": "toy/n_images"},
        "OUTPUT_DIR": str(tmp_path / "output"),
    }
    path = tmp_path / "toy.yaml"
    path.write_text(yaml.safe_dump(tree))
    return path


def test_new_model_trains_and_is_scored_by_its_record(config_file: Path) -> None:
    torch.set_num_threads(1)
    assert start_job(JobOptions(TABLE, config_file)) == 0
    results = json.loads((config_file.parent / "output" / "results.json").read_text())
    assert results == {"toy": {"n_images": 6}}


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (("MODEL.TOY.SCALE", "0"), "SCALE: must be above 0"),
        (("MODEL.TOY.KIND", "fancy"), r"KIND: 'fancy' is not covered by this engine; allowed: \['plain'\]"),
        (("TEST.EVALUATORS", "['coco']"), r"\['coco'\] cannot score Toy; expected some of toy"),
        (("MODEL.META_ARCHITECTURE", "Play"), r"'Play' is not covered .* allowed: \['GeneralizedRCNN', 'Toy'\]"),
    ],
)
def test_rules_of_the_record_are_checked(config_file: Path, overrides: tuple[str, ...], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        start_job(JobOptions(TABLE, config_file, overrides))


def test_dataset_that_does_not_suit_the_model_is_refused(config_file: Path) -> None:
    path = config_file.parent / "heads.json"
    content = json.loads(path.read_text())
    kept = content["images"][:2]
    ids = {image["id"] for image in kept}
    annotations = [item for item in content["annotations"] if item["image_id"] in ids]
    path.write_text(json.dumps({**content, "images": kept, "annotations": annotations}))
    with pytest.raises(DatasetError, match=r"does not suit Toy[\s\S]*too few images"):
        start_job(JobOptions(TABLE, config_file))


def test_model_without_a_mean_is_not_averaged(config_file: Path) -> None:
    options = JobOptions(TABLE, config_file, ("TEST.ENSEMBLE", "['output']"), eval_only=True)
    with pytest.raises(ConfigError, match=r"TEST\.ENSEMBLE averages no model here, not Toy"):
        start_job(options)


def test_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigError, match=r"'Toy' is not known here; expected one of GeneralizedRCNN, OutlineRefiner"):
        find_architecture(ARCHITECTURES, TOY.name)


def test_records_travel_to_other_processes() -> None:
    assert pickle.loads(pickle.dumps(ARCHITECTURES)) == ARCHITECTURES
