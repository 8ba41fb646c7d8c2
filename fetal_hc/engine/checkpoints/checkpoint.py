"""Checkpoint files as Detectron2 writes them: model_0000999.pth, model_final.pth, last_checkpoint.

A file is a dictionary. "model" always holds the weights to evaluate, export and ship: the moving average where there is
one. The file also holds what resuming needs: "optimizer", "scheduler", "iteration" (the last one done, 0-based) and,
unknown to Detectron2, "ema" (its counter and the weights under training), "grad_scaler", "random_state", "sampler".
Files are read with `torch.load(weights_only=True)`, those of Detectron2's model zoo (.pkl) with
`fetal_hc.engine.checkpoints.restricted_pickle`, exported models (.onnx, bundles as .zip) with
`fetal_hc.engine.checkpoints.exported_model`; none runs code from them.
"""

from __future__ import annotations

import pickle
import random
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from fetal_hc.engine.checkpoints.exported_model import read_exported_weights
from fetal_hc.engine.checkpoints.restricted_pickle import read_pickle
from fetal_hc.engine.checkpoints.zoo_cache import find_weights
from fetal_hc.errors import FetalHCError, ModelError, raise_problems
from fetal_hc.io.atomic import atomic_path, write_text_atomic

LAST_CHECKPOINT = "last_checkpoint"
FINAL_NAME = "model_final.pth"
BEST_NAME = "model_best.pth"
# How a batch norm's counter of batches is named; it computes nothing.
COUNTER = ".num_batches_tracked"
# Entries of old Detectron2 files that the config describes.
_NOT_WEIGHTS = re.compile(r"^(module\.)?pixel_(mean|std)$|anchor_generator\.cell_anchors")


def periodic_name(iteration: int) -> str:
    """File name of the checkpoint after a 0-based iteration, such as model_0000999.pth."""
    return f"model_{iteration:07d}.pth"


def write_checkpoint(path: str | Path, content: dict[str, Any], *, is_last: bool = True) -> None:
    """Writes a checkpoint as a whole or not at all; then, with `is_last`, names it in the folder's last_checkpoint.

    Raises:
        FetalHCError: if the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    with atomic_path(path) as temporary:
        try:
            torch.save(content, temporary)
        except (OSError, RuntimeError) as error:
            reason = _first_line(error)
            raise FetalHCError(
                f"{path}: cannot be written ({reason}); free space or choose another OUTPUT_DIR"
            ) from error
    if is_last:
        write_text_atomic(path.parent / LAST_CHECKPOINT, path.name)


def read_checkpoint(path: str | Path) -> dict[str, Any]:
    """The content of a checkpoint on the CPU: "model" and all other entries.

    A bare dictionary of weights is taken as "model". A .pkl without "__author__" is a Caffe2 one ("blobs" or bare) and
    gets "matching_heuristics", as in Detectron2. Entries of old files that are not weights (pixel mean, anchors) are
    dropped.
    A URL such as detectron2://ImageNetPretrained/MSRA/R-50.pkl stands for its file in Detectron2's download cache.

    Raises:
        ModelError: if the file is missing, damaged, holds more than tensors and plain values, or has no weights.
    """
    path = find_weights(path)
    if not path.is_file():
        raise ModelError(f"{path}: no such checkpoint; check MODEL.WEIGHTS")
    content = _READERS.get(path.suffix, _read_torch_file)(path)
    if isinstance(content, dict) and "model" not in content:
        content = {"model": content}
    weights = content.get("model") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not weights or not all(map(_is_weight, weights.items())):
        raise ModelError(f'{path}: has no weights; expected a dictionary with "model": names -> tensors')
    content["model"] = {name: torch.as_tensor(w) for name, w in weights.items() if not _NOT_WEIGHTS.search(name)}
    return content


def _read_torch_file(path: Path) -> Any:
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ModelError(
            f"{path}: refused, it is not a checkpoint of tensors and plain values ({_first_line(error)}); "
            'save it again with torch.save({"model": model.state_dict()}, path)'
        ) from error
    except (RuntimeError, EOFError, OSError, ValueError, KeyError) as error:
        raise ModelError(
            f"{path}: not a readable PyTorch checkpoint ({_first_line(error)}); copy or train it again"
        ) from error


def _read_zoo_file(path: Path) -> Any:
    content = read_pickle(path)
    if not isinstance(content, dict) or ("model" in content and "__author__" in content):
        return content
    blobs = content.get("blobs", content)
    if isinstance(blobs, dict):
        blobs = {name: value for name, value in blobs.items() if not str(name).endswith("_momentum")}
    return {"model": blobs, "__author__": "Caffe2", "matching_heuristics": True}


# By the file's extension; everything else is PyTorch's.
_READERS = {".pkl": _read_zoo_file, ".onnx": read_exported_weights, ".zip": read_exported_weights}


def _is_weight(entry: tuple[Any, Any]) -> bool:
    name, value = entry
    return isinstance(name, str) and isinstance(value, (Tensor, np.ndarray))


def last_checkpoint(folder: str | Path) -> Path | None:
    """The file that last_checkpoint in `folder` names, or None when nothing was saved there.

    Raises:
        ModelError: if the named file is gone.
    """
    pointer = Path(folder) / LAST_CHECKPOINT
    if not pointer.is_file():
        return None
    path = pointer.parent / pointer.read_text(encoding="utf-8").strip()
    if not path.is_file():
        raise ModelError(
            f"{pointer}: names {path.name}, which is not there; write the name of an existing checkpoint into it, "
            "or delete it to start afresh"
        )
    return path


def load_weights(model: nn.Module, weights: dict[str, Tensor], source: str | Path) -> None:
    """Copies `weights` into `model` if names and shapes agree exactly; otherwise changes nothing.

    A batch norm's counter of batches, which some versions of Detectron2 drop on freezing, may be absent on either side.

    Raises:
        ModelError: listing every missing, unexpected and differently shaped entry.
    """
    own = model.state_dict()
    missing = [name for name in own if name not in weights and not name.endswith(COUNTER)]
    unexpected = [name for name in weights if name not in own and not name.endswith(COUNTER)]
    problems = [f"{name}: missing in the file" for name in missing]
    problems += [f"{name}: not part of this model" for name in unexpected]
    problems += [
        f"{name}: shape {tuple(weights[name].shape)} in the file, {tuple(tensor.shape)} in the model"
        for name, tensor in own.items()
        if name in weights and weights[name].shape != tensor.shape
    ]
    if problems:
        raise_problems(ModelError, problems, f"{source}: the weights do not fit the model that the config describes")
    model.load_state_dict(weights, strict=False)


def random_state(device: torch.device) -> dict[str, Any]:
    """State of the global random generators of Python, NumPy and torch (with the device's) of this process."""
    name, keys, position, has_gauss, cached = np.random.get_state()  # noqa: NPY002
    state: dict[str, Any] = {
        "python": random.getstate(),
        "numpy": (name, torch.from_numpy(np.asarray(keys, dtype=np.int64)), position, has_gauss, cached),
        "torch": torch.get_rng_state(),
    }
    if device.type == "cuda":
        state["cuda"] = torch.cuda.get_rng_state(device)
    return state


def set_random_state(state: dict[str, Any], device: torch.device) -> None:
    """Returns all generators to a state from `random_state`."""
    random.setstate(state["python"])
    name, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((name, keys.numpy().astype(np.uint32), position, has_gauss, cached))  # noqa: NPY002
    torch.set_rng_state(state["torch"])
    if device.type == "cuda" and "cuda" in state:
        torch.cuda.set_rng_state(state["cuda"], device)


def seed_everything(seed: int) -> None:
    """Seeds Python, NumPy and torch on all devices."""
    random.seed(seed)
    np.random.seed(seed % 2**32)  # noqa: NPY002
    torch.manual_seed(seed)


def _first_line(error: BaseException) -> str:
    return (str(error) or type(error).__name__).splitlines()[0]


def average_checkpoints(sources: Sequence[Path], target: Path) -> None:
    """Writes a checkpoint whose floating-point weights are the means of those in `sources`.

    Good only for networks that share most of their training, such as one before and after a short further stage.
    Counters and other integers are those of the last file.

    Args:
        sources: at least two checkpoints of one architecture.
        target: file to write, `{"model": ...}`.

    Raises:
        ModelError: if there are fewer than two, one cannot be read, or they differ in names or shapes.
        FetalHCError: if the target cannot be written.

    References: Wortsman et al., Robust fine-tuning of zero-shot models, CVPR 2022.
    """
    if len(sources) < 2:
        raise ModelError(f"{len(sources)} checkpoint(s); an average needs at least two")
    models = [read_checkpoint(source)["model"] for source in sources]
    shapes = [{name: tuple(weight.shape) for name, weight in model.items()} for model in models]
    for source, found in zip(sources[1:], shapes[1:], strict=True):
        if found != shapes[0]:
            different = sorted(name for name in {*found, *shapes[0]} if found.get(name) != shapes[0].get(name))
            raise ModelError(
                f"{source}: has other weights than {sources[0]}: {', '.join(different[:5])}"
                f"{' and more' if len(different) > 5 else ''}; average checkpoints of one configuration"
            )
    mean = {
        name: torch.stack([model[name].double() for model in models]).mean(dim=0).to(weight.dtype)
        if weight.is_floating_point()
        else weight
        for name, weight in models[-1].items()
    }
    write_checkpoint(target, {"model": mean}, is_last=False)
