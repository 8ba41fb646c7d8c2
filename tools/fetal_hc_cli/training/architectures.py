"""The table of all models that the commands know. A new model is one more record here."""

from dataclasses import replace

from face_mask.training.architectures import ARCHITECTURES as FACE_MASK_ARCHITECTURES
from face_mask.training.architectures import MASK_EVALUATORS
from fetal_hc.engine import rcnn
from hc18.training.architectures import HC_EVALUATORS, OUTLINE_REFINER

MASK_RCNN = replace(
    rcnn.ARCHITECTURE.with_evaluators({**HC_EVALUATORS, **MASK_EVALUATORS}),
    one_class_name="head",
)
ARCHITECTURES = (MASK_RCNN, OUTLINE_REFINER, *FACE_MASK_ARCHITECTURES)
