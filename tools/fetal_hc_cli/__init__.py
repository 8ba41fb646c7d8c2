"""Commands of the project, one module each; `fetal-hc`, `face-mask` and `tools/*.py` call them."""

import argparse
import functools
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from fetal_hc.errors import ConfigError, FetalHCError

BAD_INPUT = 2  # exit code


class Main(Protocol):
    """A command: takes its arguments, those of the process by default, and returns its exit code."""

    def __call__(self, argv: Sequence[str] | None = None) -> int:
        """Runs the command."""
        ...


def new_parser(docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with the first line of a module's docstring and ends with the rest of it."""
    description, _, epilog = (docstring or "").partition("\n")
    return argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )


def reports_bad_input(main: Main) -> Main:
    """Makes a command print an error that its user can repair, without a traceback, and return 2."""

    @functools.wraps(main)
    def reporting_main(argv: Sequence[str] | None = None) -> int:
        try:
            return main(argv)
        except FetalHCError as error:
            print(f"error: {error}", file=sys.stderr)
            return BAD_INPUT

    return reporting_main


def check_may_write(output: Path, *, overwrite: bool) -> None:
    """Returns if a file may be written: it does not exist, or may be replaced.

    Raises:
        ConfigError: if it exists and may not be replaced.
    """
    if output.exists() and not overwrite:
        raise ConfigError(f"{output}: exists already; choose another name or add --overwrite")


def check_together(parser: argparse.ArgumentParser, options: argparse.Namespace, first: str, second: str) -> None:
    """Ends the command with usage and a sentence if only one of two options is given that belong together.

    Args:
        parser: of the command.
        options: as it parsed them.
        first: name of an option, without its hyphens.
        second: the other one.
    """
    given = [bool(getattr(options, name.replace("-", "_"))) for name in (first, second)]
    if given[0] != given[1]:
        parser.error(f"--{first} and --{second} belong together")
