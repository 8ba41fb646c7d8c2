"""Segmentation networks as reports 2 and 3 print them: U-Nets with gates or residual blocks, and a plain decoder.

References: Ronneberger et al., U-Net (MICCAI 2015); Oktay et al., Attention U-Net (MIDL 2018); Zhang et al., Road
extraction by deep residual U-Net (2018); Sandler et al., MobileNetV2 (CVPR 2018).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn

from face_mask.models.image_backbone import MobileNetV2Body

# Report 3 prints five convolutions and 7,251,041 trained parameters: these channels give that number, and a last 1x1.
PRINTED_DECODER_CHANNELS = (512, 256, 64, 32, 16)


class DoubleConvolution(nn.Sequential):
    """Twice a 3x3 convolution, batch norm and ReLU: (N, `n_in`, H, W) -> (N, `n_out`, H, W)."""

    def __init__(self, n_in: int, n_out: int) -> None:
        layers: list[nn.Module] = []
        for channels in (n_in, n_out):
            convolution = nn.Conv2d(channels, n_out, 3, padding=1, bias=False)
            layers += [convolution, nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
        super().__init__(*layers)


class AttentionGate(nn.Module):
    """Weighs each pixel of a skip connection by what the coarser features make of it; both (N, C, H, W)."""

    def __init__(self, n_channels: int) -> None:
        super().__init__()
        n_inner = n_channels // 2
        self.of_skip = nn.Sequential(nn.Conv2d(n_channels, n_inner, 1), nn.BatchNorm2d(n_inner))
        self.of_gate = nn.Sequential(nn.Conv2d(n_channels, n_inner, 1), nn.BatchNorm2d(n_inner))
        self.weight = nn.Sequential(nn.ReLU(inplace=True), nn.Conv2d(n_inner, 1, 1), nn.BatchNorm2d(1), nn.Sigmoid())

    def forward(self, skip: Tensor, gate: Tensor) -> Tensor:
        return skip * self.weight(self.of_skip(skip) + self.of_gate(gate))


class DecoderBlock(nn.Module):
    """Up-convolution to twice the sides, the skip connection, two convolutions.

    Args:
        n_in: channels of the coarser features.
        n_out: channels of the skip connection and of the result.
        attention: weigh the skip connection by an `AttentionGate`.
        residual: add the concatenated features, after a 1x1 convolution, to the result.
    """

    def __init__(self, n_in: int, n_out: int, *, attention: bool, residual: bool) -> None:
        super().__init__()
        self.up = nn.ConvTranspose2d(n_in, n_out, 2, stride=2)
        self.gate = AttentionGate(n_out) if attention else None
        self.convolutions = DoubleConvolution(2 * n_out, n_out)
        self.shortcut = nn.Conv2d(2 * n_out, n_out, 1) if residual else None

    def forward(self, coarse: Tensor, skip: Tensor) -> Tensor:
        upsampled = self.up(coarse)
        both = torch.cat([skip if self.gate is None else self.gate(skip, upsampled), upsampled], dim=1)
        found = self.convolutions(both)
        return found if self.shortcut is None else found + self.shortcut(both)


class PrintedUnet(nn.Module):
    """U-Net with maxima on the way down and up-convolutions on the way up: (N, 3, S, S) -> logits (N, 1, S, S).

    Args:
        channels: of each resolution, finest first; the last are those of the bottleneck.
        attention: see `DecoderBlock`.
        residual: see `DecoderBlock`.
        dropout: share that is dropped at the bottleneck.
    """

    def __init__(self, channels: Sequence[int], *, attention: bool, residual: bool, dropout: float) -> None:
        super().__init__()
        pairs = list(pairwise((3, *channels)))
        self.encoder = nn.ModuleList(DoubleConvolution(*pair) for pair in pairs)
        self.pool = nn.MaxPool2d(2)
        self.dropout = nn.Dropout2d(dropout)
        self.decoder = nn.ModuleList(
            DecoderBlock(coarse, fine, attention=attention, residual=residual)
            for fine, coarse in reversed(list(pairwise(channels)))
        )
        self.head = nn.Conv2d(channels[0], 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        skips = []
        for number, block in enumerate(self.encoder):
            x = block(x if number == 0 else self.pool(x))
            skips.append(x)
        x = self.dropout(skips.pop())
        for block in self.decoder:
            x = block(x, skips.pop())
        return self.head(x)


class MobileNetV2PlainDecoder(nn.Module):
    """MobileNetV2 and a decoder without skip connections: (N, 3, S, S) -> logits (N, 1, S, S).

    Each of the five 3x3 convolutions is followed by batch norm, ReLU, dropout and bilinear upsampling to twice the
    sides. The encoder has torchvision's parameter names.
    """

    def __init__(self, dropout: float) -> None:
        super().__init__()
        self.encoder = MobileNetV2Body(output_stride=32)
        layers: list[nn.Module] = []
        for n_in, n_out in pairwise((self.encoder.out_channels, *PRINTED_DECODER_CHANNELS)):
            layers += [nn.Conv2d(n_in, n_out, 3, padding=1), nn.BatchNorm2d(n_out), nn.ReLU(inplace=True)]
            layers += [nn.Dropout2d(dropout), nn.Upsample(scale_factor=2, mode="bilinear", align_corners=False)]
        self.decoder = nn.Sequential(*layers, nn.Conv2d(PRINTED_DECODER_CHANNELS[-1], 1, 1))

    def forward(self, x: Tensor) -> Tensor:
        return self.decoder(self.encoder(x))
