"""Mask of a whole image by an encoder-decoder network.

References: Ronneberger et al., U-Net (MICCAI 2015); Oktay et al., Attention U-Net (MIDL 2018); Lin et al., Feature
pyramid networks (CVPR 2017); Chen et al., DeepLabV3+ (ECCV 2018). Losses: Milletari et al., V-Net (3DV 2016), soft
Dice; Lin et al., Focal loss (ICCV 2017); Salehi et al., Tversky loss (MLMI 2017); Berman et al., Lovasz-Softmax
(CVPR 2018).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any

import numpy as np
import torch.nn.functional as F
from torch import Tensor, nn

from face_mask.models.image_backbone import freeze, initialize
from face_mask.models.printed_networks import MobileNetV2PlainDecoder, PrintedUnet
from face_mask.models.whole_image import MaskPrediction, SquareInput, stack_targets
from fetal_hc.engine.config import CfgNode
from fetal_hc.io.masks import warp_to_image

# Decoder of the U-Nets of segmentation-models-pytorch, coarsest first.
UNET_DECODER_CHANNELS = (256, 128, 64, 32, 16)
# MODEL.SEGMENTER.ENCODER -> its name in segmentation-models-pytorch, which keeps the parameter names of torchvision and
# timm.
SMP_ENCODERS = {"mobilenet_v2": "mobilenet_v2", "efficientnet_lite0": "tu-tf_efficientnet_lite0"}
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


def _plain_unet(node: CfgNode) -> nn.Module:
    return PrintedUnet(node.CHANNELS, attention=node.ATTENTION, residual=node.RESIDUAL, dropout=node.DROPOUT)


def _plain_decoder(node: CfgNode) -> nn.Module:
    """The decoder of report 3 on MobileNetV2."""
    return _with_frozen_encoder(MobileNetV2PlainDecoder(node.DROPOUT), node)


def _unet(node: CfgNode) -> nn.Module:
    """segmentation-models-pytorch's U-Net decoder."""
    import segmentation_models_pytorch as smp  # slow to import

    encoder = SMP_ENCODERS[node.ENCODER]
    network = smp.Unet(encoder, encoder_weights=None, decoder_channels=UNET_DECODER_CHANNELS)
    return _with_frozen_encoder(network, node)


def _fpn(node: CfgNode) -> nn.Module:
    """segmentation-models-pytorch's feature pyramid: features of four resolutions are added up."""
    import segmentation_models_pytorch as smp  # slow to import

    return _with_frozen_encoder(smp.FPN(SMP_ENCODERS[node.ENCODER], encoder_weights=None), node)


def _deeplab(node: CfgNode) -> nn.Module:
    """segmentation-models-pytorch's DeepLabV3+: parallel dilated convolutions (ASPP)."""
    import segmentation_models_pytorch as smp  # slow to import

    return _with_frozen_encoder(smp.DeepLabV3Plus(SMP_ENCODERS[node.ENCODER], encoder_weights=None), node)


def _with_frozen_encoder(network: Any, node: CfgNode) -> nn.Module:
    """The network, its encoder frozen if MODEL.SEGMENTER.FREEZE_ENCODER says so."""
    if node.FREEZE_ENCODER:
        freeze(network.encoder)
    return network


NETWORKS: dict[str, Callable[[CfgNode], nn.Module]] = {
    "attention_unet": _attention_unet,
    "residual_unet": _residual_unet,
    "plain_unet": _plain_unet,
    "mobilenet_v2_decoder": _plain_decoder,
    "mobilenet_v2_unet": _unet,
    "unet": _unet,
    "fpn": _fpn,
    "deeplabv3plus": _deeplab,
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
        self.further_losses = _further_losses(self.settings)
        initialize(self, cfg.MODEL.INIT)

    def forward(self, inputs: list[dict[str, Any]]) -> dict[str, Tensor] | list[MaskPrediction]:
        """{"loss_bce", "loss_dice", ...}, weighted, in training, else one `MaskPrediction` per input.

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
            **{name: loss(logits, wanted) for name, loss in self.further_losses.items()},
        }

    def predict_inputs(self, inputs: list[dict[str, Any]]) -> tuple[Tensor]:
        """Probabilities (N, S, S) in px of the input, for inputs as `forward` takes them."""
        return (self._logits(inputs).sigmoid(),)

    def _logits(self, inputs: list[dict[str, Any]]) -> Tensor:
        return self.network(self.prepare(inputs))[:, 0].float()


def _further_losses(node: CfgNode) -> dict[str, Callable[[Tensor, Tensor], Tensor]]:
    """Weighted losses of logits and targets (N, H, W) beyond BCE and Dice, by name; only those with a weight."""
    import segmentation_models_pytorch.losses as smp_losses  # slow to import

    mode = smp_losses.BINARY_MODE
    focal = smp_losses.FocalLoss(mode, gamma=node.FOCAL_GAMMA)
    tversky = smp_losses.TverskyLoss(mode, alpha=node.TVERSKY_ALPHA, beta=node.TVERSKY_BETA)
    lovasz = smp_losses.LovaszLoss(mode)
    losses: dict[str, tuple[float, Callable[[Tensor, Tensor], Tensor]]] = {
        "loss_focal": (node.FOCAL_WEIGHT, lambda logits, wanted: focal(logits[:, None], wanted[:, None])),
        "loss_tversky": (node.TVERSKY_WEIGHT, lambda logits, wanted: tversky(logits[:, None], wanted[:, None])),
        "loss_lovasz": (node.LOVASZ_WEIGHT, lambda logits, wanted: lovasz(logits[:, None], (wanted >= 0.5).float())),
    }
    return {name: _weighted(loss, weight) for name, (weight, loss) in losses.items() if weight}


def _weighted(loss: Callable[[Tensor, Tensor], Tensor], weight: float) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda logits, wanted: weight * loss(logits, wanted)


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
