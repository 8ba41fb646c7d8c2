"""Keys of the outline refiner, which looks again at the outline that a first network found."""

from __future__ import annotations

from typing import Any

from fetal_hc.engine.config.node import CfgNode

REFINER_KEYS: dict[str, Any] = {
    "MODEL": {
        "OUTLINE_REFINER": {
            # Channels at the band's own resolution; coarser ones have two, four and six times as many.
            "CHANNELS": 16,
            # Share of the coarsest channels left out at random in training.
            "DROPOUT": 0.1,
        },
    },
    "INPUT": {
        # How far the ellipses around which training bands lie are off the reference, as standard deviations: centre and
        # semi-axes as fractions of the mean radius and of themselves, and the angle.
        # CUT_PROB: probability that a side of the image is moved so that it cuts the head.
        "BAND": {"CENTER_SD": 0.02, "AXES_SD": 0.04, "ANGLE_SD_DEG": 6.0, "CUT_PROB": 0.0},
    },
    "DATASETS": {
        # details.csv files of tools/score.py with what a first network measured in the images of DATASETS.TEST, which
        # neither network may have been trained on.
        "START_OUTLINES": [],
    },
}


def find_refiner_conflicts(cfg: CfgNode) -> list[str]:
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
    if cfg.INPUT.RANDOM_FLIP not in ("none", "horizontal"):
        problems.append(
            f"INPUT.RANDOM_FLIP: {cfg.INPUT.RANDOM_FLIP!r} is none of none, horizontal: sound comes from the top"
        )
    if cfg.DATASETS.TEST and not cfg.DATASETS.START_OUTLINES:
        problems.append(
            "DATASETS.START_OUTLINES: empty, but outlines of DATASETS.TEST are to be refined; name the details.csv "
            "files of a first network, or set DATASETS.TEST to []"
        )
    return problems
