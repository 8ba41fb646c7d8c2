"""JSON and YAML of others: what is read, and what is refused before it fills the memory."""

import pytest

from fetal_hc.io.documents import parse_json, parse_yaml

BOMB = "a: &a [1, 1]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{chr(ord(name) - 1)}'] * 9)}]\n" for name in "bcdefghij"
)


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
def test_plain_content_is_read(parse) -> None:  # type: ignore[no-untyped-def]
    assert parse('{"a": [1, -2.5, "b"], "c": {"d": true}}') == {"a": [1, -2.5, "b"], "c": {"d": True}}


@pytest.mark.parametrize("parse", [parse_json, parse_yaml])
@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("[" * 5_000 + "]" * 5_000, "nested too deeply"),
        ('{"id": ' + "9" * 6_000 + "}", "6,000 digits"),
        ('{"id": ' + "9" * 40 + "}", "40 digits"),
        ('{"id": [1', "[cC]olumn|expected|Expecting"),
    ],
    ids=["brackets", "digits", "fewer digits", "cut off"],
)
def test_hostile_content_is_refused(parse, text: str, reason: str) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(ValueError, match=reason):
        parse(text)


@pytest.mark.parametrize("text", [BOMB, "a: &a [*a]", "a: &a 1\nb: *a"], ids=["bomb", "circle", "reference"])
def test_references_in_yaml_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="references"):
        parse_yaml(text)


def test_tags_in_yaml_are_refused() -> None:
    with pytest.raises(ValueError, match="could not determine a constructor"):
        parse_yaml("a: !!python/object/apply:os.getcwd []")


def test_long_yaml_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 1,000,000"):
        parse_yaml("# " + "x" * 1_000_000)


def test_json_in_bytes_is_read_as_utf_8() -> None:
    assert parse_json('{"ä": 1}'.encode()) == {"ä": 1}
    with pytest.raises(ValueError, match="decode"):
        parse_json(b'{"\xe4": 1}')
