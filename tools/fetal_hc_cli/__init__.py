"""Commands of the project, one module each; `fetal-hc`, `face-mask` and `tools/*.py` call them."""

import argparse


def new_parser(docstring: str | None) -> argparse.ArgumentParser:
    """A parser whose help begins with the first line of a module's docstring and ends with the rest of it."""
    description, _, epilog = (docstring or "").partition("\n")
    return argparse.ArgumentParser(
        description=description, epilog=epilog, formatter_class=argparse.RawDescriptionHelpFormatter
    )
