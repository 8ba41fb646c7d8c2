"""3x3 convolutions by Winograd's algorithm, for trainings in float32 on a CPU.

A tile of m x m results takes (m + 2)**2 multiplications per pair of channels instead of 9 m**2: a quarter for m = 4.
The rest are transforms, each one matrix product over all tiles. Weight gradients gain most: with AVX2, torch's own
reach half of the speed of its convolutions, those here that of matrix products.

Results differ from the direct sum by rounding: 2e-6 of their norm for m = 4, 4e-7 for m = 2 (the direct sum: 6e-7).

References: A. Lavin, S. Gray, Fast algorithms for convolutional neural networks, CVPR 2016; for the points:
B. Barabasz, A. Anderson, K. Soodhalter, D. Gregg, Error analysis and improving the accuracy of Winograd convolution for
deep neural networks, ACM TOMS 46(4), 2020.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

# Below these, the transforms take longer than the multiplications that they save.
MIN_CHANNELS = 64
MIN_TILES = 96
# Interpolation points of each tile side, besides infinity.
POINTS = {2: (0.0, 1.0, -1.0), 4: (0.0, 1.0, -1.0, 0.5, -0.5)}


@dataclass(frozen=True)
class _Transforms:
    """Matrices that act on flattened tiles of a (m + 2) x (m + 2) input: P = (m + 2)**2 points.

    Attributes:
        tile: m, side of the results of one tile.
        data: (P, P), from input tiles.
        kernel: (P, 9), from kernels.
        result: (m**2, P), to result tiles.
    """

    tile: int
    data: Tensor
    kernel: Tensor
    result: Tensor


@cache
def _transforms(tile: int) -> _Transforms:
    """Matrices of Toom and Cook, for correlation with kernels of 3, in both directions at once."""
    points = np.array(POINTS[tile])
    size = tile + 2
    data, kernel, result = np.zeros((size, size)), np.zeros((size, 3)), np.zeros((tile, size))
    for row, point in enumerate(points):
        others = np.delete(points, row)
        data[row, :-1] = np.poly(others)[::-1]
        kernel[row] = point ** np.arange(3) / np.prod(point - others)
        result[:, row] = point ** np.arange(tile)
    data[-1] = np.poly(points)[::-1]
    kernel[-1, -1] = result[-1, -1] = 1.0
    both = (torch.from_numpy(np.kron(matrix, matrix)).to(torch.float32) for matrix in (data, kernel, result))
    return _Transforms(tile, *both)


def choose_tile(x: Tensor, weight: Tensor) -> int:
    """Side of the result tiles that suits a convolution with stride 1 and padding 1; 0 where the direct sum does.

    Args:
        x: (N, C, H, W).
        weight: (D, C, 3, 3).
    """
    is_suited = x.device.type == "cpu" and x.dtype == torch.float32 and torch.is_grad_enabled()
    if not is_suited or torch.is_autocast_enabled("cpu") or min(weight.shape[:2]) < MIN_CHANNELS:
        return 0
    n, _, height, width = x.shape
    for tile in (4, 2):
        if n * -(-height // tile) * -(-width // tile) >= MIN_TILES:
            return tile
    return 0


def winograd_conv2d(x: Tensor, weight: Tensor, tile: int) -> Tensor:
    """Convolution (N, D, H, W), channels last, of x (N, C, H, W) with weight (D, C, 3, 3), stride 1 and padding 1."""
    result: Tensor = _WinogradConvolution.apply(x, weight, tile)
    return result


class _WinogradConvolution(torch.autograd.Function):
    """Shapes: T tiles of all images, P points, m results per tile and side."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, tile: int) -> Tensor:
        transforms = _transforms(tile)
        n, channels, height, width = x.shape
        rows, columns = -(-height // tile), -(-width // tile)
        points = (tile + 2) ** 2
        data = (transforms.data @ _input_tiles(x, tile, rows, columns)).view(points, -1, channels)
        kernel = transforms.kernel @ weight.permute(2, 3, 1, 0).reshape(9, -1)
        kernel = kernel.view(points, channels, weight.shape[0])
        result = transforms.result @ torch.bmm(data, kernel).view(points, -1)
        result = result.view(tile, tile, n, rows, columns, -1).permute(2, 3, 0, 4, 1, 5)
        result = result.reshape(n, rows * tile, columns * tile, -1)[:, :height, :width].contiguous()
        ctx.save_for_backward(data, kernel)
        ctx.transforms, ctx.layout = transforms, (n, rows, columns, height, width)
        return result.permute(0, 3, 1, 2)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        data, kernel = ctx.saved_tensors
        transforms: _Transforms = ctx.transforms
        n, rows, columns, height, width = ctx.layout
        points, channels, out_channels = kernel.shape
        tiles = _gradient_tiles(gradient, transforms.tile, rows, columns)
        product = (transforms.result.t() @ tiles).view(points, -1, out_channels)
        of_x = of_weight = None
        if ctx.needs_input_grad[1]:
            of_kernel = torch.bmm(data.transpose(1, 2), product).view(points, -1)
            of_weight = (transforms.kernel.t() @ of_kernel).view(3, 3, channels, out_channels).permute(3, 2, 0, 1)
            of_weight = of_weight.contiguous(memory_format=torch.channels_last)
        if ctx.needs_input_grad[0]:
            of_data = torch.bmm(product, kernel.transpose(1, 2)).view(points, -1)
            of_tiles = transforms.data.t() @ of_data
            size = transforms.tile + 2
            of_x = _add_tiles(of_tiles.view(size, size, n, rows, columns, channels), transforms.tile, (height, width))
        return of_x, of_weight, None


def _input_tiles(x: Tensor, tile: int, rows: int, columns: int) -> Tensor:
    """Overlapping tiles ((m + 2)**2, T * C) of a padded batch."""
    n, channels, height, width = x.shape
    padding = (0, 0, 1, columns * tile + 1 - width, 1, rows * tile + 1 - height)
    padded = F.pad(x.permute(0, 2, 3, 1), padding)
    of_image, of_row, of_column, _ = padded.stride()
    size = tile + 2
    shape = (size, size, n, rows, columns, channels)
    strides = (of_row, of_column, of_image, tile * of_row, tile * of_column, 1)
    return padded.as_strided(shape, strides).reshape(size * size, -1)


def _gradient_tiles(gradient: Tensor, tile: int, rows: int, columns: int) -> Tensor:
    """Tiles (m**2, T * D) of the gradient of the results; 0 beyond the image."""
    n, channels, height, width = gradient.shape
    padded = F.pad(gradient.permute(0, 2, 3, 1), (0, 0, 0, columns * tile - width, 0, rows * tile - height))
    tiles = padded.reshape(n, rows, tile, columns, tile, channels).permute(2, 4, 0, 1, 3, 5)
    return tiles.reshape(tile * tile, -1)


def _add_tiles(tiles: Tensor, tile: int, image_hw: tuple[int, int]) -> Tensor:
    """Sum (N, C, H, W), channels last, of overlapping tiles (m + 2, m + 2, N, rows, columns, C), without padding."""
    _, _, n, rows, columns, channels = tiles.shape
    tiles = tiles.permute(2, 3, 0, 4, 1, 5)
    total = tiles.new_zeros((n, rows + 1, tile, columns + 1, tile, channels))
    total[:, :rows, :, :columns] = tiles[:, :, :tile, :, :tile]
    total[:, 1:, :2, :columns] += tiles[:, :, tile:, :, :tile]
    total[:, :rows, :, 1:, :2] += tiles[:, :, :tile, :, tile:]
    total[:, 1:, :2, 1:, :2] += tiles[:, :, tile:, :, tile:]
    height, width = image_hw
    image = total.view(n, (rows + 1) * tile, (columns + 1) * tile, channels)[:, 1 : 1 + height, 1 : 1 + width]
    return image.contiguous().permute(0, 3, 1, 2)
