"""The outline refiner as a record for the engine, with its configuration keys, and the evaluator of head detectors."""

from __future__ import annotations

from typing import Any

from fetal_hc.engine.architecture import Architecture
from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.data.dataset import DetectionDataset
from hc18.training.band_mapper import PolarBandMapper
from hc18.training.hc_evaluation import build_hc_evaluator
from hc18.training.outline_refiner import OutlineRefiner
from hc18.training.refiner_export import export_refiner

KEYS: dict[str, Any] = {
    "MODEL": {
        "OUTLINE_REFINER": {
            # Channels at the band's own resolution; coarser ones have two, four and six times as many.
            "CHANNELS": 16,
            # Share of the coarsest channels left out at random in training.
            "DROPOUT": 0.1,
        },
    },
    "INPUT": {
        # Spread of the ellipses around which training bands lie, as standard deviations of their distance from the
        # reference: centre and semi-axes as fractions of the mean radius and of themselves, and the angle.
        # CUT_PROB: probability that a side of the image is moved so that it cuts the head.
        "BAND": {"CENTER_SD": 0.02, "AXES_SD": 0.04, "ANGLE_SD_DEG": 6.0, "CUT_PROB": 0.0},
    },
    "DATASETS": {
        # details.csv files of fetal-hc score with what a detector measured in the images of DATASETS.TEST, which
        # neither network may have been trained on.
        "START_OUTLINES": [],
    },
}


def check_config(cfg: CfgNode) -> list[str]:
    """One message for every value that an outline refiner cannot work with."""
    problems, band = [], cfg.INPUT.BAND
    if cfg.MODEL.OUTLINE_REFINER.CHANNELS < 1:
        problems.append(f"MODEL.OUTLINE_REFINER.CHANNELS: {cfg.MODEL.OUTLINE_REFINER.CHANNELS} must be at least 1")
    if not 0.0 <= cfg.MODEL.OUTLINE_REFINER.DROPOUT < 1.0:
        problems.append(f"MODEL.OUTLINE_REFINER.DROPOUT: {cfg.MODEL.OUTLINE_REFINER.DROPOUT} must be in [0, 1)")
    # One start in five is drawn from twice the width, and the reference must stay within the band.
    if not (0.0 <= band.CENTER_SD <= 0.05 and 0.0 <= band.AXES_SD <= 0.05 and 0.0 <= band.ANGLE_SD_DEG <= 20.0):
        problems.append("INPUT.BAND: CENTER_SD and AXES_SD must be in [0, 0.05], ANGLE_SD_DEG in [0, 20]")
    if not 0.0 <= band.CUT_PROB <= 1.0:
        problems.append(f"INPUT.BAND.CUT_PROB: {band.CUT_PROB} must be in [0, 1]")
    if cfg.INPUT.RANDOM_FLIP not in ("none", "horizontal") or cfg.INPUT.AUG.VERTICAL_FLIP:
        problems.append(
            f"INPUT.RANDOM_FLIP: {cfg.INPUT.RANDOM_FLIP!r} must be none or horizontal, and INPUT.AUG.VERTICAL_FLIP "
            "False: sound comes from the top"
        )
    if cfg.DATASETS.TEST and not cfg.DATASETS.START_OUTLINES:
        problems.append(
            "DATASETS.START_OUTLINES: empty, but outlines of DATASETS.TEST are to be refined; name the details.csv "
            "files of a detector, or set DATASETS.TEST to []"
        )
    return problems


def check_dataset(_cfg: CfgNode, dataset: DetectionDataset) -> list[str]:
    """One message for every image without exactly one head whose ellipse is known."""
    return [
        f"{record['file_name']}: not one head with its ellipse; convert with fetal-hc convert"
        for record in dataset.records
        if ["ellipse_px" in annotation for annotation in record["annotations"]] != [True]
    ]


# Evaluators of every model that finds heads.
HC_EVALUATORS = {"hc": build_hc_evaluator}

OUTLINE_REFINER = Architecture(
    name="OutlineRefiner",
    model=OutlineRefiner,
    mapper=PolarBandMapper,
    evaluators=HC_EVALUATORS,
    config=(KEYS,),
    check_config=check_config,
    check_dataset=check_dataset,
    export=export_refiner,
)
