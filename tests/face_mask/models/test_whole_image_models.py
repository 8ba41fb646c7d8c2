"""Heads, losses and frozen layers of the models that look at a whole image."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import timm
import torch
from torch import nn

from face_mask.models.image_backbone import LAST_HALVING, build_image_backbone
from face_mask.models.segmenter import dice_loss
from face_mask.models.two_head import AttentionPool, aligned_iou
from face_mask.training.config import check_two_heads
from fetal_hc.engine.architecture import build_model
from fetal_hc.engine.checkpoints.pretrained import load_pretrained
from fetal_hc.engine.config import CfgNode, get_default_config
from fetal_hc.errors import ConfigError
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.architectures import architecture_of

SIZE = 32


def config(**two_head: Any) -> CfgNode:
    cfg = get_default_config(ARCHITECTURES)
    cfg.MODEL.DEVICE = "cpu"
    cfg.MODEL.META_ARCHITECTURE = "TwoHeadDetector"
    cfg.MODEL.IMAGE_BACKBONE.NAME, cfg.MODEL.IMAGE_BACKBONE.CHANNELS = "scratch_cnn", [4, 8]
    cfg.INPUT.SQUARE.SIZE = SIZE
    for key, value in two_head.items():
        cfg.MODEL.TWO_HEAD[key] = value
    return cfg


def build(cfg: CfgNode) -> nn.Module:
    return build_model(cfg, architecture_of(cfg))


def item(**targets: Any) -> dict[str, Any]:
    image = torch.full((3, SIZE, SIZE), 100, dtype=torch.uint8)
    return {"image": image, "affine_to_input": np.diag([0.5, 0.25, 1.0]), "height": 128, "width": 64, **targets}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.set_num_threads(1)
    torch.manual_seed(3)


def test_each_head_has_its_own_dropout() -> None:
    model = build(config(CLASS_HEAD=CfgNode({"DROPOUT": 0.7, "UNITS": []})))
    assert [
        module.p
        for module in (*model.class_layers.modules(), *model.box_layers.modules())
        if isinstance(module, nn.Dropout)
    ] == [0.7, 0.0]


def test_dropout_after_the_last_dense_layer_alone() -> None:
    cfg = config()
    cfg.MODEL.DENSE.UNITS, cfg.MODEL.DENSE.DROPOUT, cfg.MODEL.DENSE.DROPOUT_AFTER = [8, 8, 8], 0.5, "last"
    names = [name for name, module in build(cfg).dense[0].named_children() if isinstance(module, nn.Dropout)]
    assert names == ["dropout3"]


def test_sigmoid_output_is_the_probability_of_class_1() -> None:
    model = build(config(CLASS_ACTIVATION="sigmoid")).eval()
    nn.init.zeros_(model.class_logits.weight)
    nn.init.constant_(model.class_logits.bias, 2.0)
    expected = torch.tensor([2.0]).sigmoid()
    torch.testing.assert_close(model([item()])[0].probabilities, torch.cat([1.0 - expected, expected]))


def test_loss_weights_scale_the_losses_of_their_heads() -> None:
    targets = item(class_id=1, box_xyxy=torch.tensor([4.0, 8.0, 20.0, 24.0]))
    losses = []
    for weight in (1.0, 0.1):
        torch.manual_seed(3)
        model = build(config(CLASS_LOSS_WEIGHT=weight))
        losses.append({name: float(loss.detach()) for name, loss in model([targets]).items()})
    assert losses[1]["loss_cls"] == pytest.approx(0.1 * losses[0]["loss_cls"])
    assert losses[1]["loss_box"] == losses[0]["loss_box"]


def test_threshold_of_the_smooth_loss() -> None:
    numbers, box = torch.tensor([[0.0, 0.0, 0.0, 0.0]]), torch.tensor([[16.0, 0.0, 0.0, 0.0]])
    found = [
        float(build(config(BOX_LOSS="smooth_l1", SMOOTH_L1_BETA=beta)).box_loss(numbers, box)) for beta in (1.0, 0.25)
    ]
    assert found == [pytest.approx(0.5**2 / 2 / 4), pytest.approx((0.5 - 0.25 / 2) / 4)]


@pytest.mark.parametrize("loss", ["mse", "smooth_l1", "iou", "giou", "diou", "ciou"])
@pytest.mark.parametrize("form", ["corners", "center"])
@pytest.mark.parametrize("normalized", [True, False])
def test_true_box_has_no_loss_and_a_wrong_one_has(loss: str, form: str, normalized: bool) -> None:
    model = build(config(BOX_LOSS=loss, BOX_FORM=form, NORMALIZED_BOXES=normalized))
    boxes = torch.tensor([[4.0, 8.0, 20.0, 24.0]])
    numbers = boxes if form == "corners" else torch.tensor([[12.0, 16.0, 16.0, 16.0]])
    numbers = numbers / SIZE if normalized else numbers
    assert float(model.box_loss(numbers, boxes)) == pytest.approx(0.0, abs=1e-5)
    assert float(model.box_loss(numbers * 1.3, boxes)) > 1e-4


def test_boxes_come_back_in_original_pixels() -> None:
    model = build(config(NORMALIZED_BOXES=False)).eval()
    nn.init.zeros_(model.box_numbers.weight)
    model.box_numbers.bias.data = torch.tensor([2.0, 4.0, 40.0, 16.0])
    box = model([item()])[0].box_xyxy
    torch.testing.assert_close(box, torch.tensor([4.0, 16.0, 64.0, 64.0]), msg="scaled, and clipped to the image")


def test_corners_are_put_in_order() -> None:
    model = build(config(NORMALIZED_BOXES=False)).eval()
    nn.init.zeros_(model.box_numbers.weight)
    model.box_numbers.bias.data = torch.tensor([10.0, 16.0, 2.0, 4.0])
    torch.testing.assert_close(model([item()])[0].box_xyxy, torch.tensor([4.0, 16.0, 20.0, 64.0]))


def test_attention_finds_the_centre_of_what_it_likes() -> None:
    pool = AttentionPool(1)
    pool.score.weight.data.fill_(50.0)
    feature_map = torch.zeros(1, 1, 4, 8)
    feature_map[0, 0, 3, 1] = 1.0
    torch.testing.assert_close(pool.center_xy(feature_map).detach(), torch.tensor([[1.5 / 8, 3.5 / 4]]))
    assert float(pool(feature_map).detach()) == pytest.approx(1.0)


def test_overlap_of_pairs() -> None:
    boxes = torch.tensor([[0.0, 0.0, 2.0, 2.0], [0.0, 0.0, 1.0, 1.0], [0.0, 0.0, 0.0, 0.0]])
    others = torch.tensor([[1.0, 0.0, 3.0, 2.0], [2.0, 2.0, 3.0, 3.0], [0.0, 0.0, 0.0, 0.0]])
    torch.testing.assert_close(aligned_iou(boxes, others), torch.tensor([1 / 3, 0.0, 0.0]))


def test_dice_loss_of_known_masks() -> None:
    mask = torch.zeros(1, 10, 10)
    mask[0, :5] = 1.0
    assert float(dice_loss(mask, mask)) == pytest.approx(0.0)
    assert float(dice_loss(1.0 - mask, mask)) == pytest.approx(1.0 - 1.0 / 101.0)
    assert float(dice_loss(torch.zeros_like(mask), torch.zeros_like(mask))) == pytest.approx(0.0)


def test_class_weights_count_in_the_binary_loss() -> None:
    losses = []
    for weights in ([], [1.0, 3.0]):
        cfg = config()
        cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.CLASS_WEIGHTS = "ImageClassifier", weights
        torch.manual_seed(1)
        losses.append(float(build(cfg)([item(class_id=1)])["loss_cls"].detach()))
    assert losses[1] == pytest.approx(3.0 * losses[0])


def test_probabilities_of_the_binary_head_sum_to_one() -> None:
    cfg = config()
    cfg.MODEL.META_ARCHITECTURE = "ImageClassifier"
    model = build(cfg).eval()
    model.class_logits.bias.data.fill_(100.0)
    torch.testing.assert_close(model([item()])[0].probabilities, torch.tensor([0.0, 1.0]))


@pytest.mark.parametrize("name", ["mobilenet_v2", "resnet18", "xception", "efficientnet_lite0"])
def test_frozen_stages_keep_weights_and_statistics(name: str) -> None:
    cfg = config()
    cfg.MODEL.IMAGE_BACKBONE.NAME, cfg.MODEL.IMAGE_BACKBONE.FREEZE_STAGES = name, 2
    body = build_image_backbone(cfg).train()
    before = {key: value.clone() for key, value in body.state_dict().items()}
    body(torch.randn(2, 3, 64, 64)).sum().backward()
    frozen = {id(p) for stage in body.stages()[:2] for p in stage.parameters()}
    assert all((p.grad is None) == (id(p) in frozen) for p in body.parameters())
    kept = {id(m) for stage in body.stages()[:2] for m in stage.modules()}
    for prefix, module in body.named_modules():
        if isinstance(module, nn.BatchNorm2d):
            same = torch.equal(module.running_mean, before[f"{prefix}.running_mean"])
            assert same == (id(module) in kept), prefix


def frozen_config(name: str) -> CfgNode:
    cfg = config()
    cfg.MODEL.IMAGE_BACKBONE.NAME, cfg.INPUT.RANDOM_FLIP = name, "none"
    cfg.MODEL.IMAGE_BACKBONE.FREEZE_STAGES = len(build_image_backbone(cfg).stages())
    return cfg


def test_remembered_features_give_the_same_predictions() -> None:
    cfg = frozen_config("scratch_cnn")
    predictions = []
    for remembers in (False, True):
        cfg.MODEL.IMAGE_BACKBONE.CACHE_FEATURES = remembers
        torch.manual_seed(3)
        model = build(cfg).eval()
        shades = {"a": 20, "b": 200}
        inputs = [item(file_name=name, image=torch.full((3, SIZE, SIZE), shades[name])) for name in ("a", "b", "a")]
        model(inputs[:1])
        assert not torch.equal(model(inputs)[0].box_xyxy, model(inputs)[1].box_xyxy)
        predictions.append(torch.stack([found.box_xyxy for found in model(inputs)]))
    torch.testing.assert_close(*predictions)


def test_features_of_trained_stages_are_not_remembered() -> None:
    cfg = frozen_config("scratch_cnn")
    cfg.MODEL.IMAGE_BACKBONE.CACHE_FEATURES, cfg.MODEL.IMAGE_BACKBONE.FREEZE_STAGES = True, 1
    with pytest.raises(ConfigError, match="set FREEZE_STAGES 2"):
        build(cfg)


def test_features_of_changing_images_are_not_remembered() -> None:
    cfg = frozen_config("scratch_cnn")
    cfg.MODEL.IMAGE_BACKBONE.CACHE_FEATURES = True
    assert check_two_heads(cfg) == []
    cfg.INPUT.AUG.ROTATION_DEG = 5.0
    assert "would change images" in check_two_heads(cfg)[0]


def test_first_weights_are_drawn_as_asked() -> None:
    cfg = config(FEATURES="flatten")
    cfg.MODEL.INIT = "glorot_uniform"
    layer = build(cfg).box_numbers
    limit = (6.0 / (layer.in_features + layer.out_features)) ** 0.5
    assert float(layer.weight.detach().abs().max()) == pytest.approx(limit, rel=0.05)
    assert not layer.bias.detach().any()


def test_training_reports_accuracy_and_overlap_of_its_batch() -> None:
    model = build(config(NORMALIZED_BOXES=False))
    nn.init.zeros_(model.box_numbers.weight)
    model.box_numbers.bias.data = torch.tensor([4.0, 8.0, 20.0, 16.0])
    nn.init.zeros_(model.class_logits.weight)
    model.class_logits.bias.data = torch.tensor([0.0, 1.0])
    boxes = torch.tensor([4.0, 8.0, 20.0, 24.0])
    model([item(class_id=1, box_xyxy=boxes), item(class_id=0, box_xyxy=boxes)])
    found = {name: float(value) for name, value in model.training_metrics().items()}
    assert found == {"train/accuracy": 50.0, "train/IoU": pytest.approx(50.0)}


def test_stride_16_only_leaves_out_the_last_halving() -> None:
    cfg = config()
    cfg.MODEL.IMAGE_BACKBONE.NAME = "mobilenet_v2"
    coarse = build_image_backbone(cfg).eval()
    cfg.MODEL.IMAGE_BACKBONE.OUTPUT_STRIDE = 16
    fine = build_image_backbone(cfg).eval()
    image = torch.zeros(1, 3, 64, 64)
    assert coarse(image).shape[-1] * 2 == fine(image).shape[-1] == 4
    assert coarse.state_dict().keys() == fine.state_dict().keys()
    assert fine.features[LAST_HALVING].conv[1][0].stride == (1, 1)


LOSS_WEIGHTS = [f"{name}_WEIGHT" for name in ("BCE", "DICE", "FOCAL", "TVERSKY", "LOVASZ")]


def segmenter(name: str, encoder: str = "mobilenet_v2", weighs: str = "BCE_WEIGHT") -> nn.Module:
    cfg = config()
    cfg.MODEL.META_ARCHITECTURE, cfg.INPUT.SQUARE.SIZE = "SemanticSegmenter", 64
    cfg.MODEL.SEGMENTER.update({"NAME": name, "ENCODER": encoder, "CHANNELS": [4, 8, 16]})
    cfg.MODEL.SEGMENTER.update({weight: float(weight == weighs) for weight in LOSS_WEIGHTS})
    return build(cfg)


@pytest.mark.parametrize("name", ["plain_unet", "mobilenet_v2_decoder", "unet", "fpn", "deeplabv3plus"])
@pytest.mark.parametrize("encoder", ["mobilenet_v2", "efficientnet_lite0"])
def test_segmenters_find_a_mask_of_the_size_of_their_input(name: str, encoder: str) -> None:
    network = segmenter(name, encoder).network.eval()
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)


@pytest.mark.parametrize("weight", LOSS_WEIGHTS)
def test_each_loss_of_masks_prefers_the_true_mask(weight: str) -> None:
    model = segmenter("plain_unet", weighs=weight)
    wanted = torch.zeros(64, 64)
    wanted[:32] = 1.0
    losses = []
    for sign in (1.0, -1.0):
        model.network = nn.Module()
        model.network.forward = lambda images, sign=sign: (sign * 8.0 * (2.0 * wanted - 1.0))[None, None]
        inputs = [{**item(mask=wanted), "image": torch.zeros(3, 64, 64, dtype=torch.uint8)}]
        losses.append(float(sum(model(inputs).values())))
    assert losses[0] < 0.05 < 0.5 < losses[1]


def test_imagenet_weights_fill_the_encoder_of_a_segmenter_and_the_body_of_a_classifier(tmp_path: Path) -> None:
    weights = timm.create_model("tf_efficientnet_lite0", pretrained=False).state_dict()
    torch.save(weights, tmp_path / "lite0.pth")
    cfg = config()
    cfg.MODEL.META_ARCHITECTURE, cfg.MODEL.IMAGE_BACKBONE.NAME = "ImageClassifier", "efficientnet_lite0"
    for model, place in (
        (build(cfg), "backbone.body."),
        (segmenter("unet", "efficientnet_lite0"), "network.encoder.model."),
    ):
        load_pretrained(model, tmp_path / "lite0.pth")
        of_body = {name: value for name, value in model.state_dict().items() if name.startswith(place)}
        assert len(of_body) > 200
        assert all(torch.equal(value, weights[name.removeprefix(place)]) for name, value in of_body.items())
