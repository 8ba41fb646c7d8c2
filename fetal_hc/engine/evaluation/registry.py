"""Evaluators by the names that TEST.EVALUATORS uses, and which meta-architecture each suits."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from face_mask.training.box_evaluation import BoxEvaluator
from face_mask.training.classification_evaluation import ClassificationEvaluator
from face_mask.training.mask_evaluation import MaskEvaluator
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.datasets import DetectionDataset
from fetal_hc.engine.evaluation.coco import CocoEvaluator
from fetal_hc.engine.evaluation.evaluator import DatasetEvaluator
from fetal_hc.errors import ConfigError

# Meta-architecture -> what can score it.
SUITABLE = {
    "GeneralizedRCNN": ("coco", "hc", "mask"),
    "ImageClassifier": ("classification",),
    "TwoHeadDetector": ("classification", "box"),
    "SemanticSegmenter": ("mask",),
    "OutlineRefiner": ("hc",),
}


def details_path(output_dir: str | Path, task: str, dataset: str, suffix: str = "csv") -> Path:
    """File with what a task's evaluator says of every single image of the dataset of that name."""
    return Path(output_dir) / f"{task}_{dataset}.{suffix}"


def _coco(cfg: CfgNode, dataset: DetectionDataset) -> DatasetEvaluator:
    """Masks are scored where every object of the dataset has one."""
    is_outlined = all(item.get("segmentation") for record in dataset.records for item in record["annotations"])
    tasks = ("bbox", "segm") if cfg.MODEL.MASK_ON and is_outlined else ("bbox",)
    return CocoEvaluator(dataset.path, tasks, cfg.TEST.DETECTIONS_PER_IMAGE)


def _hc(cfg: CfgNode, dataset: DetectionDataset) -> DatasetEvaluator:
    from hc18.training.hc_evaluation import HcEvaluator

    return HcEvaluator(dataset.records, details_path(cfg.OUTPUT_DIR, "hc", dataset.name, "json"))


def _classification(cfg: CfgNode, dataset: DetectionDataset) -> DatasetEvaluator:
    details = details_path(cfg.OUTPUT_DIR, "classification", dataset.name)
    return ClassificationEvaluator(dataset.records, dataset.class_names, cfg.TEST.POSITIVE_CLASS, details)


def _box(cfg: CfgNode, dataset: DetectionDataset) -> DatasetEvaluator:
    return BoxEvaluator(dataset.records, details_path(cfg.OUTPUT_DIR, "box", dataset.name))


def _mask(cfg: CfgNode, dataset: DetectionDataset) -> DatasetEvaluator:
    bare = [k for k, name in enumerate(dataset.class_names) if name in cfg.DATASETS.CLASSES_WITHOUT_MASK]
    return MaskEvaluator(dataset.records, bare, details_path(cfg.OUTPUT_DIR, "mask", dataset.name))


EVALUATORS: dict[str, Callable[[CfgNode, DetectionDataset], DatasetEvaluator]] = {
    "coco": _coco,
    "hc": _hc,
    "classification": _classification,
    "box": _box,
    "mask": _mask,
}


def check_evaluators(names: Sequence[str], meta_architecture: str) -> None:
    """Accepts evaluators that exist and can score the meta-architecture.

    Raises:
        ConfigError: naming those that do not or cannot.
    """
    unknown = [name for name in names if name not in EVALUATORS]
    if unknown:
        raise ConfigError(f"TEST.EVALUATORS: {unknown} unknown; expected some of {sorted(EVALUATORS)}")
    unsuited = [name for name in names if name not in SUITABLE[meta_architecture]]
    if unsuited:
        expected = ", ".join(SUITABLE[meta_architecture])
        raise ConfigError(f"TEST.EVALUATORS: {unsuited} cannot score {meta_architecture}; expected some of {expected}")


def build_evaluators(cfg: CfgNode, dataset: DetectionDataset) -> list[DatasetEvaluator]:
    """The evaluators of TEST.EVALUATORS for one dataset."""
    return [EVALUATORS[name](cfg, dataset) for name in cfg.TEST.EVALUATORS]
