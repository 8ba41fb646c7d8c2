"""Connections to SQLite and PostgreSQL, and the lock that makes one writer wait for the other."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError

from hc18.reviews.models import StoreBusy, StoreDamaged, StoreError

STORE_VARIABLE = "FETAL_HC_STORE"
BUSY_TIMEOUT_MS = 5000  # how long a writer waits for another one
_WRITER_OPTION = "fetal_hc_writer"
_TIMEOUT_OPTION = "fetal_hc_busy_timeout_ms"
_WRITER_LOCK = 0x66_65_74_61_6C_68_63  # "fetalhc"; PostgreSQL's advisory locks are numbers
# Codes of SQLite and SQLSTATEs of PostgreSQL.
_LOCKED = frozenset({"SQLITE_BUSY", "SQLITE_BUSY_RECOVERY", "SQLITE_BUSY_SNAPSHOT", "SQLITE_LOCKED", "55P03"})
_DAMAGED = frozenset({"SQLITE_CORRUPT", "SQLITE_CORRUPT_INDEX", "XX001", "XX002", "42P01", "42703"})
_DAMAGED_WORDS = ("no such table", "no such column", "malformed database schema")  # SQLite has no code for these


def usual_store(environment: Mapping[str, str] = os.environ) -> str:
    """The store that FETAL_HC_STORE names, by default `fetal-hc/reviews.db` in the user's data folder (XDG)."""
    named = environment.get("XDG_DATA_HOME")
    folder = Path(named) if named else Path.home() / ".local" / "share"
    return environment.get(STORE_VARIABLE) or str(folder / "fetal-hc" / "reviews.db")


def to_url(store: str) -> URL:
    """The database that a user names: a URL, or the path of an SQLite file.

    Raises:
        StoreError: if it is neither an SQLite file nor a PostgreSQL database.
    """
    expected = "expected a file such as reviews.db, sqlite:///reviews.db or postgresql://user@host/name"
    try:
        url = make_url(store) if "://" in store else URL.create("sqlite", database=store)
    except ArgumentError as error:
        raise StoreError(f"'{store}' is not the address of a review store; {expected}") from error
    kind = url.get_backend_name()
    if kind in ("postgres", "postgresql"):
        return url.set(drivername="postgresql+psycopg")
    if kind != "sqlite":
        raise StoreError(f"'{kind}' cannot be used as a review store; {expected}")
    if not url.database or url.database == ":memory:" or url.database.startswith("file:"):
        raise StoreError(f"'{store}' names no file, so the reviews would be lost; {expected}")
    return url.set(drivername="sqlite+pysqlite")


def connect(url: URL, *, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """An engine whose transactions begin at once and whose writers wait for each other.

    Args:
        url: from `to_url`.
        busy_timeout_ms: how long a writer waits for another one.
    """
    options = {_TIMEOUT_OPTION: busy_timeout_ms}
    if url.get_backend_name() == "sqlite":
        engine = create_engine(url, connect_args={"timeout": busy_timeout_ms / 1000.0}, execution_options=options)
        event.listen(engine, "connect", _configure_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
        return engine
    return create_engine(url, pool_pre_ping=True, execution_options=options)


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """One transaction that sees one state of the database.

    Raises:
        StoreError: if the database fails.
    """
    with translated_errors(engine.url), engine.connect() as connection:
        if engine.dialect.name == "postgresql":
            connection = connection.execution_options(isolation_level="REPEATABLE READ")
        with connection.begin():
            yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """One transaction that no other writer's overlaps; committed when the block ends without an error.

    Raises:
        StoreError: if another writer keeps the database for too long, or the database fails.
    """
    with translated_errors(engine.url), engine.connect() as connection:
        connection = connection.execution_options(**{_WRITER_OPTION: True})
        if engine.dialect.name == "postgresql":  # what the writer before saved must be seen after waiting for the lock
            connection = connection.execution_options(isolation_level="READ COMMITTED")
        with connection.begin():
            if engine.dialect.name == "postgresql":
                timeout_ms = connection.get_execution_options()[_TIMEOUT_OPTION]
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {timeout_ms}")
                connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})")
            yield connection


@contextmanager
def translated_errors(url: URL) -> Iterator[None]:
    """Turns the database's errors into `StoreError`s that say what to do.

    Raises:
        StoreError: if the block raised an error of the database.
    """
    name = url.render_as_string(hide_password=True)
    try:
        yield
    except UnicodeDecodeError as error:  # SQLite's message on a damaged schema repeats its bytes
        raise _damaged(name, "its schema contains bytes that are not text") from error
    except SQLAlchemyError as error:
        original = getattr(error, "orig", None) or error
        cause = " ".join(str(original).split())
        codes = {getattr(original, "sqlite_errorname", ""), getattr(original, "sqlstate", "")}
        if codes & _LOCKED:
            raise StoreBusy(f"{name}: is being written by somebody else; nothing was saved, try again") from error
        if codes & _DAMAGED or any(words in cause for words in _DAMAGED_WORDS):
            raise _damaged(name, cause) from error
        if "SQLITE_NOTADB" in codes:
            raise StoreError(f"{name}: is not an SQLite database; expected a review store; check the path") from error
        raise StoreError(
            f"{name}: the database refused ({cause}); check the address, its rights and its space"
        ) from error


def _damaged(name: str, cause: str) -> StoreDamaged:
    return StoreDamaged(f"{name}: is damaged ({cause}); keep this file, restore a copy and check the disk")


def sqlite_path(url: URL) -> Path | None:
    """The file of an SQLite store; None for PostgreSQL."""
    return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None


def _configure_sqlite(connection: Any, _record: Any) -> None:
    """Settings of a new connection."""
    connection.isolation_level = None  # transactions begin where `_begin_sqlite` says
    connection.text_factory = _to_text
    cursor = connection.cursor()
    for pragma in (
        "journal_mode = WAL",
        "synchronous = FULL",  # a signature survives a power cut
        "foreign_keys = ON",
        "recursive_triggers = ON",  # so that a row replaced by another asks the delete trigger
    ):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    """Begins a transaction; a writer's takes the lock at once, so that it never fails halfway."""
    is_writer = connection.get_execution_options().get(_WRITER_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if is_writer else "BEGIN")


def _to_text(raw: bytes) -> str:
    """Text of a column; damaged bytes are replaced, so that the check of the record can name the row."""
    return raw.decode("utf-8", "replace")
