"""The command `recalibrate` from a checkout under its earlier name; its code is `fetal_hc_cli.recalibrate`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]  # from a checkout

from fetal_hc_cli.main import run_tool

if __name__ == "__main__":
    sys.exit(run_tool("recalibrate"))
