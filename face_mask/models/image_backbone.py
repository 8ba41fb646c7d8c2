"""Feature extractors for whole images. All map (N, 3, S, S) to (N, `out_channels`, s, s).

Parameters of the bodies from torchvision and timm keep the names they have there.
References: Sandler et al., MobileNetV2 (CVPR 2018); He et al., Deep residual learning (CVPR 2016); Chollet, Xception
(CVPR 2017); Tan and Le, EfficientNet (ICML 2019).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from typing import Any

import torch
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


class EfficientNetLiteBody(nn.Module):
    """timm's EfficientNet-Lite0 without its classifier; 9 stages, stride 32."""

    def __init__(self) -> None:
        super().__init__()
        import timm  # slow to import

        body: Any = timm.create_model("tf_efficientnet_lite0", pretrained=False, num_classes=0, global_pool="")
        self.body = body
        self.out_channels = int(body.num_features)

    def forward(self, x: Tensor) -> Tensor:
        return self.body.forward_features(x)

    def stages(self) -> list[nn.Module]:
        body = self.body
        return [
            nn.ModuleList([body.conv_stem, body.bn1]),
            *body.blocks.children(),
            nn.ModuleList([body.conv_head, body.bn2]),
        ]


Body = ScratchCnn | MobileNetV2Body | ResNetBody | XceptionBody | EfficientNetLiteBody

_BODIES: dict[str, Callable[[CfgNode], Body]] = {
    "scratch_cnn": lambda node: ScratchCnn(node.CHANNELS, node.NORM, node.PADDING, pool_last=node.POOL_LAST),
    "mobilenet_v2": lambda node: MobileNetV2Body(node.OUTPUT_STRIDE),
    "resnet18": lambda node: ResNetBody(BasicBlock, [2, 2, 2, 2]),
    "resnet50": lambda node: ResNetBody(Bottleneck, [3, 4, 6, 3]),
    "xception": lambda node: XceptionBody(),
    "efficientnet_lite0": lambda node: EfficientNetLiteBody(),
}


def build_image_backbone(cfg: CfgNode) -> Body:
    """The body that MODEL.IMAGE_BACKBONE names, its first FREEZE_STAGES stages frozen.

    Raises:
        ConfigError: if it has fewer stages, or features are to be remembered of stages that are trained.
    """
    node = cfg.MODEL.IMAGE_BACKBONE
    body = _BODIES[node.NAME](node)
    stages = body.stages()
    if not 0 <= node.FREEZE_STAGES <= len(stages):
        raise ConfigError(
            f"MODEL.IMAGE_BACKBONE.FREEZE_STAGES: {node.FREEZE_STAGES}, but {node.NAME} has {len(stages)} stages"
        )
    if node.CACHE_FEATURES and len(stages) > node.FREEZE_STAGES:
        raise ConfigError(
            f"MODEL.IMAGE_BACKBONE.CACHE_FEATURES: only features of a frozen network stay the same; set FREEZE_STAGES "
            f"{len(stages)}, all of {node.NAME}, or CACHE_FEATURES False"
        )
    for stage in stages[: node.FREEZE_STAGES]:
        freeze(stage)
    if node.FREEZE_STAGES and not cfg.MODEL.WEIGHTS:
        logger.warning("the first %d stages of %s stay at random weights", node.FREEZE_STAGES, node.NAME)
    return body


class FeatureCache:
    """Features of every image, computed once: those of a frozen network without augmentation do not change.

    Args:
        compute: model inputs -> features (N, D).
    """

    def __init__(self, compute: Callable[[list[dict[str, Any]]], Tensor]) -> None:
        self._compute = compute
        self._known: dict[str, Tensor] = {}

    def __call__(self, inputs: list[dict[str, Any]]) -> Tensor:
        """Features (N, D) of the images of a batch, told apart by "file_name"."""
        new = {item["file_name"]: item for item in inputs if item["file_name"] not in self._known}
        if new:
            with torch.no_grad():
                self._known.update(zip(new, self._compute(list(new.values())), strict=True))
        return torch.stack([self._known[item["file_name"]] for item in inputs])


def initialize(model: nn.Module, kind: str) -> None:
    """Draws the first weights of all convolutions and linear layers, with biases of 0.

    Args:
        model: to be changed.
        kind: glorot_uniform (Keras's), kaiming_normal, or "" for torch's own.

    References: Glorot and Bengio (AISTATS 2010); He et al., Delving deep into rectifiers (ICCV 2015).
    """
    if not kind:
        return
    draw: Callable[[Tensor], Tensor] = nn.init.xavier_uniform_ if kind == "glorot_uniform" else nn.init.kaiming_normal_
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            draw(module.weight)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


def freeze(module: nn.Module) -> None:
    """Stops the training of a module's parameters and fixes the statistics of its batch norms."""
    for child in module.modules():
        if isinstance(child, nn.BatchNorm2d):
            child.register_forward_pre_hook(_to_eval)
    for parameter in module.parameters():
        parameter.requires_grad = False


def _to_eval(module: nn.Module, _inputs: object) -> None:
    module.training = False
