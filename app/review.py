"""The reviewer: `streamlit run app/review.py`, or `make app`."""

import sys
from pathlib import Path

_APP = Path(__file__).resolve().parent
sys.path[:0] = [folder for folder in (str(_APP), str(_APP.parent)) if folder not in sys.path]  # from a checkout

from fetal_hc_app.shell import run  # noqa: E402

if __name__ == "__main__":
    run()
