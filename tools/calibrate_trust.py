"""The command `calibrate` under its earlier name and with the options of `experiments.recalibrate`."""

import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parents[1]), str(Path(__file__).resolve().parent)]  # from a checkout

from experiments.recalibrate import main

if __name__ == "__main__":
    sys.exit(main())
