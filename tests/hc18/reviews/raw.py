"""What somebody with direct access to the database could do."""

import sqlite3

from hc18.reviews.database import connect, to_url
from hc18.reviews.tables import APPEND_ONLY


def execute(store_url: str, *statements: str) -> None:
    """Runs SQL behind the store's back, in one transaction."""
    engine = connect(to_url(store_url))
    try:
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
    finally:
        engine.dispose()


def execute_unprotected(store_url: str, *statements: str) -> None:
    """Runs SQL with the triggers removed and put back afterwards, as a database administrator could."""
    if store_url.startswith("postgresql"):
        off = [f"ALTER TABLE {table} DISABLE TRIGGER USER" for table in APPEND_ONLY]
        names = ("no_update", "no_delete", "no_truncate", "insert")
        on = [f"ALTER TABLE {table} ENABLE ALWAYS TRIGGER {table}_{name}" for table in APPEND_ONLY for name in names]
        execute(store_url, *off, *statements, *on)
        return
    connection = sqlite3.connect(to_url(store_url).database or "", isolation_level=None)
    try:
        triggers = connection.execute("SELECT name, sql FROM sqlite_master WHERE type = 'trigger'").fetchall()
        removed = [f"DROP TRIGGER {name}" for name, _ in triggers]
        for statement in ("BEGIN", *removed, *statements, *(definition for _, definition in triggers), "COMMIT"):
            connection.execute(statement)
    finally:
        connection.close()
