"""The mean of several trained networks' weights, which often keeps what each of them learned."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch

from fetal_hc.engine.checkpoints.checkpoint import read_checkpoint, write_checkpoint
from fetal_hc.errors import ModelError


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
