"""The three face-mask models as records for the engine, and what each needs of a dataset."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from face_mask.models.image_classifier import ImageClassifier
from face_mask.models.predictions import average_images, average_masks
from face_mask.models.segmenter import SemanticSegmenter
from face_mask.models.two_head import TwoHeadDetector
from face_mask.training import config
from face_mask.training.box_evaluation import build_box_evaluator
from face_mask.training.classification_evaluation import build_classification_evaluator
from face_mask.training.manifest import MANIFEST_FORMAT, has_manifest_format
from face_mask.training.mask_evaluation import build_mask_evaluator
from face_mask.training.square_mapper import BoxMapper, MaskMapper, SquareMapper
from fetal_hc.engine.architecture import Architecture, SearchSpace
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.datasets import DetectionDataset

if TYPE_CHECKING:  # only a search needs it
    import optuna

# Ranges of the search over dense layers, as Hyperband searched them for the first report.
UNITS = (128, 256, 512, 1024, 2048)
DROPOUT_RANGE = (0.5, 0.8)
LAYERS_RANGE = (1, 3)
RATE_RANGE = (1e-5, 1e-2)


def check_single_objects(_cfg: CfgNode, dataset: DetectionDataset) -> list[str]:
    """One message for every image without exactly one object."""
    return [
        f"{record['file_name']}: {len(record['annotations'])} objects; expected one; convert with --single-face"
        for record in dataset.records
        if len(record["annotations"]) != 1
    ]


def check_boxes(cfg: CfgNode, dataset: DetectionDataset) -> list[str]:
    """One message for every image without exactly one object, or one for a dataset without boxes."""
    return _check_is_not_manifest(dataset) or check_single_objects(cfg, dataset)


def check_masks(cfg: CfgNode, dataset: DetectionDataset) -> list[str]:
    """One message for every image with an object whose mask pixels are unknown."""
    return _check_is_not_manifest(dataset) or [
        f"{record['file_name']}: an object without mask pixels; expected outlines of every object"
        for record in dataset.records
        if not all(_shows_its_mask(cfg, dataset, annotation) for annotation in record["annotations"])
    ]


def _check_is_not_manifest(dataset: DetectionDataset) -> list[str]:
    if has_manifest_format(dataset):
        return ["a manifest holds classes of whole photos, which only an image classifier can learn"]
    return []


def _shows_its_mask(cfg: CfgNode, dataset: DetectionDataset, annotation: dict[str, Any]) -> bool:
    """Whether the mask pixels of an object are known: outlined, or none because of its class."""
    is_bare = dataset.class_names[annotation["category_id"]] in cfg.DATASETS.CLASSES_WITHOUT_MASK
    return is_bare or bool(annotation.get("segmentation"))


def draw_dense_layers(trial: optuna.Trial) -> tuple[str, ...]:
    """KEY VALUE pairs of one trial: number and units of the dense layers, dropout, learning rate."""
    n_layers = trial.suggest_int("layers", *LAYERS_RANGE)
    units = [int(trial.suggest_categorical(f"units_{number}", UNITS)) for number in range(1, n_layers + 1)]
    dropout = trial.suggest_float("dropout", *DROPOUT_RANGE)
    rate = trial.suggest_float("learning_rate", *RATE_RANGE, log=True)
    layers = ("MODEL.DENSE.UNITS", str(units), "MODEL.DENSE.DROPOUT", f"{dropout:.4f}")
    return (*layers, "SOLVER.BASE_LR", f"{rate:.8f}")


DENSE_LAYERS = SearchSpace(
    ("layers", *(f"units_{number}" for number in range(1, LAYERS_RANGE[1] + 1)), "dropout", "learning_rate"),
    draw_dense_layers,
)

# Evaluators that Mask R-CNN shares with the face-mask models.
MASK_EVALUATORS = {"mask": build_mask_evaluator}

ARCHITECTURES = (
    Architecture(
        name="ImageClassifier",
        model=ImageClassifier,
        mapper=SquareMapper,
        evaluators={"classification": build_classification_evaluator},
        config=(config.SQUARE_KEYS, config.CLASS_KEYS),
        choices=config.CLASS_CHOICES,
        check_config=config.check_classifier,
        check_dataset=check_single_objects,
        class_count_key="MODEL.NUM_CLASSES",
        dataset_formats=(MANIFEST_FORMAT,),
        average=average_images,
        search_space=DENSE_LAYERS,
    ),
    Architecture(
        name="TwoHeadDetector",
        model=TwoHeadDetector,
        mapper=BoxMapper,
        evaluators={"classification": build_classification_evaluator, "box": build_box_evaluator},
        config=(config.SQUARE_KEYS, config.CLASS_KEYS, config.TWO_HEAD_KEYS),
        choices=config.TWO_HEAD_CHOICES,
        check_config=config.check_two_heads,
        check_dataset=check_boxes,
        class_count_key="MODEL.NUM_CLASSES",
        dataset_formats=(MANIFEST_FORMAT,),
        average=average_images,
        search_space=DENSE_LAYERS,
    ),
    Architecture(
        name="SemanticSegmenter",
        model=SemanticSegmenter,
        mapper=MaskMapper,
        evaluators=MASK_EVALUATORS,
        config=(config.SQUARE_KEYS, config.SEGMENTER_KEYS),
        choices=config.SEGMENTER_CHOICES,
        check_config=config.check_segmenter,
        check_dataset=check_masks,
        dataset_formats=(MANIFEST_FORMAT,),
        average=average_masks,
    ),
)
