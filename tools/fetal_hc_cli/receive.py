"""Receive images from scanners and archives, measure them for the reviewer app, and send signed reports back.

    fetal-hc receive --site site.toml
    FETAL_HC_PACS=site.toml fetal-hc receive

The settings file and the key FETAL_HC_PACS_KEY are described in docs/pacs.md. The command runs until it is stopped;
it can be killed at any moment and goes on where it was.
Exit code: 0 stopped; 2 bad input.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from fetal_hc.errors import ConfigError
from fetal_hc.io.interruption import StopRequest
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.measurement.head_model import bundled_model_path
from hc18.pacs import SITE_VARIABLE
from hc18.pacs.service import serve
from hc18.pacs.site import Site, read_site, read_site_file
from hc18.reviews.database import usual_store
from hc18.reviews.measuring import read_model
from hc18.reviews.store import ReviewStore


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument("--site", type=Path, metavar="FILE", help=f"settings of the site (default: ${SITE_VARIABLE})")
    parser.add_argument(
        "--store", default="", metavar="URL", help="review store of the app (default: $FETAL_HC_STORE, else the app's)"
    )
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    site = _site(options.site)
    stop = StopRequest()
    with stop.listening(), ReviewStore(options.store or usual_store()) as store:
        model = read_model(bundled_model_path(), num_threads=1)
        serve(site, store, model, say=_say, is_stopped=lambda: stop.signal_number != 0)
    _say("stopped")
    return 0


def _site(path: Path | None) -> Site:
    """The settings of the site.

    Raises:
        ConfigError: if nobody has named the file, or it is wrong.
    """
    site = read_site() if path is None else read_site_file(path)
    if site is None:
        raise ConfigError(f"no settings of the site; give --site FILE or set {SITE_VARIABLE} (docs/pacs.md shows one)")
    return site


def _say(sentence: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {sentence}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
