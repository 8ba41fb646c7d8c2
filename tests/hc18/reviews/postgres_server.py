"""A PostgreSQL server for the tests: one that exists, or a temporary one from the installed programs."""

import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import psycopg
from psycopg import sql
from sqlalchemy.engine import make_url

URL_VARIABLE = "FETAL_HC_POSTGRES_URL"
START_SECONDS = 30.0
_NUMBERS = count(1)


@dataclass(frozen=True)
class PostgresServer:
    """A running server, or the reason why there is none."""

    url: str
    unavailable: str = ""

    @contextmanager
    def new_schema(self) -> Iterator[str]:
        """The URL of an empty schema, dropped afterwards: for the store as good as a database, but made at once."""
        name = f"fetal_hc_test_{os.getpid()}_{next(_NUMBERS)}"
        self._execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        try:
            url = make_url(self.url).update_query_dict(
                {"options": f"-csearch_path={name} -cclient_min_messages=warning"}
            )
            yield url.render_as_string(hide_password=False)
        finally:
            self._execute(sql.SQL("DROP SCHEMA {} CASCADE").format(sql.Identifier(name)))

    def _execute(self, statement: sql.Composed) -> None:
        with psycopg.connect(to_libpq(self.url), autocommit=True) as connection:
            connection.execute(statement)


def to_libpq(url: str) -> str:
    """A SQLAlchemy URL as libpq takes it."""
    return make_url(url).set(drivername="postgresql").render_as_string(hide_password=False)


@contextmanager
def start_server() -> Iterator[PostgresServer]:
    """The server that the environment names, else a temporary one that only a socket in a private folder reaches."""
    if named := os.environ.get(URL_VARIABLE):
        yield PostgresServer(named)
        return
    programs = _find_programs()
    if programs is None:
        yield PostgresServer("", f"no PostgreSQL: install the server, or set {URL_VARIABLE} to the URL of one")
        return
    user = "postgres" if os.geteuid() == 0 else None  # the server refuses to run as root
    folder = Path(tempfile.mkdtemp(prefix="fetal_hc_pg_"))
    try:
        if user is not None:
            shutil.chown(folder, user)
        yield from _run_server(programs, folder, user)
    except LookupError:
        yield PostgresServer("", "no PostgreSQL: root needs the user 'postgres' to start a server")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _run_server(programs: Path, folder: Path, user: str | None) -> Iterator[PostgresServer]:
    """Starts a server on a fresh cluster and ends it afterwards."""
    data = folder / "data"
    initdb = [str(programs / "initdb"), "-D", str(data), "-U", "tester", "-A", "trust", "-E", "UTF8", "--no-sync"]
    subprocess.run([*initdb, "--locale=C"], check=True, capture_output=True, cwd=folder, user=user)
    command = [str(programs / "postgres"), "-D", str(data), "-k", str(folder)]
    settings = (
        "listen_addresses=",
        "fsync=off",
        "shared_buffers=16MB",
        "max_connections=40",
        "client_min_messages=warning",
    )
    command += [part for setting in settings for part in ("-c", setting)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, user=user, stdout=log, stderr=log, start_new_session=True)
        try:
            url = f"postgresql+psycopg://tester@/postgres?host={folder}"
            _wait_until_ready(url)
            yield PostgresServer(url)
        finally:
            process.send_signal(signal.SIGQUIT)  # at once: nothing of it is kept
            process.wait(timeout=START_SECONDS)


def _wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            psycopg.connect(to_libpq(url)).close()
            return
        except psycopg.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def _find_programs() -> Path | None:
    """Folder of `initdb` and `postgres`; None if they are not installed."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return folders[-1].parent if folders else None
