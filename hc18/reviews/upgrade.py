"""Brings a database to the schema of this version."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from alembic.config import Config
from alembic.runtime.environment import EnvironmentContext
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect

from hc18.reviews.errors import StoreError

MIGRATIONS = Path(__file__).parent / "migrations"


def upgrade_schema(connection: Connection, name: str) -> None:
    """Creates the tables, or runs the migrations that are missing, inside the caller's transaction.

    Args:
        connection: in a writer's transaction.
        name: of the database, for messages.

    Raises:
        StoreError: if a newer version of this program wrote the database, or it belongs to something else.
    """
    config, script = _read_script()
    if not _check_known(connection, name, script):
        return

    def steps(revision: Any, _context: MigrationContext) -> Any:
        return script._upgrade_revs("head", revision)

    with EnvironmentContext(config, script, fn=steps) as environment:
        environment.configure(connection=connection, transactional_ddl=True)
        environment.run_migrations()


def check_current(connection: Connection, name: str) -> None:
    """Returns if the database has the schema of this version.

    Raises:
        StoreError: if it is older, newer, empty or belongs to something else.
    """
    _, script = _read_script()
    if _check_known(connection, name, script):
        raise StoreError(f"{name}: was written by an older version, or is empty; open it once with the reviewer app")


def _check_known(connection: Connection, name: str, script: ScriptDirectory) -> bool:
    """Whether migrations are missing.

    Raises:
        StoreError: if the database is newer than this program or was made by another one.
    """
    found = MigrationContext.configure(connection).get_current_revision()
    if found is None and inspect(connection).get_table_names():
        raise StoreError(f"{name}: holds tables of another program; choose an empty database or another file")
    known = {revision.revision for revision in script.walk_revisions()}
    if found is not None and found not in known:
        raise StoreError(
            f"{name}: was written by a newer version of this program (schema {found}; this one knows up to "
            f"{script.get_current_head()}); install that version or choose another store"
        )
    return found != script.get_current_head()


def _read_script() -> tuple[Config, ScriptDirectory]:
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config, ScriptDirectory.from_config(config)
