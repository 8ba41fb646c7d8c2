"""Configuration keys of the classifier, the two-head detector and the segmenter, and the rules that tie them together.

Combinations of keys that would train something else than the file says are refused by the `check_` functions.
"""

from __future__ import annotations

from typing import Any

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.config.defaults import OWN_KEYS

NO_AUGMENTATION = OWN_KEYS["INPUT"]["AUG"]

# Keys of all three models.
SQUARE_KEYS: dict[str, Any] = {
    "INPUT": {
        # The input is a square of SIZE px. KEEP_ASPECT pads the shorter side with black instead of stretching it.
        "SQUARE": {"SIZE": 128, "KEEP_ASPECT": False},
    },
    "MODEL": {
        # First weights of convolutions and linear layers: "" (torch's), glorot_uniform (Keras's) or kaiming_normal.
        "INIT": "",
    },
}

# Keys of the models that classify.
CLASS_KEYS: dict[str, Any] = {
    "MODEL": {
        # Number of classes of the dataset.
        "NUM_CLASSES": 2,
        # Weight of each class in the classification loss, such as inverse frequencies; empty: all 1.
        "CLASS_WEIGHTS": [],
        "IMAGE_BACKBONE": {
            # scratch_cnn, mobilenet_v2, resnet18, resnet50 (torchvision's names inside), xception or efficientnet_lite0
            # (timm's).
            "NAME": "mobilenet_v2",
            # The first so many stages keep their initial weights and statistics: sensible with pretrained weights.
            "FREEZE_STAGES": 0,
            # All stages frozen and no augmentation: compute the mean features of an image once and remember them.
            "CACHE_FEATURES": False,
            # Pixels of the input per cell of the feature map; 16 (mobilenet_v2 only) leaves out the last halving.
            "OUTPUT_STRIDE": 32,
            # scratch_cnn: channels of each 3x3 convolution, every one followed by a 2x2 maximum, and its norm.
            "CHANNELS": [32, 64, 128, 256],
            "NORM": "",
            # scratch_cnn: same (zeros around the image) or valid (each convolution takes 2 px from the sides); whether
            # the last convolution is followed by a maximum too.
            "PADDING": "same",
            "POOL_LAST": True,
        },
        # Fully connected layers between the features and the outputs: units of each, share dropped, and whether it is
        # dropped after each layer or after the last alone.
        "DENSE": {"UNITS": [], "DROPOUT": 0.0, "DROPOUT_AFTER": "each"},
    },
    "TEST": {
        # Two classes: the one whose precision, recall and ROC are reported.
        "POSITIVE_CLASS": 0,
    },
}

TWO_HEAD_KEYS: dict[str, Any] = {
    "MODEL": {
        "TWO_HEAD": {
            # average: mean over the feature map, which forgets where things are; flatten: keeps every cell; attention:
            # mean weighted by a learned map, whose centre of gravity is where the box's centre starts from.
            "FEATURES": "average",
            # Channels of a 1x1 convolution before "flatten", 0 = none: keeps the first dense layer small.
            "REDUCE_CHANNELS": 0,
            # shared: both heads read one stack of dense layers; separate_dropout: the same stack, but the last dropout
            # is drawn for each head; separate: each head has its own stack.
            "HEADS": "shared",
            # Boxes as fractions of the input's sides, or in px of the input.
            "NORMALIZED_BOXES": True,
            # linear, or sigmoid, which keeps the four numbers in 0..1.
            "BOX_ACTIVATION": "linear",
            # corners: x0, y0, x1, y1; center: centre x, y, width, height.
            "BOX_FORM": "corners",
            "BOX_LOSS": "mse",
            # smooth_l1: the difference from which the loss rises linearly, in the unit of the four numbers.
            "SMOOTH_L1_BETA": 1.0,
            # Factors on the two losses.
            "CLASS_LOSS_WEIGHT": 1.0,
            "BOX_LOSS_WEIGHT": 1.0,
            # softmax: an output per class; sigmoid: of two classes, one output that is the logit of class 1.
            "CLASS_ACTIVATION": "softmax",
            # What each head has for itself before its outputs: share dropped, then fully connected layers with ReLU.
            "CLASS_HEAD": {"DROPOUT": 0.0, "UNITS": []},
            "BOX_HEAD": {"DROPOUT": 0.0, "UNITS": []},
        },
    },
}

SEGMENTER_KEYS: dict[str, Any] = {
    "MODEL": {
        "SEGMENTER": {
            # plain_unet (maxima, up-convolutions), attention_unet, residual_unet (both MONAI's), mobilenet_v2_decoder
            # without skip connections, or a decoder of segmentation-models-pytorch: unet, fpn, deeplabv3plus (ASPP);
            # mobilenet_v2_unet is unet with its first encoder.
            "NAME": "attention_unet",
            # unet, fpn, deeplabv3plus: mobilenet_v2 (torchvision's names inside) or efficientnet_lite0 (timm's).
            "ENCODER": "mobilenet_v2",
            # The three U-Nets with CHANNELS: of each resolution, finest first; each step halves the sides.
            "CHANNELS": [48, 96, 192, 384],
            # plain_unet: gates on the skip connections; shortcuts around the convolutions of the decoder.
            "ATTENTION": False,
            "RESIDUAL": False,
            "DROPOUT": 0.0,
            # Loss: binary cross entropy, 1 - soft Dice, focal, Tversky and Lovasz loss, each times its weight.
            "BCE_WEIGHT": 0.7,
            "DICE_WEIGHT": 0.3,
            "FOCAL_WEIGHT": 0.0,
            "TVERSKY_WEIGHT": 0.0,
            "LOVASZ_WEIGHT": 0.0,
            # Focal loss: exponent on the error of a pixel's probability, which plays down pixels that are nearly right.
            "FOCAL_GAMMA": 2.0,
            # Tversky loss: weights of pixels found in excess and of pixels missed; 0.5 and 0.5 are Dice.
            "TVERSKY_ALPHA": 0.3,
            "TVERSKY_BETA": 0.7,
            # Networks with an encoder: keep its initial weights, which makes sense with pretrained ones.
            "FREEZE_ENCODER": False,
        },
    },
    "DATASETS": {
        # Classes whose objects have no mask pixels. Objects of other classes must be outlined: a box alone does not say
        # which pixels the mask covers.
        "CLASSES_WITHOUT_MASK": ["without_mask"],
    },
}

SQUARE_CHOICES: dict[str, tuple[Any, ...]] = {"MODEL.INIT": ("", "glorot_uniform", "kaiming_normal")}
CLASS_CHOICES: dict[str, tuple[Any, ...]] = {
    **SQUARE_CHOICES,
    "MODEL.IMAGE_BACKBONE.NAME": (
        "scratch_cnn",
        "mobilenet_v2",
        "resnet18",
        "resnet50",
        "xception",
        "efficientnet_lite0",
    ),
    "MODEL.IMAGE_BACKBONE.NORM": ("", "BN"),
    "MODEL.IMAGE_BACKBONE.OUTPUT_STRIDE": (16, 32),
    "MODEL.IMAGE_BACKBONE.PADDING": ("same", "valid"),
    "MODEL.DENSE.DROPOUT_AFTER": ("each", "last"),
}
TWO_HEAD_CHOICES: dict[str, tuple[Any, ...]] = {
    **CLASS_CHOICES,
    "MODEL.TWO_HEAD.FEATURES": ("average", "flatten", "attention"),
    "MODEL.TWO_HEAD.HEADS": ("shared", "separate_dropout", "separate"),
    "MODEL.TWO_HEAD.BOX_ACTIVATION": ("linear", "sigmoid"),
    "MODEL.TWO_HEAD.BOX_FORM": ("corners", "center"),
    "MODEL.TWO_HEAD.CLASS_ACTIVATION": ("softmax", "sigmoid"),
    "MODEL.TWO_HEAD.BOX_LOSS": ("mse", "smooth_l1", "iou", "giou", "diou", "ciou"),
}
# Segmenters that CHANNELS describes; the others halve the sides five times.
NETWORKS_WITH_CHANNELS = ("plain_unet", "attention_unet", "residual_unet")
SEGMENTER_CHOICES: dict[str, tuple[Any, ...]] = {
    **SQUARE_CHOICES,
    "MODEL.SEGMENTER.NAME": (
        "plain_unet",
        "attention_unet",
        "residual_unet",
        "mobilenet_v2_decoder",
        "mobilenet_v2_unet",
        "unet",
        "fpn",
        "deeplabv3plus",
    ),
    "MODEL.SEGMENTER.ENCODER": ("mobilenet_v2", "efficientnet_lite0"),
}


def check_classifier(cfg: CfgNode) -> list[str]:
    """One message for every setting of a classifier that contradicts another or is out of range."""
    problems, n_classes, weights = [], cfg.MODEL.NUM_CLASSES, cfg.MODEL.CLASS_WEIGHTS
    if n_classes < 2:
        problems.append(f"MODEL.NUM_CLASSES: {n_classes} must be at least 2")
    if weights and (len(weights) != n_classes or min(weights) <= 0):
        problems.append(f"MODEL.CLASS_WEIGHTS: {weights} must hold {n_classes} positive numbers, or none")
    if not 0 <= cfg.TEST.POSITIVE_CLASS < n_classes:
        problems.append(f"TEST.POSITIVE_CLASS: {cfg.TEST.POSITIVE_CLASS} must be in 0..{n_classes - 1}")
    if not 0.0 <= cfg.MODEL.DENSE.DROPOUT < 1.0:
        problems.append(f"MODEL.DENSE.DROPOUT: {cfg.MODEL.DENSE.DROPOUT} must be in [0, 1)")
    if cfg.MODEL.IMAGE_BACKBONE.OUTPUT_STRIDE == 16 and cfg.MODEL.IMAGE_BACKBONE.NAME != "mobilenet_v2":
        problems.append("MODEL.IMAGE_BACKBONE.OUTPUT_STRIDE: 16 works with mobilenet_v2 only")
    if cfg.MODEL.IMAGE_BACKBONE.CACHE_FEATURES and _changes_images(cfg):
        problems.append("MODEL.IMAGE_BACKBONE.CACHE_FEATURES: INPUT.AUG and RANDOM_FLIP would change images; turn off")
    return problems + _check_square(cfg)


def check_two_heads(cfg: CfgNode) -> list[str]:
    """One message for every setting of a two-head detector that contradicts another or is out of range."""
    problems, head = check_classifier(cfg), cfg.MODEL.TWO_HEAD
    if head.BOX_ACTIVATION == "sigmoid" and not head.NORMALIZED_BOXES:
        problems.append("MODEL.TWO_HEAD: a sigmoid cannot reach boxes in px; set NORMALIZED_BOXES True")
    if head.REDUCE_CHANNELS and head.FEATURES != "flatten":
        problems.append("MODEL.TWO_HEAD.REDUCE_CHANNELS only works with FEATURES flatten; set it to 0")
    for key in ("CLASS_HEAD", "BOX_HEAD"):
        if not 0.0 <= head[key].DROPOUT < 1.0:
            problems.append(f"MODEL.TWO_HEAD.{key}.DROPOUT: {head[key].DROPOUT} must be in [0, 1)")
    if cfg.MODEL.IMAGE_BACKBONE.CACHE_FEATURES and head.FEATURES != "average":
        problems.append("MODEL.IMAGE_BACKBONE.CACHE_FEATURES works with MODEL.TWO_HEAD.FEATURES average only")
    if head.SMOOTH_L1_BETA <= 0.0:
        problems.append(f"MODEL.TWO_HEAD.SMOOTH_L1_BETA: {head.SMOOTH_L1_BETA} must be above 0")
    if head.CLASS_ACTIVATION == "sigmoid" and cfg.MODEL.NUM_CLASSES != 2:
        problems.append(f"MODEL.TWO_HEAD: a sigmoid tells 2 classes apart, not {cfg.MODEL.NUM_CLASSES}; set softmax")
    if head.FEATURES == "attention" and (head.BOX_FORM, head.BOX_ACTIVATION) != ("center", "sigmoid"):
        problems.append(
            "MODEL.TWO_HEAD: FEATURES attention finds a centre; set BOX_FORM center, BOX_ACTIVATION sigmoid"
        )
    return problems


def check_segmenter(cfg: CfgNode) -> list[str]:
    """One message for every setting of a segmenter that contradicts another or is out of range."""
    problems, node = _check_square(cfg), cfg.MODEL.SEGMENTER
    weights = [node[f"{name}_WEIGHT"] for name in ("BCE", "DICE", "FOCAL", "TVERSKY", "LOVASZ")]
    if min(weights) < 0 or sum(weights) <= 0:
        problems.append("MODEL.SEGMENTER: weights of the losses must not be negative nor all 0")
    if node.NAME == "mobilenet_v2_unet" and node.ENCODER != "mobilenet_v2":
        problems.append(f"MODEL.SEGMENTER: mobilenet_v2_unet cannot have the encoder {node.ENCODER}; set NAME unet")
    n_halvings = len(node.CHANNELS) - 1 if node.NAME in NETWORKS_WITH_CHANNELS else 5
    if cfg.INPUT.SQUARE.SIZE % 2**n_halvings:
        problems.append(f"INPUT.SQUARE.SIZE: {cfg.INPUT.SQUARE.SIZE} must be a multiple of {2**n_halvings} here")
    return problems


def _changes_images(cfg: CfgNode) -> bool:
    """Whether a training sees an image differently each time."""
    return cfg.INPUT.RANDOM_FLIP != "none" or any(cfg.INPUT.AUG[key] != off for key, off in NO_AUGMENTATION.items())


def _check_square(cfg: CfgNode) -> list[str]:
    if cfg.INPUT.SQUARE.SIZE < 16:
        return [f"INPUT.SQUARE.SIZE: {cfg.INPUT.SQUARE.SIZE} px must be at least 16"]
    return []
