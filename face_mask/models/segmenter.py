"""Mask of a whole image by an encoder-decoder network.

References: Ronneberger et al., U-Net (MICCAI 2015); Oktay et al., Attention U-Net (MIDL 2018); Zhang et al., Road
extraction by deep residual U-Net (2018); Milletari et al., V-Net (3DV 2016) for the soft Dice loss.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from face_mask.models.image_backbone import freeze
from face_mask.models.whole_image import MaskPrediction, SquareInput, stack_targets
from fetal_hc.engine.config import CfgNode
from fetal_hc.io.masks import warp_to_image

# Decoder of mobilenet_v2_unet, coarsest first.
MOBILENET_DECODER_CHANNELS = (256, 128, 64, 32, 16)
# Keeps the soft Dice of an empty mask defined.
DICE_SMOOTHING = 1.0

logger = logging.getLogger(__name__)


def _attention_unet(node: CfgNode) -> nn.Module:
    """MONAI's attention U-Net: gates on the skip connections."""
    from monai.networks.nets.attentionunet import AttentionUnet  # MONAI is slow to import

    strides = [2] * (len(node.CHANNELS) - 1)
    return AttentionUnet(2, 3, 1, channels=node.CHANNELS, strides=strides, dropout=node.DROPOUT)


def _residual_unet(node: CfgNode) -> nn.Module:
    """MONAI's U-Net with residual units on both sides."""
    from monai.networks.nets.unet import UNet  # MONAI is slow to import

    strides = [2] * (len(node.CHANNELS) - 1)
    channels = node.CHANNELS
    return UNet(2, 3, 1, channels=channels, strides=strides, num_res_units=2, norm="batch", dropout=node.DROPOUT)


def _mobilenet_v2_unet(node: CfgNode) -> nn.Module:
    """A U-Net decoder on MobileNetV2, under torchvision's parameter names."""
    import segmentation_models_pytorch as smp  # slow to import

    network = smp.Unet("mobilenet_v2", encoder_weights=None, decoder_channels=MOBILENET_DECODER_CHANNELS)
    if node.FREEZE_ENCODER:
        freeze(network.encoder)
    return network


NETWORKS: dict[str, Callable[[CfgNode], nn.Module]] = {
    "attention_unet": _attention_unet,
    "residual_unet": _residual_unet,
    "mobilenet_v2_unet": _mobilenet_v2_unet,
}


class SemanticSegmenter(nn.Module):
    """Probability that each pixel belongs to a mask."""

    def __init__(self, cfg: CfgNode) -> None:
        super().__init__()
        self.settings = cfg.MODEL.SEGMENTER
        self.prepare = SquareInput(cfg)
        self.network = NETWORKS[self.settings.NAME](self.settings)
        if self.settings.FREEZE_ENCODER and not cfg.MODEL.WEIGHTS:
            logger.warning("the encoder of %s stays at random weights", self.settings.NAME)

    def forward(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[MaskPrediction]:
        """{"loss_bce", "loss_dice"}, weighted, in training, else one `MaskPrediction` per input.

        Args:
            inputs: per image "image" (3, S, S), "affine_to_input", "height" and "width"; in training "mask" (S, S) in
                [0, 1].
        """
        logits = self._logits(inputs)
        if not self.training:
            probabilities = logits.detach().sigmoid().cpu().numpy()
            return [to_original(mask, item) for mask, item in zip(probabilities, inputs, strict=True)]
        wanted = stack_targets(inputs, "mask", logits.device)
        return {
            "loss_bce": F.binary_cross_entropy_with_logits(logits, wanted) * self.settings.BCE_WEIGHT,
            "loss_dice": dice_loss(logits.sigmoid(), wanted) * self.settings.DICE_WEIGHT,
        }

    def predict_inputs(self, inputs: list[dict[str, Any]]) -> tuple[Tensor]:
        """Probabilities (N, S, S) in px of the input, for inputs as `forward` takes them."""
        return (self._logits(inputs).sigmoid(),)

    def _logits(self, inputs: list[dict[str, Any]]) -> Tensor:
        return self.network(self.prepare(inputs))[:, 0].float()


def dice_loss(probabilities: Tensor, wanted: Tensor) -> Tensor:
    """1 - soft Dice, mean over the images of (N, H, W) probabilities and targets in [0, 1]."""
    intersection = (probabilities * wanted).sum(dim=(1, 2))
    total = probabilities.sum(dim=(1, 2)) + wanted.sum(dim=(1, 2))
    return (1.0 - (2.0 * intersection + DICE_SMOOTHING) / (total + DICE_SMOOTHING)).mean()


def to_original(probability: np.ndarray, item: dict[str, Any]) -> MaskPrediction:
    """A mask (S, S) of the network input at each pixel of the original image, bilinear."""
    return MaskPrediction(
        warp_to_image(probability, item["affine_to_input"], (int(item["height"]), int(item["width"])))
    )
