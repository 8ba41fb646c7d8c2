"""Keys of the image classifier, the two-head detector and the segmenter, and the rules that tie keys together.

Keys that a meta-architecture has no use for are left unread; combinations that would train something else than what
the file says are refused by `find_conflicts`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from fetal_hc.engine.config.node import CfgNode
from hc18.training.config import find_refiner_conflicts

FACE_MASK_KEYS: dict[str, Any] = {
    "MODEL": {
        # Classes of ImageClassifier and TwoHeadDetector (GeneralizedRCNN: ROI_HEADS.NUM_CLASSES).
        "NUM_CLASSES": 2,
        # Weight of each class in the classification loss, such as inverse frequencies; empty: all 1.
        "CLASS_WEIGHTS": [],
        "IMAGE_BACKBONE": {
            # scratch_cnn, mobilenet_v2, resnet18, resnet50 (torchvision's names inside) or xception (timm's).
            "NAME": "mobilenet_v2",
            # The first so many stages keep their initial weights and statistics: sensible with pretrained weights.
            "FREEZE_STAGES": 0,
            # Pixels of the input per cell of the feature map; 16 (mobilenet_v2 only) leaves out the last halving.
            "OUTPUT_STRIDE": 32,
            # scratch_cnn: channels of each 3x3 convolution, every one followed by a 2x2 maximum, and its norm.
            "CHANNELS": [32, 64, 128, 256],
            "NORM": "",
        },
        # Fully connected layers between the features and the outputs: units of each, share dropped after each.
        "DENSE": {"UNITS": [], "DROPOUT": 0.0},
        "TWO_HEAD": {
            # average: mean over the feature map, which forgets where things are; flatten: keeps every cell; attention:
            # mean weighted by a learned map, whose centre of gravity is where the box's centre starts from.
            "FEATURES": "average",
            # Channels of a 1x1 convolution before "flatten", 0 = none: keeps the first dense layer small.
            "REDUCE_CHANNELS": 0,
            # shared: both heads read one stack of dense layers; separate_dropout: the same stack, but the last dropout
            # is drawn for each head; separate: a stack of its own for each head.
            "HEADS": "shared",
            # Boxes as fractions of the input's sides, or in px of the input.
            "NORMALIZED_BOXES": True,
            # linear, or sigmoid, which keeps the four numbers in 0..1.
            "BOX_ACTIVATION": "linear",
            # corners: x0, y0, x1, y1; center: centre x, y, width, height.
            "BOX_FORM": "corners",
            "BOX_LOSS": "mse",
            # Factor on the box loss beside the cross entropy.
            "BOX_LOSS_WEIGHT": 1.0,
        },
        "SEGMENTER": {
            # attention_unet, residual_unet (both MONAI's) or mobilenet_v2_unet (segmentation-models-pytorch's).
            "NAME": "attention_unet",
            # Channels of each resolution, finest first; each step halves the sides.
            "CHANNELS": [48, 96, 192, 384],
            "DROPOUT": 0.0,
            # Loss = BCE_WEIGHT * binary cross entropy + DICE_WEIGHT * (1 - soft Dice).
            "BCE_WEIGHT": 0.7,
            "DICE_WEIGHT": 0.3,
            # mobilenet_v2_unet: keep the encoder's initial weights, which makes sense with pretrained ones.
            "FREEZE_ENCODER": False,
        },
    },
    "INPUT": {
        # Input of every meta-architecture but GeneralizedRCNN: a square of SIZE px. KEEP_ASPECT pads the shorter side
        # with black instead of stretching it.
        "SQUARE": {"SIZE": 128, "KEEP_ASPECT": False},
        # After a random motion take boxes from the moved outline. Off where a box surrounds more than the outlined
        # part, as a face's box does with its mask: boxes are then moved themselves.
        "TIGHT_BOXES": True,
        "AUG": {
            "SATURATION_RANGE": [1.0, 1.0],  # factor on the distance from grey, colour images only
            "HUE_DEG": 0.0,  # shift of the hue, uniform in [-x, x]; at most 180
        },
    },
    "DATASETS": {
        # SemanticSegmenter: classes whose objects have no mask pixels. Objects of other classes must be outlined: a box
        # alone does not say which pixels the mask covers.
        "CLASSES_WITHOUT_MASK": ["without_mask"],
    },
    "SOLVER": {
        # Lower the learning rates by FACTOR after PATIENCE evaluations in a row without a better TEST.BEST_METRIC, on
        # top of LR_SCHEDULER_NAME; 0 = never. Rates do not fall below MIN_FACTOR of the schedule's.
        "PLATEAU": {"PATIENCE": 0, "FACTOR": 0.1, "MIN_FACTOR": 0.0001},
        # End the training after PATIENCE evaluations in a row without a better TEST.BEST_METRIC; 0 = never.
        "EARLY_STOPPING": {"PATIENCE": 0},
    },
    "TEST": {
        # Images per batch of an evaluation. 1 keeps images of different size free of padding.
        "IMS_PER_BATCH": 1,
        # Two classes: the one whose precision, recall and ROC are reported.
        "POSITIVE_CLASS": 0,
        # Folders of finished trainings whose predictions are averaged by --eval-only; each brings its config.yaml.
        "ENSEMBLE": [],
    },
}

META_ARCHITECTURE_NAMES = (
    "GeneralizedRCNN",
    "ImageClassifier",
    "TwoHeadDetector",
    "SemanticSegmenter",
    "OutlineRefiner",
)

FACE_MASK_CHOICES: dict[str, tuple[Any, ...]] = {
    "MODEL.IMAGE_BACKBONE.NAME": ("scratch_cnn", "mobilenet_v2", "resnet18", "resnet50", "xception"),
    "MODEL.IMAGE_BACKBONE.NORM": ("", "BN"),
    "MODEL.IMAGE_BACKBONE.OUTPUT_STRIDE": (16, 32),
    "MODEL.TWO_HEAD.FEATURES": ("average", "flatten", "attention"),
    "MODEL.TWO_HEAD.HEADS": ("shared", "separate_dropout", "separate"),
    "MODEL.TWO_HEAD.BOX_ACTIVATION": ("linear", "sigmoid"),
    "MODEL.TWO_HEAD.BOX_FORM": ("corners", "center"),
    "MODEL.TWO_HEAD.BOX_LOSS": ("mse", "smooth_l1", "iou", "giou", "diou", "ciou"),
    "MODEL.SEGMENTER.NAME": ("attention_unet", "residual_unet", "mobilenet_v2_unet"),
}

# Keys that only GeneralizedRCNN reads: their values are checked for it alone.
RCNN_PREFIXES = (
    "MODEL.BACKBONE.",
    "MODEL.PROPOSAL_GENERATOR.",
    "MODEL.ANCHOR_GENERATOR.",
    "MODEL.RPN.",
    "MODEL.ROI_",
    "MODEL.RESNETS.",
    "MODEL.FPN.",
)


def find_conflicts(cfg: CfgNode) -> list[str]:
    """One message for every combination of keys that contradicts itself."""
    rule = _RULES.get(cfg.MODEL.META_ARCHITECTURE)
    return _find_solver_conflicts(cfg) + (rule(cfg) if rule else [])


def _find_solver_conflicts(cfg: CfgNode) -> list[str]:
    problems = []
    for key in ("PLATEAU", "EARLY_STOPPING"):
        patience = cfg.SOLVER[key].PATIENCE
        if patience < 0:
            problems.append(f"SOLVER.{key}.PATIENCE: {patience} must be 0 (off) or a number of evaluations")
        elif patience and (not cfg.TEST.EVAL_PERIOD or not cfg.DATASETS.TEST):
            problems.append(f"SOLVER.{key} waits for evaluations; set TEST.EVAL_PERIOD and DATASETS.TEST")
    if not 0.0 < cfg.SOLVER.PLATEAU.FACTOR < 1.0:
        problems.append(f"SOLVER.PLATEAU.FACTOR: {cfg.SOLVER.PLATEAU.FACTOR} must lie between 0 and 1")
    if cfg.TEST.IMS_PER_BATCH < 1:
        problems.append(f"TEST.IMS_PER_BATCH: {cfg.TEST.IMS_PER_BATCH} must be at least 1")
    return problems


def _find_classifier_conflicts(cfg: CfgNode) -> list[str]:
    problems, n_classes, weights = [], cfg.MODEL.NUM_CLASSES, cfg.MODEL.CLASS_WEIGHTS
    if n_classes < 2:
        problems.append(f"MODEL.NUM_CLASSES: {n_classes} must be at least 2")
    if weights and (len(weights) != n_classes or min(weights) <= 0):
        problems.append(f"MODEL.CLASS_WEIGHTS: {weights} must hold {n_classes} positive numbers, or none")
    if not 0 <= cfg.TEST.POSITIVE_CLASS < n_classes:
        problems.append(f"TEST.POSITIVE_CLASS: {cfg.TEST.POSITIVE_CLASS} is no class of {n_classes}")
    if not 0.0 <= cfg.MODEL.DENSE.DROPOUT < 1.0:
        problems.append(f"MODEL.DENSE.DROPOUT: {cfg.MODEL.DENSE.DROPOUT} must be in [0, 1)")
    if cfg.MODEL.IMAGE_BACKBONE.OUTPUT_STRIDE == 16 and cfg.MODEL.IMAGE_BACKBONE.NAME != "mobilenet_v2":
        problems.append("MODEL.IMAGE_BACKBONE.OUTPUT_STRIDE 16 is there for mobilenet_v2 alone")
    return problems + _find_square_conflicts(cfg)


def _find_two_head_conflicts(cfg: CfgNode) -> list[str]:
    problems, head = _find_classifier_conflicts(cfg), cfg.MODEL.TWO_HEAD
    if head.BOX_ACTIVATION == "sigmoid" and not head.NORMALIZED_BOXES:
        problems.append("MODEL.TWO_HEAD: a sigmoid cannot reach boxes in px; set NORMALIZED_BOXES True")
    if head.REDUCE_CHANNELS and head.FEATURES != "flatten":
        problems.append("MODEL.TWO_HEAD.REDUCE_CHANNELS only works with FEATURES flatten; set it to 0")
    if head.FEATURES == "attention" and (head.BOX_FORM, head.BOX_ACTIVATION) != ("center", "sigmoid"):
        problems.append(
            "MODEL.TWO_HEAD: FEATURES attention finds a centre; set BOX_FORM center, BOX_ACTIVATION sigmoid"
        )
    return problems


def _find_segmenter_conflicts(cfg: CfgNode) -> list[str]:
    problems, node = _find_square_conflicts(cfg), cfg.MODEL.SEGMENTER
    if min(node.BCE_WEIGHT, node.DICE_WEIGHT) < 0 or node.BCE_WEIGHT + node.DICE_WEIGHT <= 0:
        problems.append("MODEL.SEGMENTER: BCE_WEIGHT and DICE_WEIGHT must not be negative nor both 0")
    n_halvings = 5 if node.NAME == "mobilenet_v2_unet" else len(node.CHANNELS) - 1
    if cfg.INPUT.SQUARE.SIZE % 2**n_halvings:
        problems.append(f"INPUT.SQUARE.SIZE: {cfg.INPUT.SQUARE.SIZE} must be a multiple of {2**n_halvings} here")
    return problems


def _find_square_conflicts(cfg: CfgNode) -> list[str]:
    if cfg.INPUT.SQUARE.SIZE < 16:
        return [f"INPUT.SQUARE.SIZE: {cfg.INPUT.SQUARE.SIZE} px must be at least 16"]
    return []


_RULES: dict[str, Callable[[CfgNode], list[str]]] = {
    "ImageClassifier": _find_classifier_conflicts,
    "TwoHeadDetector": _find_two_head_conflicts,
    "SemanticSegmenter": _find_segmenter_conflicts,
    "OutlineRefiner": find_refiner_conflicts,
}
