"""Default configuration: Detectron2's keys with Detectron2's values, then the keys this project adds.

Detectron2's meaning of every key is kept (detectron2/config/defaults.py, version 2 of the tree). Keys that
Detectron2 does not know are in `OWN_KEYS`; each is commented with its unit and reason. Keys of one model only are in
that model's `Architecture`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Key:
    """A default whose key accepts other types than the default's own.

    Attributes:
        default: the value without configuration.
        types: accepted types. A single value for a key whose default is a list becomes a list of one.
    """

    default: Any
    types: tuple[type, ...]


# A key without `Key` accepts values of its default's type; whole numbers count as float.

DETECTRON2_DEFAULTS: dict[str, Any] = {
    "VERSION": 2,
    "OUTPUT_DIR": "./output",
    "SEED": -1,
    "CUDNN_BENCHMARK": False,
    "FLOAT32_PRECISION": "",
    "VIS_PERIOD": 0,
    "MODEL": {
        "MASK_ON": False,
        "DEVICE": "cuda",
        "META_ARCHITECTURE": "GeneralizedRCNN",
        "WEIGHTS": "",
        "PIXEL_MEAN": [103.53, 116.28, 123.675],
        "PIXEL_STD": [1.0, 1.0, 1.0],
        "BACKBONE": {"NAME": "build_resnet_backbone", "FREEZE_AT": 2},
        "FPN": {"IN_FEATURES": [], "OUT_CHANNELS": 256, "NORM": "", "FUSE_TYPE": "sum"},
        "PROPOSAL_GENERATOR": {"NAME": "RPN", "MIN_SIZE": 0},
        "ANCHOR_GENERATOR": {
            "NAME": "DefaultAnchorGenerator",
            "SIZES": [[32, 64, 128, 256, 512]],
            "ASPECT_RATIOS": [[0.5, 1.0, 2.0]],
            "OFFSET": 0.0,
        },
        "RPN": {
            "HEAD_NAME": "StandardRPNHead",
            "IN_FEATURES": ["res4"],
            "BOUNDARY_THRESH": -1,
            "IOU_THRESHOLDS": [0.3, 0.7],
            "IOU_LABELS": [0, -1, 1],
            "BATCH_SIZE_PER_IMAGE": 256,
            "POSITIVE_FRACTION": 0.5,
            "BBOX_REG_LOSS_TYPE": "smooth_l1",
            "BBOX_REG_LOSS_WEIGHT": 1.0,
            "BBOX_REG_WEIGHTS": [1.0, 1.0, 1.0, 1.0],
            "SMOOTH_L1_BETA": 0.0,
            "LOSS_WEIGHT": 1.0,
            "PRE_NMS_TOPK_TRAIN": 12000,
            "PRE_NMS_TOPK_TEST": 6000,
            "POST_NMS_TOPK_TRAIN": 2000,
            "POST_NMS_TOPK_TEST": 1000,
            "NMS_THRESH": 0.7,
            "CONV_DIMS": [-1],
        },
        "ROI_HEADS": {
            "NAME": "Res5ROIHeads",
            "NUM_CLASSES": 80,
            "IN_FEATURES": ["res4"],
            "IOU_THRESHOLDS": [0.5],
            "IOU_LABELS": [0, 1],
            "BATCH_SIZE_PER_IMAGE": 512,
            "POSITIVE_FRACTION": 0.25,
            "SCORE_THRESH_TEST": 0.05,
            "NMS_THRESH_TEST": 0.5,
            "PROPOSAL_APPEND_GT": True,
        },
        "ROI_BOX_HEAD": {
            "NAME": "",
            "BBOX_REG_LOSS_TYPE": "smooth_l1",
            "BBOX_REG_LOSS_WEIGHT": 1.0,
            "BBOX_REG_WEIGHTS": [10.0, 10.0, 5.0, 5.0],
            "SMOOTH_L1_BETA": 0.0,
            "POOLER_RESOLUTION": 14,
            "POOLER_SAMPLING_RATIO": 0,
            "POOLER_TYPE": "ROIAlignV2",
            "NUM_FC": 0,
            "FC_DIM": 1024,
            "NUM_CONV": 0,
            "CONV_DIM": 256,
            "NORM": "",
            "CLS_AGNOSTIC_BBOX_REG": False,
        },
        "ROI_BOX_CASCADE_HEAD": {
            "BBOX_REG_WEIGHTS": [[10.0, 10.0, 5.0, 5.0], [20.0, 20.0, 10.0, 10.0], [30.0, 30.0, 15.0, 15.0]],
            "IOUS": [0.5, 0.6, 0.7],
        },
        "ROI_MASK_HEAD": {
            "NAME": "MaskRCNNConvUpsampleHead",
            "POOLER_RESOLUTION": 14,
            "POOLER_SAMPLING_RATIO": 0,
            "NUM_CONV": 0,
            "CONV_DIM": 256,
            "NORM": "",
            "CLS_AGNOSTIC_MASK": False,
            "POOLER_TYPE": "ROIAlignV2",
        },
        "RESNETS": {
            "DEPTH": 50,
            "OUT_FEATURES": ["res4"],
            "NUM_GROUPS": 1,
            "NORM": "FrozenBN",
            "WIDTH_PER_GROUP": 64,
            "STRIDE_IN_1X1": True,
            "RES2_OUT_CHANNELS": 256,
            "STEM_OUT_CHANNELS": 64,
            "RES5_DILATION": 1,
        },
    },
    "INPUT": {
        "MIN_SIZE_TRAIN": Key([800], (list, int)),
        "MIN_SIZE_TRAIN_SAMPLING": "choice",
        "MAX_SIZE_TRAIN": 1333,
        "MIN_SIZE_TEST": 800,
        "MAX_SIZE_TEST": 1333,
        "RANDOM_FLIP": "horizontal",
        "FORMAT": "BGR",
        "MASK_FORMAT": "polygon",
    },
    "DATASETS": {"TRAIN": [], "TEST": []},
    "DATALOADER": {
        "NUM_WORKERS": 4,
        "ASPECT_RATIO_GROUPING": True,
        "SAMPLER_TRAIN": "TrainingSampler",
        "FILTER_EMPTY_ANNOTATIONS": True,
    },
    "SOLVER": {
        "LR_SCHEDULER_NAME": "WarmupMultiStepLR",
        "MAX_ITER": 40000,
        "BASE_LR": 0.001,
        "BASE_LR_END": 0.0,
        "MOMENTUM": 0.9,
        "NESTEROV": False,
        "WEIGHT_DECAY": 0.0001,
        "WEIGHT_DECAY_NORM": 0.0,
        "GAMMA": 0.1,
        "STEPS": [30000],
        "WARMUP_FACTOR": 0.001,
        "WARMUP_ITERS": 1000,
        "WARMUP_METHOD": "linear",
        "CHECKPOINT_PERIOD": 5000,
        "IMS_PER_BATCH": 16,
        "BIAS_LR_FACTOR": 1.0,
        "WEIGHT_DECAY_BIAS": Key(None, (float, int, type(None))),
        "CLIP_GRADIENTS": {"ENABLED": False, "CLIP_TYPE": "value", "CLIP_VALUE": 1.0, "NORM_TYPE": 2.0},
        "AMP": {"ENABLED": False},
    },
    "TEST": {"EXPECTED_RESULTS": [], "EVAL_PERIOD": 0, "DETECTIONS_PER_IMAGE": 100},
}

OWN_KEYS: dict[str, Any] = {
    # Use algorithms that give the same bits in every run, where torch has them, and refuse the others. Slower on a GPU.
    "DETERMINISTIC": False,
    "MODEL": {
        # Store activations as NHWC: about twice as fast for convolutions on a CPU.
        "CHANNELS_LAST": False,
    },
    "INPUT": {
        # Train the mask head on the area each mask cell covers (0..1) instead of on Detectron2's binary raster, which
        # moves the outline by up to half a cell.
        "SOFT_MASKS": False,
        # After a random motion, take boxes from the moved outline. Off where a box surrounds more than the outlined
        # part, as a face's box does with its mask: the boxes themselves are moved then.
        "TIGHT_BOXES": True,
        # Random augmentation of training images; each is off at the value given here.
        "AUG": {
            "VERTICAL_FLIP": False,  # mirror top-bottom too, with probability 0.5; RANDOM_FLIP has left-right
            "ROTATION_DEG": 0.0,  # uniform in [-x, x] about the image centre
            "SCALE_RANGE": [1.0, 1.0],  # isotropic factor, log-uniform
            "TRANSLATE_FRAC": 0.0,  # uniform in [-x, x] of the image's width and height
            "GAMMA_RANGE": [1.0, 1.0],  # exponent on grey values scaled to 0..1, log-uniform
            "CONTRAST_RANGE": [1.0, 1.0],  # factor about the image mean
            "BRIGHTNESS_RANGE": [1.0, 1.0],  # factor on all grey values
            "SPECKLE_SD": 0.0,  # largest standard deviation of correlated multiplicative noise
            "BLUR_SIGMA_MAX": 0.0,  # Gaussian sigma, uniform in [0, x] px of the network input
            "OCCLUSION_PROB": 0.0,  # probability of one dark patch or shadow wedge
            "GREY_PROB": 0.0,  # probability that a colour image is turned into grey values
            "SATURATION_RANGE": [1.0, 1.0],  # factor on the distance from grey, colour images only
            "HUE_DEG": 0.0,  # shift of the hue, uniform in [-x, x]; at most 180
            "JIGSAW_PROB": 0.0,  # probability of a puzzle of the image's own pieces, which shows no object
        },
    },
    "DATASETS": {
        # Folder of the datasets: dataset NAME is read from the COCO file ROOT/NAME.json, or from another format that
        # the chosen model can read.
        "ROOT": "datasets/",
        # Folder of the images; empty: the folder that the JSON names itself.
        "IMAGE_ROOT": "",
    },
    "DATALOADER": {
        # Keep decoded, resized images in memory, so that epochs after the first read nothing from disk.
        "CACHE_IMAGES": False,
    },
    "SOLVER": {
        # SGD (Detectron2's), Adam, AdamW (from random weights, AdamW converges in far fewer iterations), or RMSprop
        # with Keras's decay of 0.9. MOMENTUM is for SGD alone.
        "OPTIMIZER": "SGD",
        # Type of mixed precision: float16, bfloat16, or "" for what suits the device (`solver.training_dtype`).
        "AMP": {"DTYPE": ""},
        # Evaluate and save an exponential moving average of the weights; DECAY per iteration.
        "EMA": {"ENABLED": False, "DECAY": 0.999},
        # Lower the learning rates by FACTOR after PATIENCE evaluations in a row without a better TEST.BEST_METRIC, on
        # top of LR_SCHEDULER_NAME; 0 = never. Rates do not fall below MIN_FACTOR of the schedule's.
        "PLATEAU": {"PATIENCE": 0, "FACTOR": 0.1, "MIN_FACTOR": 0.0001},
        # End the training after PATIENCE evaluations in a row without a better TEST.BEST_METRIC; 0 = never.
        "EARLY_STOPPING": {"PATIENCE": 0},
    },
    "TEST": {
        # Images per batch of an evaluation. 1 keeps images of different size free of padding.
        "IMS_PER_BATCH": 1,
        # Folders of finished trainings whose predictions are averaged by --eval-only; each brings its config.yaml.
        "ENSEMBLE": [],
        # Evaluate the training losses on DATASETS.TEST too, without augmentation, dropout and batch statistics, as task
        # "loss": TEST.BEST_METRIC loss/total_loss with BEST_MODE min follows their sum.
        "LOSSES": False,
        # Evaluators that run on DATASETS.TEST, by the names in the model's `Architecture`, such as coco (AP).
        "EVALUATORS": ["coco"],
        # Metric that chooses model_best.pth, as task/metric; BEST_MODE is max or min.
        "BEST_METRIC": "segm/AP",
        "BEST_MODE": "max",
    },
}

# Keys of Detectron2 that only have a meaning for parts this project does not use. A dumped Detectron2
# config.yaml holds them all, so they are accepted and dropped.
IGNORED_PREFIXES: tuple[str, ...] = (
    "GLOBAL",
    "MODEL.ROI_KEYPOINT_HEAD",
    "MODEL.SEM_SEG_HEAD",
    "MODEL.PANOPTIC_FPN",
    "MODEL.RETINANET",
    "MODEL.ANCHOR_GENERATOR.ANGLES",
    "MODEL.ROI_BOX_HEAD.FED_LOSS_",
    "DATASETS.PROPOSAL_FILES_",
    "DATASETS.PRECOMPUTED_PROPOSAL_",
    "DATALOADER.REPEAT_",
    "INPUT.CROP.",
    "SOLVER.NUM_DECAYS",
    "TEST.KEYPOINT_OKS_SIGMAS",
    "TEST.AUG.",
    "TEST.PRECISE_BN.NUM_ITER",
    "MODEL.RESNETS.DEFORM_MODULATED",
    "MODEL.RESNETS.DEFORM_NUM_GROUPS",
)

# Keys of Detectron2 whose default is the only value covered here; any other value is refused, never ignored.
FIXED_VALUES: dict[str, Any] = {
    "MODEL.LOAD_PROPOSALS": False,
    "MODEL.KEYPOINT_ON": False,
    "MODEL.ROI_BOX_HEAD.TRAIN_ON_PRED_BOXES": False,
    "MODEL.ROI_BOX_HEAD.USE_FED_LOSS": False,
    "MODEL.ROI_BOX_HEAD.USE_SIGMOID_CE": False,
    "MODEL.RESNETS.DEFORM_ON_PER_STAGE": [False, False, False, False],
    "INPUT.CROP.ENABLED": False,
    "SOLVER.RESCALE_INTERVAL": False,
    "SOLVER.REFERENCE_WORLD_SIZE": 0,
    "TEST.AUG.ENABLED": False,
    "TEST.PRECISE_BN.ENABLED": False,
}

# Keys of every model with a closed list of values.
CHOICES: dict[str, tuple[Any, ...]] = {
    "VERSION": (2,),
    "INPUT.FORMAT": ("BGR", "RGB"),
    "INPUT.MASK_FORMAT": ("polygon",),
    # "both" is not a value of Detectron2; older configurations have it for horizontal with INPUT.AUG.VERTICAL_FLIP.
    "INPUT.RANDOM_FLIP": ("none", "horizontal", "vertical", "both"),
    "INPUT.MIN_SIZE_TRAIN_SAMPLING": ("choice", "range"),
    "DATALOADER.SAMPLER_TRAIN": ("TrainingSampler",),
    "SOLVER.LR_SCHEDULER_NAME": ("WarmupMultiStepLR", "WarmupCosineLR"),
    "SOLVER.WARMUP_METHOD": ("linear", "constant"),
    "SOLVER.AMP.DTYPE": ("", "float16", "bfloat16"),
    "SOLVER.OPTIMIZER": ("SGD", "Adam", "AdamW", "RMSprop"),
    "SOLVER.CLIP_GRADIENTS.CLIP_TYPE": ("value", "norm"),
    "TEST.BEST_MODE": ("max", "min"),
}
