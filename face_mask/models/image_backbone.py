"""Feature extractors for whole images. All map (N, 3, S, S) to (N, `out_channels`, s, s).

Parameters of the bodies from torchvision and timm keep the names they have there.
References: Sandler et al., MobileNetV2 (CVPR 2018); He et al., Deep residual learning (CVPR 2016); Chollet, Xception
(CVPR 2017).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models.mobilenetv2 import MobileNetV2
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from fetal_hc.engine.config import CfgNode
from fetal_hc.errors import ConfigError

# Block of MobileNetV2 whose 3x3 convolution goes from stride 16 to 32.
LAST_HALVING = 14

logger = logging.getLogger(__name__)


class ScratchCnn(nn.Module):
    """3x3 convolution, norm, ReLU and 2x2 maximum for each entry of `channels`.

    Args:
        channels: of each convolution.
        norm: "BN" or "".
        padding: "same" or "valid".
        pool_last: whether the last convolution is followed by a maximum too.
    """

    def __init__(self, channels: Sequence[int], norm: str, padding: str = "same", *, pool_last: bool = True) -> None:
        super().__init__()
        layers = []
        for number, (n_in, n_out) in enumerate(zip((3, *channels[:-1]), channels, strict=True), start=1):
            norm_layer = nn.BatchNorm2d(n_out) if norm == "BN" else nn.Identity()
            convolution = nn.Conv2d(n_in, n_out, 3, padding=padding, bias=norm == "")
            pool = nn.MaxPool2d(2) if pool_last or number < len(channels) else nn.Identity()
            layers.append(nn.Sequential(convolution, norm_layer, nn.ReLU(inplace=True), pool))
        self.layers = nn.Sequential(*layers)
        self.out_channels = channels[-1]

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x)

    def stages(self) -> list[nn.Module]:
        return list(self.layers)


class MobileNetV2Body(MobileNetV2):
    """torchvision's MobileNetV2 without its classifier; 19 stages, stride 32, or 16 without the last halving."""

    def __init__(self, output_stride: int) -> None:
        super().__init__()
        if output_stride == 16:
            self.features[LAST_HALVING].conv[1][0].stride = (1, 1)
        self.out_channels = int(self.last_channel)
        del self.classifier

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)

    def stages(self) -> list[nn.Module]:
        return list(self.features)


class ResNetBody(ResNet):
    """torchvision's ResNet without its classifier; stages: stem, layer1 .. layer4, stride 32."""

    def __init__(self, block: type[BasicBlock | Bottleneck], layers: list[int]) -> None:
        super().__init__(block, layers)
        self.out_channels = int(self.fc.in_features)
        del self.fc

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.relu(self.bn1(self.conv1(x))))
        return self.layer4(self.layer3(self.layer2(self.layer1(x))))

    def stages(self) -> list[nn.Module]:
        return [nn.ModuleList([self.conv1, self.bn1]), self.layer1, self.layer2, self.layer3, self.layer4]


class XceptionBody(nn.Module):
    """timm's Xception without its classifier; 16 stages, stride 32."""

    def __init__(self) -> None:
        super().__init__()
        import timm  # slow to import, and only this body needs it

        body: Any = timm.create_model("legacy_xception", pretrained=False, num_classes=0, global_pool="")
        self.body = body
        self.out_channels = int(body.num_features)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.body.forward_features(x))

    def stages(self) -> list[nn.Module]:
        blocks = [[f"block{k}"] for k in range(1, 13)]
        names = [["conv1", "bn1"], ["conv2", "bn2"], *blocks, ["conv3", "bn3"], ["conv4", "bn4"]]
        return [nn.ModuleList([self.body.get_submodule(name) for name in stage]) for stage in names]


Body = ScratchCnn | MobileNetV2Body | ResNetBody | XceptionBody

_BODIES: dict[str, Callable[[CfgNode], Body]] = {
    "scratch_cnn": lambda node: ScratchCnn(node.CHANNELS, node.NORM, node.PADDING, pool_last=node.POOL_LAST),
    "mobilenet_v2": lambda node: MobileNetV2Body(node.OUTPUT_STRIDE),
    "resnet18": lambda node: ResNetBody(BasicBlock, [2, 2, 2, 2]),
    "resnet50": lambda node: ResNetBody(Bottleneck, [3, 4, 6, 3]),
    "xception": lambda node: XceptionBody(),
}


def build_image_backbone(cfg: CfgNode) -> Body:
    """The body that MODEL.IMAGE_BACKBONE names, its first FREEZE_STAGES stages frozen.

    Raises:
        ConfigError: if it has fewer stages.
    """
    node = cfg.MODEL.IMAGE_BACKBONE
    body = _BODIES[node.NAME](node)
    stages = body.stages()
    if not 0 <= node.FREEZE_STAGES <= len(stages):
        raise ConfigError(
            f"MODEL.IMAGE_BACKBONE.FREEZE_STAGES: {node.FREEZE_STAGES}, but {node.NAME} has {len(stages)} stages"
        )
    for stage in stages[: node.FREEZE_STAGES]:
        freeze(stage)
    if node.FREEZE_STAGES and not cfg.MODEL.WEIGHTS:
        logger.warning("the first %d stages of %s stay at random weights", node.FREEZE_STAGES, node.NAME)
    return body


def freeze(module: nn.Module) -> None:
    """Stops the training of a module's parameters and fixes the statistics of its batch norms."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.register_forward_pre_hook(_to_eval)
    for parameter in module.parameters():
        parameter.requires_grad = False


def _to_eval(module: nn.Module, _inputs: object) -> None:
    module.training = False
