"""Whether the database still refuses to change the record."""

from __future__ import annotations

from sqlalchemy import Connection

from hc18.reviews.schema import APPEND_ONLY

_ROW_RULES = ("no_update", "no_delete", "insert")
_RULES = {"sqlite": _ROW_RULES, "postgresql": (*_ROW_RULES, "no_truncate")}
_ALWAYS = "A"  # fires whatever the session says
_QUERIES = {
    "sqlite": f"SELECT name, '{_ALWAYS}' FROM sqlite_master WHERE type = 'trigger'",
    "postgresql": "SELECT t.tgname, t.tgenabled FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid "
    "WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid)",
}


def missing_triggers(connection: Connection) -> list[str]:
    """One sentence for each trigger that was removed or switched off."""
    kind = connection.dialect.name
    found = {str(name): str(state) for name, state in connection.exec_driver_sql(_QUERIES[kind])}
    return [
        f"table {table}: the trigger {table}_{rule} was removed or switched off, so rows can be changed unnoticed"
        for table in APPEND_ONLY
        for rule in _RULES[kind]
        if found.get(f"{table}_{rule}") != _ALWAYS
    ]
