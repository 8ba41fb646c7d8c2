"""A network that finds the outline of a head in the unrolled band around a rough one (`hc18.measurement.polar_band`).

At every angle it gives a distribution over radii, whose mean is the outline's place there, and how much that place is
to count; the ellipse nearest to all places is found by weighted least squares inside the network, so that the training
minimises the error of the ellipse, not the errors of single edge points.

References: Nibali et al., Numerical coordinate regression with convolutional neural networks, 2018 (places as the mean
of a distribution over cells); Van Gansbeke et al., End-to-end lane detection through differentiable least-squares
fitting, ICCV workshops 2019 (a weighted fit as a layer).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from fetal_hc.engine.config import CfgNode
from hc18.geometry.ellipse import Ellipse
from hc18.measurement.polar_band import BASIS, N_CHANNELS, RELATIVE_RADII, RIDGE
from hc18.measurement.refiner import refine_outline

# Loss weights. Radii are fractions of the head's radius: 0.01 is a good error, hence the large factors.
WEIGHTS = {"loss_place": 0.3, "loss_radii": 10.0, "loss_outline": 20.0, "loss_size": 20.0}
# Standard deviation of the target distribution over relative radii.
PLACE_SD = 0.012
MIN_WEIGHT = 0.02


@dataclass(frozen=True)
class EllipsePrediction:
    """The outline of the one head in an image, in px of the original; None where there is none."""

    ellipse_px: Ellipse | None


class OutlineRefiner(nn.Module):
    """Encoder-decoder over a band; angles go around in a circle, so padding along them is circular."""

    relative_radii: Tensor
    basis: Tensor

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        width = cfg.MODEL.OUTLINE_REFINER.CHANNELS
        self.stem = _Conv(N_CHANNELS, width)
        self.down1 = nn.Sequential(_Conv(width, 2 * width, stride=2), _Residual(2 * width))
        self.down2 = nn.Sequential(_Conv(2 * width, 4 * width, stride=2), _Residual(4 * width, 2))
        self.down3 = nn.Sequential(
            _Conv(4 * width, 6 * width, stride=2), _Residual(6 * width, 2), _Residual(6 * width, 4)
        )
        self.dropout = nn.Dropout2d(cfg.MODEL.OUTLINE_REFINER.DROPOUT)
        self.up2 = _Conv(10 * width, 4 * width)
        self.up1 = _Conv(6 * width, 2 * width)
        self.up0 = _Conv(3 * width, width)
        self.place = nn.Conv2d(width, 1, 1)
        self.weight = nn.Conv2d(6 * width, 1, 1)
        self.register_buffer("relative_radii", torch.tensor(RELATIVE_RADII, dtype=torch.float32), persistent=False)
        self.register_buffer("basis", torch.tensor(BASIS, dtype=torch.float32), persistent=False)

    def forward(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[EllipsePrediction]:
        """Losses in training, else one `EllipsePrediction` per input.

        Args:
            inputs: in training "band" (N_CHANNELS, N_RADII, N_ANGLES) and "radii" (N_ANGLES,) of the reference;
                else "image_grey" uint8 (H, W) and "start", an ellipse in its px or None.
        """
        if not self.training:
            return [self._refine(item) for item in inputs]
        device = self.place.weight.device
        logits, weights = self.read_band(torch.stack([item["band"] for item in inputs]).to(device))
        wanted = torch.stack([item["radii"] for item in inputs]).to(device)
        with torch.autocast(device.type, enabled=False):  # a least-squares fit needs all of float32
            return self._losses(logits.float(), weights.float(), wanted)

    def read_band(self, band: Tensor) -> tuple[Tensor, Tensor]:
        """Logits over radii (B, N_RADII, N_ANGLES) and weights of the angles (B, N_ANGLES) in a batch of bands."""
        fine = self.stem(band)
        half = self.down1(fine)
        quarter = self.down2(half)
        coarse = self.dropout(self.down3(quarter))
        upward = self.up2(torch.cat([_enlarge(coarse), quarter], dim=1))
        upward = self.up1(torch.cat([_enlarge(upward), half], dim=1))
        upward = self.up0(torch.cat([_enlarge(upward), fine], dim=1))
        weight = F.interpolate(self.weight(coarse).mean(dim=2), size=band.shape[3], mode="nearest")
        return self.place(upward)[:, 0], weight[:, 0].sigmoid() + MIN_WEIGHT

    def mean_radii(self, logits: Tensor) -> Tensor:
        """Mean relative radius at each angle, (B, N_ANGLES)."""
        return (logits.softmax(dim=1) * self.relative_radii[None, :, None]).sum(dim=1)

    def fit(self, radii: Tensor, weights: Tensor) -> Tensor:
        """`hc18.measurement.polar_band.fit_radii` of a batch, with gradients."""
        weighted = self.basis * weights[..., None]
        normal = weighted.transpose(1, 2) @ self.basis + RIDGE * torch.eye(self.basis.shape[1], device=radii.device)
        moved = torch.linalg.solve(normal, weighted.transpose(1, 2) @ (radii - 1.0)[..., None])
        return 1.0 + (self.basis @ moved)[..., 0]

    def _losses(self, logits: Tensor, weights: Tensor, wanted: Tensor) -> dict[str, Tensor]:
        radii = self.mean_radii(logits)
        outline = self.fit(radii, weights)
        target = (-0.5 * ((self.relative_radii[None, :, None] - wanted[:, None]) / PLACE_SD) ** 2).softmax(dim=1)
        losses = {
            "loss_place": -(target * logits.log_softmax(dim=1)).sum(dim=1).mean(),
            "loss_radii": (radii - wanted).abs().mean(),
            "loss_outline": (outline - wanted).abs().mean(),
            "loss_size": (outline - wanted).mean(dim=1).abs().mean(),
        }
        return {name: WEIGHTS[name] * loss for name, loss in losses.items()}

    def _refine(self, item: dict[str, Any]) -> EllipsePrediction:
        if item["start"] is None:
            return EllipsePrediction(None)
        found = refine_outline(item["image_grey"], item["start"], self._read_arrays)
        return EllipsePrediction(item["start"] if found is None else found)

    @torch.no_grad()
    def _read_arrays(self, bands: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, weights = self.read_band(torch.from_numpy(bands).to(self.place.weight.device))
        return self.mean_radii(logits.float()).cpu().numpy(), weights.float().cpu().numpy()


class _Conv(nn.Module):
    """3x3 convolution, batch norm, ReLU; zeros beyond the inner and outer radius, a circle along the angles."""

    def __init__(self, n_in: int, n_out: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        self.reach = dilation
        self.convolution = nn.Conv2d(n_in, n_out, 3, stride, dilation=(1, dilation), bias=False)
        self.norm = nn.BatchNorm2d(n_out)

    def forward(self, x: Tensor) -> Tensor:
        x = torch.cat([x[..., -self.reach :], x, x[..., : self.reach]], dim=3)
        result: Tensor = F.relu(self.norm(self.convolution(F.pad(x, (0, 0, 1, 1)))))
        return result


class _Residual(nn.Module):
    """Two convolutions and a shortcut; `dilation` of the first along the angles."""

    def __init__(self, channels: int, dilation: int = 1) -> None:
        super().__init__()
        self.first = _Conv(channels, channels, dilation=dilation)
        self.second = _Conv(channels, channels)

    def forward(self, x: Tensor) -> Tensor:
        result: Tensor = x + self.second(self.first(x))
        return result


def _enlarge(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="nearest")
