"""Parsing JSON and YAML that somebody else wrote, without filling the memory or the stack."""

from __future__ import annotations

import json
from typing import Any

_MAX_DIGITS = 30  # of a whole number; ids and sizes have fewer than 20
_MAX_DEPTH = 50  # brackets within brackets; our own files have fewer than 10
_MAX_YAML_CHARACTERS = 1_000_000


def parse_json(text: str | bytes) -> Any:
    """The content of a JSON text, which is UTF-8 if it comes as bytes.

    Raises:
        ValueError: if it is not JSON, nested too deeply, or has a number of too many digits.
    """
    try:
        return json.loads(text, parse_int=_bounded_int)
    except RecursionError:
        raise ValueError("its brackets are nested too deeply") from None


def parse_yaml(text: str) -> Any:
    """The content of a YAML text without tags and without references, which can multiply a short text endlessly.

    Raises:
        ValueError: if it is not such a text, too long or nested too deeply.
    """
    import yaml  # a requirement of training alone

    class PlainLoader(yaml.SafeLoader):
        """Refuses references, deep nesting and long numbers."""

        depth = 0

        def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
            if self.check_event(yaml.AliasEvent):
                raise ValueError("it uses references (*name), which are not allowed")
            self.depth += 1
            if self.depth > _MAX_DEPTH:
                raise ValueError("its brackets are nested too deeply")
            node: yaml.Node | None = super().compose_node(parent, index)
            self.depth -= 1
            return node

        def construct_yaml_int(self, node: yaml.ScalarNode) -> int:
            _check_digits(node.value)
            return super().construct_yaml_int(node)

    PlainLoader.add_constructor("tag:yaml.org,2002:int", PlainLoader.construct_yaml_int)
    if len(text) > _MAX_YAML_CHARACTERS:
        raise ValueError(f"it has {len(text):,} characters, more than {_MAX_YAML_CHARACTERS:,}")
    try:
        return yaml.load(text, PlainLoader)  # a subclass of the safe loader
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from error


def _bounded_int(digits: str) -> int:
    """A whole number.

    Raises:
        ValueError: if it has too many digits.
    """
    _check_digits(digits)
    return int(digits)


def _check_digits(digits: str) -> None:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number has {len(digits):,} digits, more than {_MAX_DIGITS}")
