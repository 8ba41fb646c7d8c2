"""Opens the database of a store and brings it to the schema of this version."""

from __future__ import annotations

import random
import time
from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, inspect
from sqlalchemy.engine import URL

from hc18.reviews.database import BUSY_TIMEOUT_MS, connect, reading, sqlite_path, writing
from hc18.reviews.models import StoreBusy, StoreDamaged, StoreError
from hc18.reviews.tables import METADATA

MIGRATIONS = Path(__file__).parent / "migrations"
OPEN_SECONDS = 60.0  # how long opening waits while other processes create or upgrade the same database


def open_database(url: URL, *, create: bool, busy_timeout_ms: int = BUSY_TIMEOUT_MS) -> Engine:
    """An engine on a database that has the tables of a review store.

    A database that is up to date is only read, so that opening never waits for a writer.

    Args:
        url: from `to_url`.
        create: whether to create the tables or bring them up to date; otherwise the store is opened as it is.
        busy_timeout_ms: how long a writer waits for another one.

    Raises:
        StoreError: if there is no store, or it cannot be brought up to date.
    """
    path = sqlite_path(url)
    if path is not None:
        _prepare_file(path, create=create)
    engine = connect(url, busy_timeout_ms=busy_timeout_ms)
    give_up = time.monotonic() + OPEN_SECONDS
    while True:
        try:
            _prepare_tables(engine, url.render_as_string(hide_password=True), create=create)
            return engine
        except StoreBusy:
            if time.monotonic() > give_up:
                engine.dispose()
                raise
            time.sleep(random.uniform(0.05, 0.3))
        except BaseException:
            engine.dispose()
            raise


def _prepare_tables(engine: Engine, name: str, *, create: bool) -> None:
    """Returns if the database has the tables of a store; creates or upgrades them if `create` says so.

    Raises:
        StoreError: if it has not.
    """
    _, script = _read_script()
    with reading(engine) as connection:
        revision = _read_revision(connection, name, script)
    if revision is None and not create:
        raise StoreError(f"{name}: is empty; expected a review store; check the path")
    if revision != script.get_current_head() and create:
        with writing(engine) as connection:
            _upgrade(connection, name)


def _prepare_file(path: Path, *, create: bool) -> None:
    """Creates an empty file that only its owner can read, unless there is one.

    Raises:
        StoreError: if there is none and none can be created.
    """
    if path.is_file():
        return
    if not create:
        raise StoreError(f"{path}: does not exist; expected the file of a review store; check the path")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(
            f"{path}: cannot be created ({error.strerror}); expected a writable folder; choose another file"
        ) from error


def _upgrade(connection: Connection, name: str) -> None:
    """Creates the tables, or runs the migrations that are missing, inside the caller's transaction.

    Args:
        connection: in a writer's transaction; another process may have upgraded the database in the meantime.
        name: of the database, for messages.

    Raises:
        StoreError: if a newer version of this program wrote the database, or it belongs to something else.
    """
    config, script = _read_script()
    if _read_revision(connection, name, script) == script.get_current_head():
        return

    def steps(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(config, script, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()


def _read_revision(connection: Connection, name: str, script: ScriptDirectory) -> str | None:
    """The revision of the schema; None for an empty database.

    Raises:
        StoreError: if the database is newer than this program, was made by another one, or is damaged.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    tables = set(inspect(connection).get_table_names())
    if found is None and tables & set(METADATA.tables):
        raise StoreDamaged(f"{name}: is damaged (its table alembic_version is missing or empty); restore a copy")
    if found is None and tables - {"alembic_version"}:
        raise StoreError(f"{name}: contains tables of another program; choose an empty database or another file")
    known = {revision.revision for revision in script.walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"{name}: was written by a newer version of this program (schema {found}; this one knows up to "
            f"{script.get_current_head()}); install that version or choose another store"
        )
    return found


def _read_script() -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config, ScriptDirectory.from_config(config)
