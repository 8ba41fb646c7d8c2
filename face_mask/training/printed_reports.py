"""What the four face-mask reports print of each experiment: its length, its size and its figures.

Parameters are counted as Keras does: running statistics of batch norms are parameters that are not trained. Where a
report prints no value, there is None.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from fetal_hc.errors import ConfigError

ACCURACY, IOU = "classification/accuracy", "box/mean_IoU"
MASK_IOU, MASK_DICE = "mask/IoU", "mask/Dice"
TRAIN_LOSS, VAL_LOSS = "train/total_loss", "loss/total_loss"


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment of a report.

    Attributes:
        report: number of the report.
        name: of the configuration in `configs/face_mask/report_NUMBER`.
        epochs: most epochs; the report's, or the configuration's choice where none is printed.
        printed: metric as "task/metric" -> printed value, percent except for losses.
        n_parameters: printed total.
        n_trainable: printed number of those that are trained.
        body_weights: file stem of ImageNet weights that the experiment starts from; "" for random weights.
        n_counted: our total where it differs from the printed one; `docs/experiments.md` says why.
    """

    report: str
    name: str
    epochs: int
    printed: Mapping[str, float] = field(default_factory=dict)
    n_parameters: int | None = None
    n_trainable: int | None = None
    body_weights: str = ""
    n_counted: int | None = None


def _one_face(
    name: str, epochs: int, accuracy: float, iou: float, total: int, trained: int | None = None, weights: str = ""
) -> Experiment:
    """An experiment of the first report."""
    printed = {ACCURACY: accuracy, IOU: iou}
    return Experiment("001", name, epochs, printed, total, total if trained is None else trained, weights)


MOBILENET, XCEPTION, RESNET = "mobilenet_v2", "xception", "resnet50"

EXPERIMENTS = (
    Experiment("000", "mobilenet_v2", 20, body_weights=MOBILENET),
    Experiment("000", "resnet50", 20, body_weights=RESNET),
    _one_face("scratch_1", 10, 66.82, 7.27, 38_066),
    _one_face("scratch_2", 10, 69.39, 10.54, 38_066),
    _one_face("scratch_3", 10, 77.10, 17.12, 443_718),
    _one_face("scratch_4_mse", 20, 74.77, 18.37, 443_718),
    _one_face("scratch_4_smooth_l1", 20, 70.79, 15.50, 443_718),
    _one_face("scratch_5", 20, 76.16, 19.36, 434_501),
    _one_face("scratch_6", 30, 77.57, 21.05, 720_261),
    _one_face("scratch_7", 30, 79.44, 20.05, 720_261),
    _one_face("mobilenet_v2_1", 10, 89.01, 19.09, 2_587_205, 329_221, MOBILENET),
    _one_face("mobilenet_v2_2", 10, 86.68, 16.70, 2_587_205, 329_221, MOBILENET),
    _one_face("mobilenet_v2_3", 10, 87.38, 19.15, 2_587_205, 329_221, MOBILENET),
    _one_face("mobilenet_v2_4", 10, 90.65, 20.28, 2_718_789, 460_805, MOBILENET),
    _one_face("mobilenet_v2_5", 13, 91.12, 20.17, 6_594_117, 4_336_133, MOBILENET),
    _one_face("mobilenet_v2_6", 30, 92.75, 21.36, 6_594_117, 4_336_133, MOBILENET),
    _one_face("xception_1", 10, 85.28, 18.33, 21_387_309, 525_829, XCEPTION),
    _one_face("xception_2", 10, 82.25, 14.97, 21_387_309, 525_829, XCEPTION),
    Experiment("001", "xception_3", 10, {IOU: 15.37}, 21_387_309, 525_829, XCEPTION),
    _one_face("xception_4", 10, 85.28, 15.60, 21_518_893, 657_413, XCEPTION),
    _one_face("xception_5", 10, 87.14, 19.05, 28_738_093, 7_876_613, XCEPTION),
)


def experiments_of(report: str) -> tuple[Experiment, ...]:
    """The experiments of a report, in its order.

    Raises:
        ConfigError: if the number is not one of the reports'.
    """
    found = tuple(item for item in EXPERIMENTS if item.report == report)
    if not found:
        known = ", ".join(dict.fromkeys(item.report for item in EXPERIMENTS))
        raise ConfigError(f"report '{report}' is not known; expected one of {known}")
    return found
