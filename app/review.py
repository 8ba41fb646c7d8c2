"""The reviewer: `streamlit run app/review.py`, or `make app`."""

import sys
from pathlib import Path

ROOT = str(Path(__file__).resolve().parents[1])
if ROOT not in sys.path:  # a checkout that is not installed
    sys.path.insert(0, ROOT)

from app.shell import run  # noqa: E402

if __name__ == "__main__":
    run()
