"""Training losses on a dataset that is not trained on."""

import math

import pytest
import torch
from torch import nn

from fetal_hc.engine.config import get_default_config
from fetal_hc.engine.evaluation.losses import evaluate_losses, without_augmentation
from fetal_hc_cli.training.architectures import ARCHITECTURES
from tests.fetal_hc.engine.toy import ToyModel, toy_sample

BATCHES = [[toy_sample(0), toy_sample(1), toy_sample(2)], [toy_sample(3)]]


@pytest.fixture
def model() -> ToyModel:
    torch.manual_seed(1)
    return ToyModel(dropout=0.5).eval()


def test_losses_are_means_over_the_images_of_the_network_as_evaluated(model: ToyModel) -> None:
    samples = [sample for batch in BATCHES for sample in batch]
    predicted, wanted = torch.stack(model(samples)).detach(), torch.stack([sample["target"] for sample in samples])
    found = evaluate_losses(model, BATCHES)
    assert found["loss_fit"] == pytest.approx(float((predicted - wanted).square().mean()), rel=1e-5)
    assert found["total_loss"] == pytest.approx(found["loss_fit"] + found["loss_size"], rel=1e-6)
    assert evaluate_losses(model, BATCHES) == found, "nothing is dropped at random"


def test_modes_and_running_statistics_stay_as_they_were(model: ToyModel) -> None:
    model.train()
    model.norm.eval()
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    evaluate_losses(model, BATCHES)
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert (model.training, model.dropout.training, model.norm.training) == (True, True, False)


def test_diverged_network_has_no_loss() -> None:
    class Diverged(nn.Module):
        def forward(self, _batch: object) -> dict[str, torch.Tensor]:
            raise FloatingPointError("proposals are not finite")

    assert math.isnan(evaluate_losses(Diverged(), BATCHES)["total_loss"])


def test_nothing_random_is_left_of_the_augmentation() -> None:
    cfg = get_default_config(ARCHITECTURES)
    default = cfg.INPUT.AUG.to_dict()
    cfg.INPUT.AUG.ROTATION_DEG, cfg.INPUT.AUG.HUE_DEG, cfg.INPUT.RANDOM_FLIP = 10.0, 5.0, "both"
    cfg.INPUT.MIN_SIZE_TRAIN, cfg.INPUT.MIN_SIZE_TEST = [200, 300], 250
    plain = without_augmentation(cfg.freeze())
    assert plain.INPUT.AUG.to_dict() == default
    assert (plain.INPUT.RANDOM_FLIP, plain.INPUT.MIN_SIZE_TRAIN) == ("none", [250])
    assert cfg.INPUT.AUG.ROTATION_DEG == 10.0
