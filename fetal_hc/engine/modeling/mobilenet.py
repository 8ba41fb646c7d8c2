"""MobileNetV3-Large as a backbone with the feature names of a ResNet.

The body is torchvision's, under the name `body`, so torchvision's ImageNet weights fit key by key.
Reference: Howard et al., Searching for MobileNetV3 (ICCV 2019).
"""

from __future__ import annotations

from torch import Tensor, nn
from torchvision.models import mobilenet_v3_large

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.layers import FrozenBatchNorm2d

# Index of the last layer of each stride in torchvision's `features`.
LAST_LAYER = {"res2": 3, "res3": 6, "res4": 12, "res5": 16}


class MobileNetV3(nn.Module):
    """Feature maps {"res2": stride 4, ..., "res5": stride 32}."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        layers = mobilenet_v3_large(weights=None, width_mult=cfg.MODEL.MOBILENET.WIDTH_MULT).features
        self.out_features = tuple(cfg.MODEL.FPN.IN_FEATURES)
        depth = LAST_LAYER[self.out_features[-1]] + 1
        self.body = nn.Sequential(*list(layers)[:depth])
        self.channels = {name: layers[index].out_channels for name, index in LAST_LAYER.items()}
        self.strides = {name: 2 ** int(name[3:]) for name in LAST_LAYER}
        self._freeze(cfg.MODEL.BACKBONE.FREEZE_AT)

    def _freeze(self, freeze_at: int) -> None:
        """As for ResNet: 1 freezes the first convolution, k >= 2 everything up to res{k}."""
        last = -1 if freeze_at < 1 else LAST_LAYER.get(f"res{freeze_at}", 0)
        for layer in self.body[: last + 1]:
            for parameter in layer.parameters():
                parameter.requires_grad = False
            FrozenBatchNorm2d.convert(layer)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = {}
        names = {LAST_LAYER[name]: name for name in self.out_features}
        for index, layer in enumerate(self.body):
            x = layer(x)
            if index in names:
                features[names[index]] = x
        return features
