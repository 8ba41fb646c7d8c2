"""Whether the database still refuses to change the record.

The triggers are compared with the text that the migration gave them. A trigger of the right name that does nothing, or
that applies to one column only, is found, and so is a further trigger on a table of the record.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from sqlalchemy import Connection, bindparam, text

from hc18.reviews.migrations.versions.v0001_record_and_queue import (
    postgresql_functions,
    postgresql_triggers,
    sqlite_triggers,
)
from hc18.reviews.tables import APPEND_ONLY

_ALWAYS = "A"  # fires whatever the session says

_SQLITE_TRIGGERS = text("SELECT name, sql FROM sqlite_master WHERE type = 'trigger' AND tbl_name IN :names").bindparams(
    bindparam("names", expanding=True)
)
_POSTGRESQL_TRIGGERS = text("""
    SELECT t.tgname, pg_get_triggerdef(t.oid, true), t.tgenabled
    FROM pg_trigger t JOIN pg_class c ON c.oid = t.tgrelid
    WHERE NOT t.tgisinternal AND pg_table_is_visible(c.oid) AND c.relname IN :names
""").bindparams(bindparam("names", expanding=True))
_POSTGRESQL_FUNCTIONS = text("""
    SELECT p.proname, p.prosrc FROM pg_proc p WHERE pg_function_is_visible(p.oid) AND p.proname IN :names
""").bindparams(bindparam("names", expanding=True))


def find_changed_protection(connection: Connection) -> list[str]:
    """One sentence for each trigger that was removed, switched off, changed or added."""
    if connection.dialect.name == "sqlite":
        rows = connection.execute(_SQLITE_TRIGGERS, {"names": APPEND_ONLY})
        found = {str(row[0]): str(row[1]) for row in rows}
        return [*_trigger_problems(found, sqlite_triggers())]
    rows = connection.execute(_POSTGRESQL_TRIGGERS, {"names": APPEND_ONLY})
    found = {str(name): str(definition) for name, definition, state in rows if state == _ALWAYS}
    problems = [*_trigger_problems(found, postgresql_triggers())]
    bodies = postgresql_functions()
    functions = {
        str(name): str(body) for name, body in connection.execute(_POSTGRESQL_FUNCTIONS, {"names": list(bodies)})
    }
    return problems + [
        f"the function {name} of the triggers was removed or changed, so rows can be changed unnoticed"
        for name, body in bodies.items()
        if _spaced(functions.get(name, "")) != _spaced(body)
    ]


def _trigger_problems(found: Mapping[str, str], expected: Mapping[str, str]) -> Iterator[str]:
    """Sentences on the triggers that differ, by name."""
    for name, statement in expected.items():
        table = next(table for table in APPEND_ONLY if name.startswith(table))
        if name not in found:
            yield f"table {table}: the trigger {name} was removed or switched off, so rows can be changed unnoticed"
        elif _spaced(found[name]) != _spaced(statement):
            yield f"table {table}: the trigger {name} was replaced by another one, so rows can be changed unnoticed"
    for name in sorted(found.keys() - expected.keys()):
        yield f"the trigger {name} does not belong to this store; it may change or drop rows unnoticed"


def _spaced(statement: str) -> str:
    """A statement with single spaces."""
    return " ".join(statement.split())
