"""A store that version 0.1.0 wrote (schema 0001): it opens, verifies and shows what it contains."""

import sqlite3
from pathlib import Path

import pytest

from hc18.reviews.models import Decision, ReviewAction
from hc18.reviews.store import ReviewStore
from hc18.reviews.upgrade import MIGRATIONS

HEAD = "caf7fc8f201864f5d84e00d9d4d449198d7f1a4fd0c4dff3ba20e69770edc8dd"


@pytest.fixture
def old_store(tmp_path: Path, repository_root: Path) -> str:
    """File of the old store."""
    path = tmp_path / "old.db"
    connection = sqlite3.connect(path)
    connection.executescript((repository_root / "tests/golden/reviews_schema_0001.sql").read_text(encoding="utf-8"))
    connection.close()
    return str(path)


def test_old_record_is_verified_as_it_is(old_store: str) -> None:
    with ReviewStore(old_store, create=False) as store:
        verification = store.verify(expected_head=HEAD)
    assert verification.problems == ()
    assert (verification.head.sha256, verification.head.n_events) == (HEAD, 14)
    assert _schema(old_store) == "0001"


def test_old_record_is_intact_after_the_upgrade_and_goes_on(old_store: str) -> None:
    with ReviewStore(old_store) as store:
        assert store.verify(expected_head=HEAD).problems == ()
        state = store.append(3, 2, ReviewAction.SIGN, "ann")
        assert (state.decision, state.is_signed) == (Decision.REJECTED, True)
        assert store.verify(expected_head=HEAD).problems == ()
    assert _schema(old_store) == max(file.stem[1:5] for file in (MIGRATIONS / "versions").glob("v*.py"))


def test_old_cases_are_shown(old_store: str) -> None:
    with ReviewStore(old_store) as store:
        first, second, third = store.cases([1, 2, 3])
        assert store.image(1).shape == (24, 32, 3)
        assert store.soft_mask(1) is not None
    assert (first.label, second.label, third.label) == ("Case 1", "Twin B", "Case 3")
    assert first.state.age is not None
    assert (first.state.age.days, first.state.age.source) == (127.0, "estimated due date")
    assert second.state.age is not None
    assert second.state.age.days == 315.0  # more than can be entered today
    assert "fits_disagree" in first.state.flags
    assert first.state.outline.hc_mm == pytest.approx(75.693, abs=0.001)
    assert third.state.reason == "no head"


def _schema(path: str) -> str:
    connection = sqlite3.connect(path)
    try:
        return str(connection.execute("SELECT version_num FROM alembic_version").fetchone()[0])
    finally:
        connection.close()
