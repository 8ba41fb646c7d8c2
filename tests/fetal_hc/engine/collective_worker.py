"""What the collective helpers give each process of a group, in a file per process; started by torchrun or by `launch`.

It imports no more than it needs, because every process that torchrun starts pays for it.
"""

import sys
from pathlib import Path

import torch

from fetal_hc.engine.train import distributed


def collect(output_dir: str) -> int:
    """Leaves what the collective helpers gave in `rank_N.txt`."""
    with distributed.process_group("cpu"):
        rank = distributed.rank()
        gathered = distributed.all_gather_objects({"rank": rank})
        mean = distributed.all_reduce_mean(torch.tensor([float(rank), 1.0])).tolist()
        model = torch.nn.BatchNorm1d(1)
        model.running_mean.fill_(float(rank + 5))
        distributed.broadcast_buffers(model)
        text = f"{gathered} {mean} {float(model.running_mean)} {distributed.is_main()}"
        (Path(output_dir) / f"rank_{rank}.txt").write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(collect(sys.argv[1]))
