"""Start the reviewer app in the browser.

    fetal-hc app
    fetal-hc app --port 8600 -- --server.maxUploadSize 300

What follows -- goes to Streamlit. Without a login the app runs on this machine only (docs/reviewer.md).
Exit code: 0 stopped; 2 bad input.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib.resources import files
from pathlib import Path

from click import Abort
from streamlit.web.cli import main as run_streamlit

from fetal_hc_app.access import binding_refusal, has_login
from fetal_hc_cli import new_parser

_ADDRESS_VARIABLE = "STREAMLIT_SERVER_ADDRESS"


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--port", type=int, default=8501, metavar="N", help="port to listen on (default: %(default)s)")
    parser.add_argument("--address", metavar="HOST", help="address to listen on (default: this machine only)")
    parser.add_argument("streamlit_options", nargs="*", metavar="OPTION", help="after --: options of streamlit run")
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    address = _chosen_address(options)
    refusal = binding_refusal(address, has_login()) if address is not None else ""
    if refusal:
        print(f"error: {refusal}", file=sys.stderr)
        return 2
    arguments = ["run", str(find_script()), "--server.port", str(options.port)]
    if options.address:
        arguments += ["--server.address", options.address]
    with suppress(Abort):  # Ctrl-C is the way to stop the app
        run_streamlit([*arguments, *options.streamlit_options], prog_name="streamlit", standalone_mode=False)
    return 0


def _chosen_address(options: argparse.Namespace) -> str | None:
    """The address that somebody chose instead of the app's own settings, as Streamlit will understand it; or None."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument(
        "--server.address", dest="address", default=options.address or os.environ.get(_ADDRESS_VARIABLE)
    )
    address: str | None = parser.parse_known_args(options.streamlit_options)[0].address
    return address


def find_script() -> Path:
    """The script that Streamlit starts, inside the package of the app."""
    return Path(str(files("fetal_hc_app"))) / "start" / "review.py"


if __name__ == "__main__":
    sys.exit(main())
