"""One record per model: all that the engine has to know to configure, train, evaluate, search and export it.

The engine has one model of its own, `fetal_hc.engine.rcnn.ARCHITECTURE`. Domains add theirs as further records. A
program hands its table of records to `load_config` and to every job; nothing is registered by an import.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from fetal_hc.engine.data.dataset import DatasetFormat, DetectionDataset
from fetal_hc.engine.evaluation.evaluator import DatasetEvaluator, DatasetEvaluators
from fetal_hc.errors import ConfigError

if TYPE_CHECKING:
    import optuna

    from fetal_hc.engine.config.node import CfgNode


class Mapper(Protocol):
    """Turns one dataset record into one model input; `seed` fixes every random choice."""

    def __call__(self, record: Mapping[str, Any], seed: Sequence[int] = (0,)) -> dict[str, Any]: ...


class MapperFactory(Protocol):
    """Makes the mapper of training or of evaluation samples; `cache_limit_bytes` bounds the images it keeps."""

    def __call__(self, cfg: CfgNode, is_train: bool, *, cache_limit_bytes: int = ...) -> Mapper: ...


@dataclass(frozen=True)
class SearchSpace:
    """Hyper-parameters that `fetal-hc tune` searches.

    Attributes:
        parameters: names of all parameters that a trial may have, in the order of the table of trials.
        draw: KEY VALUE pairs of one trial.
    """

    parameters: tuple[str, ...]
    draw: Callable[[optuna.Trial], tuple[str, ...]]


@dataclass(frozen=True)
class ExportOptions:
    """Options of an export.

    Attributes:
        class_names: one name per class, in label order.
        half: store weights as float16 (they are computed with as float32): half the file. They are rounded after the
            graph was compared with the eager network.
        check_images: uint8 images (H, W) or RGB (H, W, 3) to compare the exported with the eager network on, at least
            one. Models that are compared on inputs of another kind make their own.
    """

    class_names: tuple[str, ...] = ()
    half: bool = False
    check_images: tuple[NDArray[np.uint8], ...] = ()


@dataclass(frozen=True)
class ExportReport:
    """Result of an export.

    Attributes:
        path: the written file.
        size_bytes: its size.
        sha256: its checksum.
        differences: largest absolute differences between the exported and the eager network.
        n_compared: number of outputs that were compared.
        compared: what those outputs are.
    """

    path: Path
    size_bytes: int
    sha256: str
    differences: dict[str, float]
    n_compared: int
    compared: str


def no_config_problems(_cfg: CfgNode) -> list[str]:
    """For models that can work with every configuration."""
    return []


def no_dataset_problems(_cfg: CfgNode, _dataset: DetectionDataset) -> list[str]:
    """For models that can learn from every dataset."""
    return []


@dataclass(frozen=True)
class Architecture:
    """A model and everything that belongs to it.

    All functions must be importable by name, because the record travels to other processes.

    Attributes:
        name: value of MODEL.META_ARCHITECTURE that chooses the model.
        model: makes the randomly initialised network. In training mode the network maps model inputs to a dictionary of
            losses, in evaluation mode to one prediction per input.
        mapper: from dataset records to model inputs.
        evaluators: by the names that TEST.EVALUATORS uses.
        config: trees of configuration keys with their defaults, added to the engine's own tree.
        choices: dotted keys with a closed list of values, checked when this model is chosen.
        check_config: one message for every value, or combination of values, that the model cannot work with.
        check_dataset: one message for every record that lacks what the model learns.
        class_count_key: key that must equal the number of classes of every dataset; "" when any number suits.
        dataset_formats: formats that the model can read besides COCO JSON.
        groups_by_aspect_ratio: whether inputs keep the aspect ratio of their images, so that
            DATALOADER.ASPECT_RATIO_GROUPING saves padding.
        has_detectron2_twin: whether Detectron2 has the same model under the same name and can train it.
        one_class_name: class name in an exported model of one class, where the command line gives none.
        average: mean of the predictions of several models for one image, as TEST.ENSEMBLE needs it.
        search_space: what `fetal-hc tune` searches.
        export: writes the exported network of a checkpoint.
    """

    name: str
    model: Callable[[CfgNode], nn.Module]
    mapper: MapperFactory
    evaluators: Mapping[str, Callable[[CfgNode, DetectionDataset], DatasetEvaluator]]
    config: tuple[Mapping[str, Any], ...] = ()
    choices: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    check_config: Callable[[CfgNode], list[str]] = no_config_problems
    check_dataset: Callable[[CfgNode, DetectionDataset], list[str]] = no_dataset_problems
    class_count_key: str = ""
    dataset_formats: tuple[DatasetFormat, ...] = ()
    groups_by_aspect_ratio: bool = False
    has_detectron2_twin: bool = False
    one_class_name: str = "object"
    average: Callable[[Sequence[Any]], Any] | None = None
    search_space: SearchSpace | None = None
    export: Callable[[CfgNode, Path, Path, ExportOptions], ExportReport] | None = None

    @property
    def package(self) -> str:
        """Top-level package of the model, under which it logs."""
        return self.model.__module__.partition(".")[0]

    def with_evaluators(
        self, evaluators: Mapping[str, Callable[[CfgNode, DetectionDataset], DatasetEvaluator]]
    ) -> Architecture:
        """The same model with further evaluators, such as those of a domain."""
        return replace(self, evaluators={**self.evaluators, **evaluators})

    def check_evaluators(self, names: Sequence[str]) -> None:
        """Accepts names of evaluators that can score the model.

        Raises:
            ConfigError: naming those that cannot or do not exist.
        """
        unsuited = [name for name in names if name not in self.evaluators]
        if unsuited:
            expected = ", ".join(self.evaluators)
            raise ConfigError(f"TEST.EVALUATORS: {unsuited} cannot score {self.name}; expected some of {expected}")

    def build_evaluators(self, cfg: CfgNode, dataset: DetectionDataset) -> DatasetEvaluators:
        """The evaluators of TEST.EVALUATORS for one dataset."""
        return DatasetEvaluators([self.evaluators[name](cfg, dataset) for name in cfg.TEST.EVALUATORS])


def find_architecture(architectures: Sequence[Architecture], name: str) -> Architecture:
    """The record with a name.

    Raises:
        ConfigError: if there is none.
    """
    for architecture in architectures:
        if architecture.name == name:
            return architecture
    names = ", ".join(architecture.name for architecture in architectures)
    raise ConfigError(f"MODEL.META_ARCHITECTURE: {name!r} is not known here; expected one of {names}")


def build_model(cfg: CfgNode, architecture: Architecture, device: torch.device | None = None) -> nn.Module:
    """The randomly initialised network of a configuration in training mode, on `device` or else on MODEL.DEVICE."""
    model = architecture.model(cfg).to(torch.device(cfg.MODEL.DEVICE) if device is None else device)
    return model.to(memory_format=torch.channels_last) if cfg.MODEL.CHANNELS_LAST else model
