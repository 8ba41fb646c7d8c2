"""Check that nobody changed, removed or reordered anything in a review store, and print its head hash.

Keep the head hash somewhere else (print it, mail it): whoever can write the database can also write the whole chain
again, and only a hash kept elsewhere proves that this did not happen.

Exit code: 0 the record is intact; 1 it is not, with every broken link named; 2 bad input.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Sequence

from fetal_hc.errors import ConfigError
from fetal_hc_cli import new_parser, reports_bad_input
from hc18.reviews.models import StoreDamaged
from hc18.reviews.store import ReviewStore
from hc18.reviews.verify import Verification


def build_parser() -> argparse.ArgumentParser:
    parser = new_parser(__doc__)
    parser.add_argument(
        "--store", required=True, metavar="URL", help="SQLite file, sqlite:///FILE or postgresql://USER@HOST/NAME"
    )
    parser.add_argument(
        "--expect-head",
        default="",
        metavar="HASH",
        help="head hash of an earlier run: the record must still contain it",
    )
    parser.add_argument(
        "--skip-images", action="store_true", help="do not decode every stored image (faster on a large store)"
    )
    return parser


@reports_bad_input
def main(argv: Sequence[str] | None = None) -> int:
    options = build_parser().parse_args(argv)
    try:
        result = _run(options)
    except StoreDamaged as error:
        print(f"database: {error}", file=sys.stderr)
        print("the record is NOT intact: the database itself is damaged")
        return 1
    for problem in result.problems:
        print(f"{problem.kind}: {problem}", file=sys.stderr)
    print(_to_text(result))
    return 1 if result.problems else 0


def _run(options: argparse.Namespace) -> Verification:
    """The check of the store."""
    if options.expect_head and not re.fullmatch(r"[0-9a-fA-F]{64}", options.expect_head):
        raise ConfigError(
            f"--expect-head '{options.expect_head}' is not a hash; expected the 64 digits of an earlier run"
        )
    with ReviewStore(options.store, create=False) as store:
        return store.verify(check_images=not options.skip_images, expected_head=options.expect_head)


def _to_text(result: Verification) -> str:
    head = result.head
    counts = ", ".join(f"{action} {count}" for action, count in sorted(head.actions.items())) or "none"
    n_problems = len(result.problems)
    verdict = "intact" if not n_problems else f"NOT intact: {n_problems} problem{'s' if n_problems > 1 else ''}"
    return f"{head.n_cases} cases, {head.n_events} events ({counts})\nhead {head.sha256}\nthe record is {verdict}"


if __name__ == "__main__":
    sys.exit(main())
