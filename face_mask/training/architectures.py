"""The three face-mask models as records for the engine, and the search space of their dense layers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from face_mask.models.image_classifier import ImageClassifier
from face_mask.models.segmenter import SemanticSegmenter
from face_mask.models.two_head import TwoHeadDetector
from face_mask.models.whole_image import average_images, average_masks
from face_mask.training import config
from face_mask.training.box_evaluation import build_box_evaluator
from face_mask.training.classification_evaluation import build_classification_evaluator
from face_mask.training.datasets import MANIFEST_FORMAT, check_boxes, check_masks, check_single_objects
from face_mask.training.export import export_classifier, export_segmenter, export_two_heads
from face_mask.training.mask_evaluation import build_mask_evaluator
from face_mask.training.square_mapper import BoxMapper, MaskMapper, SquareMapper
from fetal_hc.engine.architecture import Architecture, SearchSpace

if TYPE_CHECKING:  # only a search needs it
    import optuna

# The search over dense layers, as the first report prints it: lowest, highest, step; and the learning rates.
UNITS = (128, 2048, 128)
DROPOUT = (0.5, 0.8, 0.1)
LAYERS = (1, 3)
RATES = (1e-2, 1e-3, 1e-4, 1e-5)


def draw_dense_layers(trial: optuna.Trial) -> tuple[str, ...]:
    """KEY VALUE pairs of one trial: number of dense layers, units of each, dropout, learning rate."""
    n_layers = trial.suggest_int("layers", *LAYERS)
    low, high, step = UNITS
    units = [trial.suggest_int("units", low, high, step=step)] * n_layers
    lowest, highest, dropout_step = DROPOUT
    dropout = trial.suggest_float("dropout", lowest, highest, step=dropout_step)
    rate = trial.suggest_categorical("learning_rate", RATES)
    layers = ("MODEL.DENSE.UNITS", str(units), "MODEL.DENSE.DROPOUT", f"{dropout:.4f}")
    return (*layers, "SOLVER.BASE_LR", f"{rate:.8f}")


DENSE_LAYERS = SearchSpace(("layers", "units", "dropout", "learning_rate"), draw_dense_layers)

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
        export=export_classifier,
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
        export=export_two_heads,
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
        one_class_name="mask",
        average=average_masks,
        export=export_segmenter,
    ),
)
