"""The catalogue of texts: every language has every text, with the same values in it."""

import ast
import string
from collections.abc import Iterator
from pathlib import Path

import pytest

from fetal_hc import DISCLAIMER
from fetal_hc_app import wording
from fetal_hc_app.access import _ROLE_NAMES
from fetal_hc_app.editor import _LABELS, _TITLES
from fetal_hc_app.panels.keys import _KEYS
from fetal_hc_app.screens.queue import _ORDERS
from fetal_hc_app.screens.worklist import _GROUPS, _NAMES, _REPORT_NAMES
from fetal_hc_app.texts import ENGLISH, catalogue, languages
from hc18.measurement.flags import FLAG_TEXTS, Flag

TABLES = (
    wording.STATUS_SENTENCES,
    wording.DECISION_NAMES,
    wording.ACTION_NAMES,
    wording.SOURCE_NAMES,
    wording.FILTER_NAMES,
    _LABELS,
    _KEYS,
    _ORDERS,
    _NAMES,
    _REPORT_NAMES,
    _ROLE_NAMES,
    dict(enumerate(_GROUPS)),
)


def texts_in_code(app: Path) -> Iterator[str]:
    """What the app passes to `text`, and the tables whose values it passes."""
    for file in sorted(app.rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "text" and node.args:
                choices = [node.args[0]]
                while choices:
                    choice = choices.pop()
                    if isinstance(choice, ast.IfExp):
                        choices += [choice.body, choice.orelse]
                    elif isinstance(choice, ast.Constant):
                        yield str(choice.value)
    for table in TABLES:
        yield from table.values()
    yield from (*_TITLES, *wording.REJECT_REASONS, DISCLAIMER)
    for flag in Flag:
        yield from (FLAG_TEXTS[flag].name, FLAG_TEXTS[flag].sentence)


def fields(words: str) -> list[str]:
    return sorted(name for _, name, _, _ in string.Formatter().parse(words) if name is not None)


@pytest.mark.parametrize("code", [code for code in languages() if code != ENGLISH])
def test_every_text_is_translated_with_its_values(code: str, repository_root: Path) -> None:
    known = catalogue(code)
    wanted = set(texts_in_code(repository_root / "app" / "fetal_hc_app"))
    assert sorted(wanted - known.keys()) == []
    assert [english for english, words in known.items() if fields(english) != fields(words)] == []
