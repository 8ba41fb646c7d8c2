"""Stores to test with: an SQLite file always, a database on a real PostgreSQL server where there is one."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import Engine

from hc18.reviews.database import connect, to_url
from hc18.reviews.store import ReviewStore
from tests.hc18.reviews.postgres_server import PostgresServer, start_server


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    """The server that FETAL_HC_POSTGRES_URL names, else a temporary one; skips where neither is possible."""
    with start_server() as server:
        if server.unavailable:
            pytest.skip(server.unavailable)
        yield server


@pytest.fixture
def postgres_url(postgres_server: PostgresServer) -> Iterator[str]:
    """Address of an empty store on PostgreSQL."""
    with postgres_server.new_schema() as url:
        yield url


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Address of an empty store, once on SQLite and once on PostgreSQL."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'reviews.db'}"
    url: str = request.getfixturevalue("postgres_url")
    return url


@pytest.fixture
def store(store_url: str) -> Iterator[ReviewStore]:
    """An empty store on SQLite and on PostgreSQL."""
    with ReviewStore(store_url) as opened:
        yield opened


@pytest.fixture
def engine(store_url: str) -> Iterator[Engine]:
    """Another process's way to the database of `store`."""
    opened = connect(to_url(store_url))
    yield opened
    opened.dispose()


@pytest.fixture
def sqlite_store(tmp_path: Path) -> Iterator[ReviewStore]:
    """An empty store on SQLite, for what does not depend on the database."""
    with ReviewStore(str(tmp_path / "reviews.db")) as opened:
        yield opened
