"""Writes what Detectron2 computes to tests/golden/, so that parity is tested where Detectron2 is not installed.

    python -m tests.fetal_hc.engine.write_parity_fixtures --detectron2-commit 02b5c4e2

Needs Detectron2. Weights and inputs follow from `parity_cases`; only results are stored: losses, norms of gradients,
detections, learning rates, parameter groups, steps with clipped gradients.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.structures import Detections
from fetal_hc.io.atomic import atomic_path, write_text_atomic
from tests.fetal_hc.engine import detectron2_bridge, parity_cases, parity_measures
from tests.fetal_hc.engine.parity_cases import GROUPINGS, SCHEDULES, SGD, VARIANTS, parity_config

GOLDEN = Path(__file__).resolve().parents[2] / "golden"
NUMBERS = GOLDEN / "detectron2_parity.json"
DETECTIONS = GOLDEN / "detectron2_parity_detections.npz"
# Every fourth cell of a mask is stored, which finds any wrong mask and keeps the file small.
MASK_STEP = 4


def compute_numbers() -> dict[str, Any]:
    """Everything that is stored as text, by Detectron2."""
    from detectron2.solver import build_lr_scheduler, build_optimizer

    def groups(variant: str, grouping: str) -> list[list[Any]]:
        cfg = parity_config(*VARIANTS[variant], *SGD, *GROUPINGS[grouping])
        model = detectron2_bridge.build_detectron2(cfg)
        optimizer = build_optimizer(detectron2_bridge.to_detectron2_config(cfg), model)
        return _shared_by_parameters(parity_measures.rates_and_decays(optimizer, model))

    def rates(cfg: CfgNode) -> list[float]:
        optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=cfg.SOLVER.BASE_LR)
        schedule = build_lr_scheduler(detectron2_bridge.to_detectron2_config(cfg), optimizer)
        return parity_measures.learning_rates(optimizer, schedule, cfg.SOLVER.MAX_ITER)

    return {
        "training": {
            name: _training(parity_config(*keys, *parity_cases.NOTHING_SAMPLED)) for name, keys in VARIANTS.items()
        },
        "learning_rates": {name: rates(parity_config(*keys)) for name, keys in SCHEDULES.items()},
        "rates_and_decays": {f"{v}: {g}": groups(v, g) for v, g in parity_cases.GROUP_CASES},
        "clipped_steps": {name: _clipped_steps(keys) for name, keys in parity_cases.CLIPPINGS.items()},
    }


def compute_detections() -> dict[str, np.ndarray]:
    """Detections of every variant by Detectron2, as `to_arrays` names them."""
    arrays: dict[str, np.ndarray] = {}
    for name, keys in VARIANTS.items():
        model = detectron2_bridge.build_detectron2(parity_config(*keys)).eval()
        parity_cases.fill_weights(model)
        arrays |= to_arrays(name, detectron2_bridge.detect_with_detectron2(model, parity_cases.model_inputs()))
    return arrays


def to_arrays(name: str, found: list[Detections]) -> dict[str, np.ndarray]:
    """Detections under NAME/IMAGE/boxes, scores, classes, masks; of the masks, the cells that are stored."""
    arrays = {}
    for index, image in enumerate(found):
        masks = image.masks[:, ::MASK_STEP, ::MASK_STEP]
        values = {
            "boxes": image.boxes,
            "scores": image.scores,
            "classes": image.classes.to(torch.int32),
            "masks": masks,
        }
        arrays |= {f"{name}/{index}/{key}": value.numpy() for key, value in values.items()}
    return arrays


def per_parameter(groups: list[list[Any]]) -> dict[str, list[float]]:
    """name -> [learning rate, weight decay] from what `_shared_by_parameters` stores."""
    return {name: [rate, decay] for rate, decay, names in groups for name in names.split()}


def _shared_by_parameters(rates_and_decays: dict[str, list[float]]) -> list[list[Any]]:
    """[learning rate, weight decay, names of the parameters], sorted."""
    names: dict[tuple[float, ...], list[str]] = {}
    for name, values in rates_and_decays.items():
        names.setdefault(tuple(values), []).append(name)
    return [[*values, " ".join(sorted(members))] for values, members in sorted(names.items())]


def _training(cfg: CfgNode) -> dict[str, dict[str, float]]:
    from detectron2.utils.events import EventStorage

    model = detectron2_bridge.build_detectron2(cfg)
    parity_cases.fill_weights(model)
    with EventStorage():
        losses = model([detectron2_bridge.to_detectron2_input(item) for item in parity_cases.model_inputs()])
    return parity_measures.losses_and_gradients(model, losses)


def _clipped_steps(clipping: tuple[str, ...]) -> dict[str, float]:
    from detectron2.solver import build_lr_scheduler, build_optimizer

    cfg = parity_config(*parity_cases.SHORT_SGD, *clipping)
    their_cfg = detectron2_bridge.to_detectron2_config(cfg)
    model = detectron2_bridge.build_detectron2(cfg)
    optimizer = build_optimizer(their_cfg, model)
    schedule = build_lr_scheduler(their_cfg, optimizer)
    return parity_measures.movements(model, optimizer, schedule, lambda: None)


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--detectron2-commit", required=True, metavar="HASH", help="recorded in the file")
    return parser


def main() -> int:
    arguments = build_parser().parse_args()
    torch.set_num_threads(1)
    origin = {"detectron2": arguments.detectron2_commit, "torch": torch.__version__.partition("+")[0]}
    content = json.dumps({"written_with": origin, **compute_numbers()}, indent=1)
    write_text_atomic(NUMBERS, content + "\n")
    with atomic_path(DETECTIONS) as temporary, temporary.open("wb") as stream:
        np.savez_compressed(stream, **compute_detections())
    return 0


if __name__ == "__main__":
    sys.exit(main())
