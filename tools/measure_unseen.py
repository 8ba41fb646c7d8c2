"""The command `measure-unseen` from a checkout; its code is `fetal_hc_cli.training.measure_unseen`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]  # from a checkout

from fetal_hc_cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("measure_unseen"))
