"""What the four face-mask reports print of each experiment: its length, its size and its figures.

Parameters are counted as Keras does: running statistics of batch norms are parameters that are not trained. Where a
report prints no value, there is None.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fetal_hc.errors import ConfigError

ACCURACY, IOU = "classification/accuracy", "box/mean_IoU"
MASK_IOU, MASK_DICE = "mask/IoU", "mask/Dice"
# Training and validation loss at the end.
LOSSES = ("train/total_loss", "loss/total_loss")


@dataclass(frozen=True, slots=True)
class Experiment:
    """One experiment of a report.

    Attributes:
        report: number of the report.
        name: of the configuration in `configs/face_mask/report_NUMBER`.
        epochs: most epochs; the report's, or the configuration's choice where none is printed.
        minutes: about how long they take on one core; for several folds, all of them.
        printed: metric as "task/metric" -> printed value, percent except for losses.
        n_parameters: printed total.
        n_trainable: printed number of those that are trained.
        body_weights: file stem of ImageNet weights that the experiment starts from; "" for random weights.
        folds: of a cross-validation; 0 for one training that is scored on a test part.
        n_counted: our total and trained number where they differ from the printed ones; `docs/experiments.md` says why.
    """

    report: str
    name: str
    epochs: int
    minutes: float
    printed: Mapping[str, float] = field(default_factory=dict)
    n_parameters: int | None = None
    n_trainable: int | None = None
    body_weights: str = ""
    folds: int = 0
    n_counted: tuple[int, int] | None = None


def _one_face(
    name: str,
    epochs: int,
    minutes: float,
    figures: tuple[float, float],
    total: int,
    trained: int = 0,
    weights: str = "",
) -> Experiment:
    """An experiment of the first report; `figures` are accuracy and IoU on the test part."""
    printed = dict(zip((ACCURACY, IOU), figures, strict=True))
    return Experiment("001", name, epochs, minutes, printed, total, trained or total, weights)


def _masks(iou: float, dice: float, losses: tuple[float, float] | None = None) -> dict[str, float]:
    """Printed figures of masks, which the reports give as shares of 1."""
    of_masks = {MASK_IOU: 100 * iou, MASK_DICE: 100 * dice}
    return of_masks | (dict(zip(LOSSES, losses, strict=True)) if losses else {})


MOBILENET, XCEPTION, RESNET = "mobilenet_v2", "xception", "resnet50"

EXPERIMENTS = (
    Experiment("000", "mobilenet_v2", 20, 60, body_weights=MOBILENET),
    Experiment("000", "resnet50", 20, 180, body_weights=RESNET),
    _one_face("scratch_1", 10, 1, (66.82, 7.27), 38_066),
    _one_face("scratch_2", 10, 1, (69.39, 10.54), 38_066),
    _one_face("scratch_3", 10, 8, (77.10, 17.12), 443_718),
    _one_face("scratch_4_mse", 20, 16, (74.77, 18.37), 443_718),
    _one_face("scratch_4_smooth_l1", 20, 16, (70.79, 15.50), 443_718),
    _one_face("scratch_5", 20, 16, (76.16, 19.36), 434_501),
    _one_face("scratch_6", 30, 24, (77.57, 21.05), 720_261),
    _one_face("scratch_7", 30, 24, (79.44, 20.05), 720_261),
    _one_face("mobilenet_v2_1", 10, 4, (89.01, 19.09), 2_587_205, 329_221, MOBILENET),
    _one_face("mobilenet_v2_2", 10, 4, (86.68, 16.70), 2_587_205, 329_221, MOBILENET),
    _one_face("mobilenet_v2_3", 10, 4, (87.38, 19.15), 2_587_205, 329_221, MOBILENET),
    _one_face("mobilenet_v2_4", 10, 4, (90.65, 20.28), 2_718_789, 460_805, MOBILENET),
    _one_face("mobilenet_v2_5", 13, 5, (91.12, 20.17), 6_594_117, 4_336_133, MOBILENET),
    _one_face("mobilenet_v2_6", 30, 6, (92.75, 21.36), 6_594_117, 4_336_133, MOBILENET),
    _one_face("xception_1", 10, 5, (85.28, 18.33), 21_387_309, 525_829, XCEPTION),
    _one_face("xception_2", 10, 5, (82.25, 14.97), 21_387_309, 525_829, XCEPTION),
    Experiment("001", "xception_3", 10, 5, {IOU: 15.37}, 21_387_309, 525_829, XCEPTION),
    _one_face("xception_4", 10, 5, (85.28, 15.60), 21_518_893, 657_413, XCEPTION),
    _one_face("xception_5", 10, 6, (87.14, 19.05), 28_738_093, 7_876_613, XCEPTION),
    Experiment("002", "model_2", 30, 240, _masks(0.6896, 0.8080), 9_800_000, folds=3, n_counted=(4_387_288, 4_382_386)),
    Experiment(
        "002", "model_3", 100, 1400, _masks(0.7955, 0.8858), 31_200_000, folds=3, n_counted=(7_878_273, 7_872_641)
    ),
    Experiment(
        "003",
        "model_1",
        20,
        40,
        _masks(0.6354, 0.7675, (0.2911, 0.2899)),
        10_755_913,
        7_251_041,
        MOBILENET,
        n_counted=(9_510_785, 7_251_041),
    ),
    Experiment("003", "model_2", 20, 60, _masks(0.6819, 0.7972, (0.2117, 0.2169)), body_weights=MOBILENET),
)


def experiments_of(report: str, names: Sequence[str] = ()) -> tuple[Experiment, ...]:
    """The experiments of a report, in its order; of these, if there are any, those with one of the names.

    Raises:
        ConfigError: if the report or a name is not known.
    """
    found = tuple(item for item in EXPERIMENTS if item.report == report)
    known = ", ".join(dict.fromkeys(item.report for item in EXPERIMENTS))
    if not found:
        raise ConfigError(f"report '{report}' is not known; expected one of {known}")
    unknown = set(names) - {item.name for item in found}
    if unknown:
        raise ConfigError(
            f"report {report} has no experiment {', '.join(sorted(unknown))}; expected some of "
            f"{', '.join(item.name for item in found)}"
        )
    return tuple(item for item in found if not names or item.name in names)
