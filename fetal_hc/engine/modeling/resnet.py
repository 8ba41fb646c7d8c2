"""ResNet and ResNeXt backbones (18, 34, 50, 101) with Detectron2's module names.

References: He et al., Deep residual learning (CVPR 2016); Xie et al., Aggregated residual transformations (CVPR 2017).
"""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from fetal_hc.engine.modeling.layers import Conv2d, FrozenBatchNorm2d, init_msra

BLOCKS_PER_STAGE = {18: (2, 2, 2, 2), 34: (3, 4, 6, 3), 50: (3, 4, 6, 3), 101: (3, 4, 23, 3)}


class BasicStem(nn.Module):
    """7x7 stride-2 convolution and 3x3 stride-2 maximum: stride 4."""

    def __init__(self, channels: int, norm: str) -> None:
        super().__init__()
        self.conv1 = Conv2d(3, channels, 7, stride=2, norm=norm, relu=True, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(self.conv1(x), kernel_size=3, stride=2, padding=1)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with a shortcut (ResNet-18, -34)."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, norm: str) -> None:
        super().__init__()
        self.shortcut = _shortcut(in_channels, out_channels, stride, norm)
        self.conv1 = Conv2d(in_channels, out_channels, 3, stride=stride, norm=norm, relu=True, bias=False)
        self.conv2 = Conv2d(out_channels, out_channels, 3, norm=norm, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv2(self.conv1(x))
        return F.relu_(out + (x if self.shortcut is None else self.shortcut(x)))


class BottleneckBlock(nn.Module):
    """1x1, 3x3 (grouped for ResNeXt, dilated for DC5), 1x1 with a shortcut; the stride sits on conv1 or conv2."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        bottleneck_channels: int,
        *,
        stride: int,
        norm: str,
        groups: int,
        stride_in_1x1: bool,
        dilation: int = 1,
    ) -> None:
        super().__init__()
        stride_1x1, stride_3x3 = (stride, 1) if stride_in_1x1 else (1, stride)
        mid = bottleneck_channels
        self.shortcut = _shortcut(in_channels, out_channels, stride, norm)
        self.conv1 = Conv2d(in_channels, mid, 1, stride=stride_1x1, norm=norm, relu=True, bias=False)
        self.conv2 = Conv2d(
            mid, mid, 3, stride=stride_3x3, norm=norm, relu=True, groups=groups, dilation=dilation, bias=False
        )
        self.conv3 = Conv2d(mid, out_channels, 1, norm=norm, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        out = self.conv3(self.conv2(self.conv1(x)))
        return F.relu_(out + (x if self.shortcut is None else self.shortcut(x)))


class ResNet(nn.Module):
    """Feature maps {"res2": stride 4, ..., "res5": stride 32}, as many as OUT_FEATURES asks for.

    With RES5_DILATION 2 the last stage keeps the stride of 16 of the stage before it ("DC5").
    """

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        resnets = cfg.MODEL.RESNETS
        self.out_features = tuple(resnets.OUT_FEATURES)
        self.stem = BasicStem(resnets.STEM_OUT_CHANNELS, resnets.NORM)
        self.channels: dict[str, int] = {}
        self.strides: dict[str, int] = {}
        self.size_divisibility = 1  # features of any size will do: without a pyramid, none are added to each other
        last = max(int(name[3:]) for name in self.out_features)
        in_channels, out_channels = resnets.STEM_OUT_CHANNELS, resnets.RES2_OUT_CHANNELS
        for stage in range(2, last + 1):
            dilation = resnets.RES5_DILATION if stage == 5 else 1
            self.add_module(f"res{stage}", make_stage(resnets, stage, in_channels, out_channels, dilation))
            self.channels[f"res{stage}"] = out_channels
            self.strides[f"res{stage}"] = 2**stage // dilation
            in_channels, out_channels = out_channels, out_channels * 2
        self.stages = [f"res{stage}" for stage in range(2, last + 1)]
        for module in self.modules():
            if isinstance(module, Conv2d):
                init_msra(module)
        self._freeze(cfg.MODEL.BACKBONE.FREEZE_AT)

    def _freeze(self, freeze_at: int) -> None:
        """Freeze the stem (freeze_at >= 1) and the stages up to res{freeze_at}; their batch norms become fixed."""
        names = ["stem"] * (freeze_at >= 1) + [name for name in self.stages if int(name[3:]) <= freeze_at]
        for name in names:
            stage = getattr(self, name)
            for parameter in stage.parameters():
                parameter.requires_grad = False
            FrozenBatchNorm2d.convert(stage)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        x = self.stem(x)
        features = {}
        for name in self.stages:
            x = getattr(self, name)(x)
            if name in self.out_features:
                features[name] = x
        return features


def _shortcut(in_channels: int, out_channels: int, stride: int, norm: str) -> Conv2d | None:
    if in_channels == out_channels:
        return None
    return Conv2d(in_channels, out_channels, 1, stride=stride, norm=norm, bias=False)


def make_stage(resnets: CfgNode, stage: int, in_channels: int, out_channels: int, dilation: int = 1) -> nn.Sequential:
    """The blocks of res{stage}; the first one halves the resolution, but not in res2 and not with dilation."""
    blocks: list[nn.Module] = []
    for index in range(BLOCKS_PER_STAGE[resnets.DEPTH][stage - 2]):
        stride = 2 if index == 0 and stage > 2 and dilation == 1 else 1
        if resnets.DEPTH in (18, 34):
            blocks.append(BasicBlock(in_channels, out_channels, stride, resnets.NORM))
        else:
            blocks.append(
                BottleneckBlock(
                    in_channels,
                    out_channels,
                    resnets.NUM_GROUPS * resnets.WIDTH_PER_GROUP * 2 ** (stage - 2),
                    stride=stride,
                    norm=resnets.NORM,
                    groups=resnets.NUM_GROUPS,
                    stride_in_1x1=resnets.STRIDE_IN_1X1,
                    dilation=dilation,
                )
            )
        in_channels = out_channels
    return nn.Sequential(*blocks)
