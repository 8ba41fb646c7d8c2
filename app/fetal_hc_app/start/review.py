"""The reviewer app: `fetal-hc app`, `make app` or `streamlit run` with this file."""

import sys
from pathlib import Path

_APP = Path(__file__).resolve().parents[2]
if (_APP.parent / "hc18").is_dir():  # a checkout rather than an installed wheel
    sys.path[:0] = [folder for folder in (str(_APP), str(_APP.parent)) if folder not in sys.path]

from fetal_hc_app.shell import run  # noqa: E402

if __name__ == "__main__":
    run()
