"""Lean graphs: what is merged and replaced changes no result, and sizes stay free."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.export.graph import MaskHeadForIntegers, trace
from fetal_hc.engine.modeling.mask_head import MaskHead
from fetal_hc.engine.modeling.rpn import RPN


class PaddedConvolution(nn.Module):
    """A stride-2 convolution that pads one pixel at the right and bottom, as TensorFlow's SAME does."""

    def __init__(self, fill: float) -> None:
        super().__init__()
        self.fill = fill
        self.convolution = nn.Conv2d(3, 2, 3, stride=2)

    def forward(self, image: Tensor) -> Tensor:
        result: Tensor = self.convolution(F.pad(image[None] / 255.0, (0, 1, 0, 1), value=self.fill))
        return result


def run(proto: onnx.ModelProto, image: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(proto.SerializeToString(), providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": image})[0])


@pytest.mark.parametrize(("fill", "n_pads"), [(0.0, 0), (1.0, 1)])
def test_only_paddings_of_zeros_become_part_of_the_convolution(fill: float, n_pads: int) -> None:
    torch.manual_seed(0)
    graph = PaddedConvolution(fill).eval()
    proto = trace(graph, torch.rand(3, 8, 8), names=("image", ["map"]), dynamic_sides={1: "height", 2: "width"})
    assert sum(node.op_type == "Pad" for node in proto.graph.node) == n_pads
    image = np.random.default_rng(0).uniform(0, 255, (3, 12, 20)).astype(np.float32)
    with torch.no_grad():
        expected = graph(torch.from_numpy(image)).numpy()
    np.testing.assert_allclose(run(proto, image), expected, atol=1e-5)


@pytest.mark.parametrize("n_classes", [1, 3])
def test_mask_head_for_integers_gives_the_same_masks(make_config: Callable[..., CfgNode], n_classes: int) -> None:
    torch.manual_seed(0)
    cfg = make_config("MODEL.ROI_HEADS.NUM_CLASSES", str(n_classes))
    head = MaskHead(cfg, 8).eval()
    nn.init.normal_(head.deconv.bias)
    nn.init.normal_(head.predictor.bias)
    features = torch.randn(2, 8, 14, 14)
    with torch.no_grad():
        expected, found = head(features), MaskHeadForIntegers(head).eval()(features)
    assert found.shape == expected.shape == (2, n_classes, 28, 28)
    torch.testing.assert_close(found, expected)


class Proposals(nn.Module):
    """The proposals of a picture whose features are its first channels."""

    def __init__(self, rpn: RPN, channels: int) -> None:
        super().__init__()
        self.rpn = rpn
        self.channels = channels

    def forward(self, image: Tensor) -> Tensor:
        planes = image.repeat(self.channels, 1, 1)[: self.channels][None]
        levels = {f"p{k}": F.max_pool2d(planes, 2**k, 2**k) for k in (3, 4, 5, 6)}
        boxes: Tensor = self.rpn(levels, [(image.shape[1], image.shape[2])], None)[0][0]
        return boxes


def test_picture_with_fewer_anchors_than_proposals_has_them_all(make_config: Callable[..., CfgNode]) -> None:
    torch.manual_seed(0)
    cfg = make_config(
        *("MODEL.RPN.IN_FEATURES", "['p3', 'p4', 'p5', 'p6']"),
        *("MODEL.ANCHOR_GENERATOR.SIZES", "[[32], [48], [64], [96]]"),
        *("MODEL.RPN.PRE_NMS_TOPK_TEST", "50", "MODEL.RPN.POST_NMS_TOPK_TEST", "1000"),
    )
    graph = Proposals(RPN(cfg, 8, {f"p{k}": 2**k for k in (3, 4, 5, 6)}), 8).eval()
    proto = trace(graph, torch.rand(3, 256, 320), names=("image", ["boxes"]), dynamic_sides={1: "height", 2: "width"})
    image = np.random.default_rng(0).uniform(0, 1, (3, 64, 320)).astype(np.float32)
    with torch.no_grad():
        expected = graph(torch.from_numpy(image)).numpy()
    found = run(proto, image)  # equal scores may swap places
    assert len(found) == len(expected) > 50
    assert np.abs(found[:, None] - expected[None]).max(axis=2).min(axis=0).max() < 1e-2
