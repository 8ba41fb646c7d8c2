"""What each process of the tests in test_distributed.py does; started by `launch`."""

import os
import sys
from pathlib import Path

import torch

from fetal_hc.engine.checkpoints import checkpoint
from fetal_hc.engine.train import distributed
from fetal_hc.engine.train.trainer import Trainer
from fetal_hc.errors import ConfigError
from tests.fetal_hc.engine.collective_worker import collect
from tests.fetal_hc.engine.gradient_worker import write_gradients
from tests.fetal_hc.engine.toy import ToyLoader, ToyModel, toy_config


def train(output_dir: str) -> int:
    """Trains the toy for six iterations on this process's share of each batch."""
    torch.set_num_threads(1)
    with distributed.process_group("cpu"):
        cfg = toy_config(output_dir, max_iter=6, BASE_LR=0.05)
        checkpoint.seed_everything(cfg.SEED)
        model = ToyModel(dropout=0.0)
        loader = ToyLoader(distributed.rank(), distributed.world_size())
        return Trainer(cfg, model, loader, torch.device("cpu")).train()


def train_and_differentiate(output_dir: str) -> int:
    """Trains, then saves the gradients of a Mask R-CNN. One start of the processes serves both."""
    with distributed.process_group("cpu"):
        code = train(output_dir)
        write_gradients(Path(output_dir) / "gradients.pth")
    return code


def take_part(output_dir: str, machines: distributed.Machines) -> None:
    """The part of one machine, with one process, in a training."""
    sys.exit(distributed.launch(_train_and_collect, 1, (output_dir,), machines))


def _train_and_collect(output_dir: str) -> int:
    with distributed.process_group("cpu"):
        return train(output_dir) or collect(output_dir)


def stop_at_once(output_dir: str) -> int:
    """Process 1 receives SIGTERM in its second iteration; both must stop there."""
    if os.environ["RANK"] == "1":
        ToyLoader.__iter__ = _terminating(ToyLoader.__iter__)
    return train(output_dir)


def fail(kind: str) -> int:
    """Ends as `kind` says."""
    if kind == "error":
        raise ConfigError("the value is wrong")
    return int(kind)


def _terminating(original):
    def batches(self):
        for batch in original(self):
            if self.n_batches == 2:
                os.kill(os.getpid(), 15)
            yield batch

    return batches
