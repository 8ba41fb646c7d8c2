"""Gradients of a Mask R-CNN over one global batch, in however many processes torchrun started."""

from pathlib import Path

import torch

from fetal_hc.engine import rcnn
from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.config import load_config
from fetal_hc.engine.train import distributed
from tests.fetal_hc.engine.inputs import SMALL, make_input

CONFIG = Path(__file__).resolve().parents[3] / "configs" / "hc18" / "mask_rcnn_R_18_FPN.yaml"
N_IMAGES = 4  # the global batch
# Every anchor and proposal is kept and only the drawn head itself is foreground, so that no random choice and no count
# depends on how the images are shared out.
NO_CHANCE = [
    *("MODEL.RESNETS.NORM", "FrozenBN", "MODEL.CHANNELS_LAST", "False"),
    *("MODEL.RPN.BATCH_SIZE_PER_IMAGE", "100000", "MODEL.ROI_HEADS.BATCH_SIZE_PER_IMAGE", "100000"),
    *("MODEL.RPN.POST_NMS_TOPK_TRAIN", "20", "MODEL.RPN.NMS_THRESH", "1.0"),
    *("MODEL.ROI_HEADS.IOU_THRESHOLDS", "[0.99]", "MODEL.ROI_HEADS.POSITIVE_FRACTION", "1.0"),
]


def write_gradients(path: Path) -> None:
    """Saves the gradient of every parameter after one step over this process's share of the batch."""
    torch.set_num_threads(1)
    with distributed.process_group("cpu"):
        torch.manual_seed(0)
        cfg = load_config((rcnn.ARCHITECTURE,), CONFIG, ["MODEL.DEVICE", "cpu", *SMALL, *NO_CHANCE])
        model = build_model(cfg, rcnn.ARCHITECTURE).train()
        wrapped = distributed.wrap_model(model, torch.device("cpu"))
        share = range(distributed.rank(), N_IMAGES, distributed.world_size())
        losses = wrapped([make_input(seed, with_targets=True) for seed in share])
        sum(losses.values()).backward()
        if distributed.is_main():
            gradients = {name: weights.grad for name, weights in model.named_parameters() if weights.grad is not None}
            torch.save(gradients, path)
