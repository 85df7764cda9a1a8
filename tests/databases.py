"""The backends of the tests: SQLite, or with BACKEND=postgres PostgreSQL and Redis.

PostgreSQL databases are created once per worker, emptied between tests and dropped at the end. Keys
in Redis have a prefix of their own, and are deleted with the database. What would cost most of a
short test is done once: a new session of PostgreSQL costs more than all that a test writes."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any

import psycopg
import pytest
import redis.utils
from redis import Redis
from redis.exceptions import RedisError

from service.store.migrations import migrate

# redis reads its own version from a file for each connection: longer than most calls take.
setattr(redis.utils, "get_lib_version", cache(redis.utils.get_lib_version))  # noqa: B010

SERVER = os.environ.get("TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432")
REDIS = os.environ.get("TEST_REDIS_URL", "redis://127.0.0.1:6379/0")
ON_POSTGRES = os.environ.get("BACKEND") == "postgres"
ON_ICU = bool(os.environ.get("TEST_POSTGRES_ICU"))
ICU = "TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
"""Databases that order text as English dictionaries do: 'a' before 'B', '_' before '0'."""

QUICK = ("synchronous_commit = off", "jit = off")
"""This server is never crashed, and no statement runs long enough to be worth compiling."""

_END_SESSIONS = """
SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity
 WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()
"""
"""A session ends a moment after its client has gone, and the next test would still see it."""


class Databases:
    """Databases of the newest schema, each used by one test at a time."""

    def __init__(self) -> None:
        self._mark = f"sync_test_{os.getpid()}_{token_hex(3)}"
        self._made: list[str] = []
        self._free: list[str] = []
        self._lent: dict[Path, str] = {}
        #: Prefixes of keys in Redis, of services with SQLite.
        self._prefixes: dict[Path, str] = {}
        #: Prefixes under which the current test publishes records.
        self._streams: set[str] = set()
        self._used = False
        #: An empty database of the newest schema, of which the others are copies.
        self._template = ""
        #: The tables of the newest schema.
        self._tables: list[str] = []
        self._kept: psycopg.Connection[Any] | None = None

    def environ(self, folder: Path) -> dict[str, str]:
        """The settings of the backends of a service that keeps its data in this folder; the same
        ones for the same folder, until the test ends."""
        self._used = True
        if not ON_POSTGRES:
            return {"DATABASE_URL": f"sqlite:///{folder / 'sync.db'}"}
        return self.of_cluster(folder)

    def of_cluster(self, folder: Path) -> dict[str, str]:
        """`environ`, always of PostgreSQL and Redis."""
        if folder not in self._lent:
            self._lent[folder] = self._free.pop() if self._free else self._make()
        name = self._lent[folder]
        return {
            "DATABASE_URL": f"{SERVER}/{name}",
            "REDIS_URL": REDIS,
            "REDIS_PREFIX": name,
            "DATABASE_POOL": "3",
        }

    def publishing(self, folder: Path) -> dict[str, str]:
        """`environ` of a service that also publishes records to streams of Redis."""
        _require_server()
        environ = self.environ(folder)
        if not ON_POSTGRES:
            name = self._prefixes.setdefault(folder, f"{self._mark}_r{len(self._prefixes)}")
            environ |= {"REDIS_URL": REDIS, "REDIS_PREFIX": name}
        self._streams.add(environ["REDIS_PREFIX"])
        return environ | {"PUBLISH_RECORDS": "1"}

    def prepare(self, folder: Path) -> None:
        """Give a folder without a database of SQLite an empty one of the newest schema."""
        if not ON_POSTGRES and folder.is_dir():
            create_file(folder / "sync.db")

    @contextmanager
    def opened(self, folder: Path) -> Iterator[Any]:
        """The database of the service of this folder, opened as another program would. Each
        statement that it executes is a transaction of its own."""
        if ON_POSTGRES:
            with psycopg.connect(self.environ(folder)["DATABASE_URL"], autocommit=True) as other:
                yield other
        else:
            with closing(sqlite3.connect(folder / "sync.db", isolation_level=None)) as file:
                yield file

    def content(self, folder: Path) -> bytes:
        """All that the service of this folder has stored: the files of SQLite with what they keep
        of deleted rows; the rows of every table and the events of Redis."""
        if not ON_POSTGRES:
            return b"".join(path.read_bytes() for path in sorted(folder.glob("sync.db*")))
        name = self._lent[folder]
        with Redis.from_url(REDIS) as redis:
            stored = [str(redis.xrange(f"{name}:events")).encode()]
        with psycopg.connect(f"{SERVER}/{name}", autocommit=True) as connection:
            for table in _tables(connection):
                with connection.cursor().copy(f'COPY "{table}" TO STDOUT') as rows:
                    stored += [bytes(row) for row in rows]
        return b"".join(stored)

    def take_back(self) -> bool:
        """Empty the databases of a test that has ended. Whether it used any."""
        for name in self._lent.values():
            self._reuse(name)
        while self._streams:
            _delete_keys(f"{self._streams.pop()}:re*")
        self._lent.clear()
        used, self._used = self._used, False
        return used

    @contextmanager
    def one(self) -> Iterator[str]:
        """The URL of an empty database of PostgreSQL."""
        self._used = True
        name = self._free.pop() if self._free else self._make()
        try:
            yield f"{SERVER}/{name}"
        finally:
            self._reuse(name)

    def _reuse(self, name: str) -> None:
        """Empty a database for the next test; not one whose tables a test has renamed."""
        with self._session(name) as session:
            tables = _tables(session)
            if tables != self._tables:
                return
            session.execute(_END_SESSIONS)
            session.execute("; ".join(f'DELETE FROM "{table}"' for table in tables))
            session.execute("UPDATE chores SET at = ''")
        self._free.append(name)

    @contextmanager
    def _session(self, name: str) -> Iterator[psycopg.Connection[Any]]:
        """A session that empties a database. That of the first one is kept: most tests need no
        other, and the server has a hundred for all workers."""
        if self._kept is None or self._kept.info.dbname == name:
            self._kept = self._kept or psycopg.connect(f"{SERVER}/{name}", autocommit=True)
            yield self._kept
        else:
            with psycopg.connect(f"{SERVER}/{name}", autocommit=True) as session:
                yield session

    def without_schema(self, options: str = "") -> str:
        """The URL of a new database without a schema."""
        return f"{SERVER}/{self._create(options)}"

    def _make(self) -> str:
        if not self._template:
            self._template = self._create()
            url = f"{SERVER}/{self._template}"
            migrate(url)
            with psycopg.connect(url, autocommit=True) as connection:
                self._tables = _tables(connection)
        return self._create(f'TEMPLATE "{self._template}"')

    def _create(self, options: str = "") -> str:
        _require_server()
        name = f"{self._mark}_{len(self._made)}"
        with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as connection:
            connection.execute(f'CREATE DATABASE "{name}" {options or (ICU if ON_ICU else "")}')
            # What is measured keeps the settings of the server.
            for setting in QUICK if "PYTEST_CURRENT_TEST" in os.environ else ():
                connection.execute(f'ALTER DATABASE "{name}" SET {setting}')
        self._made.append(name)
        return name

    def drop(self) -> None:
        for name in (*self._made, *self._prefixes.values()):
            with suppress(RedisError):  # unused without BACKEND
                _delete_keys(f"{name}:*")
        if not self._made:
            return
        if self._kept is not None:
            self._kept.close()
        with psycopg.connect(f"{SERVER}/postgres", autocommit=True) as connection:
            for name in self._made:
                connection.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')


def _delete_keys(pattern: str) -> None:
    with Redis.from_url(REDIS) as redis:
        for key in redis.scan_iter(pattern):
            redis.delete(key)


DATABASES = Databases()


@cache
def _empty_file() -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "sync.db"
        migrate(f"sqlite:///{path}")
        return path.read_bytes()


def create_file(path: Path) -> None:
    """Create an empty database of SQLite, unless it exists. A copy is faster than the migrations,
    which have tests of their own."""
    if not path.exists():
        path.write_bytes(_empty_file())


@cache
def _require_server() -> None:
    """Skip the test without the servers; fail it where CI is set."""
    try:
        psycopg.connect(f"{SERVER}/postgres", connect_timeout=5).close()
        with Redis.from_url(REDIS) as redis:
            redis.ping()
    except (psycopg.OperationalError, RedisError) as error:
        text = f"No PostgreSQL at {SERVER} (TEST_POSTGRES_URL), or no Redis at {REDIS}: {error}"
        if os.environ.get("CI"):
            pytest.fail(text)
        pytest.skip(text)


def _tables(connection: psycopg.Connection[Any]) -> list[str]:
    """The tables with rows of a service."""
    rows = connection.execute(
        "SELECT tablename FROM pg_tables WHERE schemaname = 'public'"
        " AND tablename NOT IN ('alembic_version', 'chores') ORDER BY tablename"
    )
    return [table for (table,) in rows]
