"""The reviewer app: `fetal-hc app`, `make app` or `streamlit run` with this file.

Streamlit imports this file once, between listening and answering, and runs it for every view of a page.
"""

import sys
from pathlib import Path

import streamlit as st

_APP = Path(__file__).resolve().parents[2]
if (_APP.parent / "hc18").is_dir():  # a checkout rather than an installed wheel
    sys.path[:0] = [folder for folder in (str(_APP), str(_APP.parent)) if folder not in sys.path]

from fetal_hc_app.access import end_if_open_to_the_network  # noqa: E402

if __name__ == "__main__":
    from fetal_hc_app.shell import run

    run()
else:
    end_if_open_to_the_network()
    app = st.App(__file__)
