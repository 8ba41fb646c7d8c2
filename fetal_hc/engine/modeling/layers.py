"""Convolution with norm and activation, norms and initialisations, named and behaving as Detectron2's."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from fetal_hc.engine.modeling.winograd import choose_tile, winograd_conv2d
from fetal_hc.errors import ConfigError

GROUP_NORM_GROUPS = 32


class FrozenBatchNorm2d(nn.Module):
    """Batch norm with fixed statistics and fixed affine parameters (buffers, never trained)."""

    weight: Tensor
    bias: Tensor
    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor | None

    def __init__(self, num_features: int, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.register_buffer("weight", torch.ones(num_features))
        self.register_buffer("bias", torch.zeros(num_features))
        self.register_buffer("running_mean", torch.zeros(num_features))
        self.register_buffer("running_var", torch.ones(num_features) - eps)
        self.register_buffer("num_batches_tracked", None)  # what a converted batch norm counted, kept for its file

    def forward(self, x: Tensor) -> Tensor:
        if x.requires_grad:
            # The framework kernel would also compute gradients of the statistics, which nobody needs.
            scale = self.weight * (self.running_var + self.eps).rsqrt()
            shift = self.bias - self.running_mean * scale
            return x * scale.view(1, -1, 1, 1).to(x.dtype) + shift.view(1, -1, 1, 1).to(x.dtype)
        return F.batch_norm(
            x, self.running_mean, self.running_var, self.weight, self.bias, training=False, eps=self.eps
        )

    @classmethod
    def convert(cls, module: nn.Module) -> nn.Module:
        """The module with every BatchNorm2d inside replaced by a frozen copy."""
        if isinstance(module, (nn.BatchNorm2d, nn.SyncBatchNorm)):
            frozen = cls(module.num_features, module.eps)
            frozen.num_batches_tracked = module.num_batches_tracked
            frozen.load_state_dict(module.state_dict())
            return frozen
        for name, child in module.named_children():
            setattr(module, name, cls.convert(child))
        return module


def get_norm(norm: str, channels: int) -> nn.Module | None:
    """The norm layer of a config value: "" (none), BN, SyncBN, FrozenBN or GN (32 groups)."""
    if norm == "":
        return None
    if norm == "GN":
        if channels % GROUP_NORM_GROUPS:
            raise ConfigError(f"norm GN needs a multiple of {GROUP_NORM_GROUPS} channels, got {channels}")
        return nn.GroupNorm(GROUP_NORM_GROUPS, channels)
    layers: dict[str, Callable[[int], nn.Module]] = {
        "BN": nn.BatchNorm2d,
        "SyncBN": nn.SyncBatchNorm,
        "FrozenBN": FrozenBatchNorm2d,
    }
    if norm not in layers:
        raise ConfigError(f"norm {norm!r} is unknown; use one of '', BN, SyncBN, FrozenBN, GN")
    return layers[norm](channels)


class Conv2d(nn.Conv2d):
    """Convolution, then `norm`, then ReLU; a bias only where there is no norm (`conv.weight`, `conv.norm.weight`)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        norm: str = "",
        relu: bool = False,
        groups: int = 1,
        dilation: int = 1,
        bias: bool | None = None,
    ) -> None:
        super().__init__(
            in_channels,
            out_channels,
            kernel_size,
            stride=stride,
            padding=dilation * (kernel_size - 1) // 2,
            dilation=dilation,
            groups=groups,
            bias=norm == "" if bias is None else bias,
        )
        self.norm = get_norm(norm, out_channels)
        self.relu = relu
        self.winograd = False  # see `allow_winograd`

    def forward(self, x: Tensor) -> Tensor:
        tile = choose_tile(x, self.weight) if self.winograd and self.training else 0
        if tile:
            x = winograd_conv2d(x, self.weight, tile)
            x = x if self.bias is None else x + self.bias.view(1, -1, 1, 1)
        else:
            x = super().forward(x)
        if self.norm is not None:
            x = self.norm(x)
        return F.relu_(x) if self.relu else x


def allow_winograd(model: nn.Module) -> None:
    """Lets the 3x3 convolutions of a model use Winograd's algorithm in training, where it is faster."""
    for module in model.modules():
        if isinstance(module, Conv2d):
            shape = (module.kernel_size, module.stride, module.padding, module.dilation, module.groups)
            module.winograd = shape == ((3, 3), (1, 1), (1, 1), (1, 1), 1)


def init_msra(module: nn.Conv2d | nn.ConvTranspose2d) -> None:
    """Kaiming normal, fan-out; bias 0 (Caffe2's MSRAFill)."""
    nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def init_xavier(module: nn.Conv2d | nn.Linear) -> None:
    """Caffe2's XavierFill: Kaiming uniform with a = 1; bias 0."""
    nn.init.kaiming_uniform_(module.weight, a=1)
    if module.bias is not None:
        nn.init.zeros_(module.bias)


def init_normal(module: nn.Conv2d | nn.Linear, std: float) -> None:
    """Zero-mean normal weights; bias 0."""
    nn.init.normal_(module.weight, std=std)
    if module.bias is not None:
        nn.init.zeros_(module.bias)
