import sqlite3
from pathlib import Path

import pytest

from fetal_hc_cli.verify_reviews import main
from hc18.reviews.models import ReviewAction
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.cases import new_case
from tests.hc18.reviews.raw import execute_unprotected


@pytest.fixture
def path(tmp_path: Path) -> str:
    """File of a store with two cases, the first one accepted."""
    path = str(tmp_path / "reviews.db")
    with ReviewStore(path) as store:
        store.register_cases([new_case(1), new_case(2)], "ann")
        store.append(1, 1, ReviewAction.ACCEPT, "ann")
    return path


def _head(text: str) -> str:
    return next(line for line in text.splitlines() if line.startswith("head ")).removeprefix("head ")


def test_intact_store_gives_counts_and_head(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", path]) == 0
    output = capsys.readouterr()
    assert output.err == ""
    assert output.out.startswith("2 cases, 3 events (accept 1, measured 2)\nhead ")
    assert output.out.endswith("the record is intact\n")
    assert main(["--store", f"sqlite:///{path}", "--skip-images", "--expect-head", _head(output.out)]) == 0


def test_every_broken_link_is_named(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    execute_unprotected(
        f"sqlite:///{path}",
        "UPDATE review_events SET body = replace(body, 'ann', 'eve') WHERE seq IN (1, 3)",
        "DELETE FROM review_events WHERE seq = 2",
    )
    assert main(["--store", path]) == 1
    output = capsys.readouterr()
    for name in (
        "changed: event 1 (case 1",
        "missing: event 2 is missing",
        "changed: event 3 (case 1",
        "missing: case 2",
    ):
        assert name in output.err
    assert "the record is NOT intact: 4 problems" in output.out


def test_head_that_is_gone_is_named(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--store", path, "--expect-head", "ab" * 32]) == 1
    assert "head: no event has the hash abab" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [["--store", "missing.db"], ["--store", "mysql://host/x"], ["--store", "missing.db", "--expect-head", "12"]],
)
def test_bad_input_is_one_message(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("error: ")


def test_damaged_database_is_not_bad_input(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    connection = sqlite3.connect(path)
    connection.execute("DROP TABLE review_events")
    connection.close()
    assert main(["--store", path]) == 1
    output = capsys.readouterr()
    assert "is damaged (removed tables: review_events)" in output.err
    assert "restore a copy" in output.err
    assert "the record is NOT intact" in output.out
