"""Weights that a configuration names by a URL."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from fetal_hc.engine.checkpoints.checkpoint import read_checkpoint, write_checkpoint
from fetal_hc.engine.checkpoints.zoo_cache import find_weights
from fetal_hc.errors import ModelError

NAME = "COCO-InstanceSegmentation/mask_rcnn_R_50_FPN_3x/137849600/model_final_f10217.pkl"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty home folder, and no variable that names a cache."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("DETECTRON2_MODEL_ZOO_CACHE", raising=False)
    monkeypatch.delenv("FVCORE_CACHE", raising=False)
    return tmp_path


def put(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.touch()
    return path


def test_path_stays_a_path() -> None:
    assert find_weights("output/model_final.pth") == Path("output/model_final.pth")


@pytest.mark.parametrize("cache", [".torch/iopath_cache", ".torch/fvcore_cache"])
def test_file_that_detectron2_downloaded_is_found(home: Path, cache: str) -> None:
    path = put(home / cache / "detectron2" / NAME)
    assert find_weights(f"detectron2://{NAME}") == path
    assert find_weights(Path(f"detectron2://{NAME}")) == path  # a slash less
    assert find_weights(f"https://dl.fbaipublicfiles.com/detectron2/{NAME}") == path


@pytest.mark.parametrize("below", ["detectron2/", ""])
def test_named_cache_is_searched_first(home: Path, monkeypatch: pytest.MonkeyPatch, below: str) -> None:
    put(home / ".torch/iopath_cache/detectron2" / NAME)
    path = put(home / "zoo" / f"{below}{NAME}")
    monkeypatch.setenv("DETECTRON2_MODEL_ZOO_CACHE", str(home / "zoo"))
    assert find_weights(f"detectron2://{NAME}") == path


def test_moved_cache_of_the_library_is_searched(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = put(home / "elsewhere/detectron2" / NAME)
    monkeypatch.setenv("FVCORE_CACHE", str(home / "elsewhere"))
    assert find_weights(f"detectron2://{NAME}") == path


@pytest.mark.parametrize("source", [f"detectron2://{NAME}", Path(f"detectron2://{NAME}")])
def test_missing_file_is_named_with_url_and_place(home: Path, source: str | Path) -> None:
    with pytest.raises(ModelError) as caught:
        read_checkpoint(source)
    message = str(caught.value)
    assert f"download https://dl.fbaipublicfiles.com/detectron2/{NAME} " in message
    assert f"put it at {home}/.torch/iopath_cache/detectron2/{NAME}" in message
    assert "or set MODEL.WEIGHTS to the path" in message


def test_place_is_the_named_cache_where_there_is_one(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DETECTRON2_MODEL_ZOO_CACHE", "~/zoo")
    with pytest.raises(ModelError, match=f"put it at {home}/zoo/{NAME}"):
        find_weights(f"detectron2://{NAME}")


def test_checkpoint_is_read_from_the_cache(home: Path) -> None:
    folder = home / ".torch/iopath_cache/detectron2/some"
    folder.mkdir(parents=True)
    write_checkpoint(folder / "model.pth", {"model": {"weight": torch.ones(2)}}, is_last=False)
    assert read_checkpoint("detectron2://some/model.pth")["model"]["weight"].tolist() == [1.0, 1.0]
