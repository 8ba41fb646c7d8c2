"""Two processes compute the gradients of one for the same global batch."""

import os
import subprocess
import sys
from pathlib import Path

import torch

from tests.fetal_hc.engine import gradient_worker


def test_mask_rcnn_in_two_processes_has_the_gradients_of_one(repository_root: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    command += ["-m", "tests.fetal_hc.engine.gradient_worker", str(tmp_path / "two.pth")]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    result = subprocess.run(command, cwd=repository_root, env=environment, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    gradient_worker.write_gradients(tmp_path / "one.pth")
    one, two = (torch.load(tmp_path / name, weights_only=True) for name in ("one.pth", "two.pth"))
    assert set(two) == set(one)
    assert all(gradient.abs().max() > 0 for name, gradient in one.items() if name.endswith("weight"))
    for name, gradient in one.items():
        torch.testing.assert_close(two[name], gradient, rtol=1e-4, atol=1e-5 * float(gradient.abs().max()))
