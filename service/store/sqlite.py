"""SQLite: one connection that runs each write in one call to its thread, and several that read."""

import sqlite3
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager
from itertools import accumulate
from pathlib import Path
from time import perf_counter
from typing import Any, Self, cast
from urllib.parse import quote

import aiosqlite
import anyio
import msgspec
import structlog
from aiosqlite import Connection as RawConnection
from databases import Database
from databases.core import Connection

from service.metrics import Metrics
from service.store.engine import Refused, Source, Statement, Table, Unavailable, Values
from service.store.place import Place

READERS = 3
SMALL = 128 * 1024 * 1024
"""Bytes in use up to which a database is rebuilt to erase unused parts of pages, where SQLite
leaves copies when it splits a page. A rebuild takes less than a second."""
BUSY_MILLISECONDS = 1000
"""How long a write waits for another program that has locked the file, such as a backup."""
TEMPORARY = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_READONLY,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_PROTOCOL,
    }
)
"""Result codes of temporary faults: the file is locked or unreachable, or the disk is full."""

log = structlog.get_logger()


class _TunedConnection(sqlite3.Connection):
    """Sets its pragmas when it is created, since pragmas belong to a connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for pragma in (
            f"busy_timeout = {BUSY_MILLISECONDS}",
            "journal_mode = WAL",
            "synchronous = NORMAL",
            "foreign_keys = ON",
            "secure_delete = ON",  # freed pages are zeroed; writes are not slower
        ):
            self.execute(f"PRAGMA {pragma}")


class _HeldConnection:
    """A `Database` with one connection that stays open."""

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        #: How many reads are running or waiting.
        self.pending = 0

    @classmethod
    async def open(cls, path: Path) -> Self:
        # Quoted: `databases` parses the address, and a path may contain any character.
        database = Database(f"sqlite:///{quote(str(path))}", factory=_TunedConnection)
        await database.connect()
        connection = database.connection()
        await connection.__aenter__()
        held = cls(connection)
        held.raw.row_factory = sqlite3.Row
        return held

    @property
    def raw(self) -> RawConnection:
        raw: RawConnection = self.connection.raw_connection
        return raw

    async def close(self) -> None:
        # disconnect() would leave the connection open.
        await self.connection.__aexit__(None, None, None)


class SqliteEngine:
    """The embedded database, used by one process at a time (see `service.store.place`)."""

    def __init__(
        self,
        writer: _HeldConnection,
        readers: Sequence[_HeldConnection],
        place: Place,
        metrics: Metrics,
    ) -> None:
        self._writer = writer
        self._readers = readers
        self._place = place
        self._metrics = metrics

    @classmethod
    async def open(
        cls, path: Path, place: Place | None = None, metrics: Metrics | None = None
    ) -> Self:
        """`place` checks before each write that the files are still the ones opened here."""
        place = place or Place(path)
        writer, *readers = [await _HeldConnection.open(path) for _ in range(1 + READERS)]
        await writer.raw.execute_fetchall("SELECT COUNT(*) FROM sqlite_master")  # makes -wal, -shm
        place.remember()
        return cls(writer, readers, place, metrics or Metrics())

    async def ping(self) -> None:
        self._place.check()
        await self.read("SELECT 1", {})

    async def read(self, sql: str, values: Values) -> Sequence[Values]:
        reader = min(self._readers, key=lambda reader: reader.pending)
        reader.pending += 1
        # Not through `databases`, whose rows take longer than the query. This is one call to the
        # thread, and returns SQLite's own rows.
        try:
            with _temporary_faults():
                rows = await reader.raw.execute_fetchall(sql, values)
        finally:
            reader.pending -= 1
        return cast(Sequence[Values], rows)

    async def fetch(
        self, sql: str, columns: Sequence[str], values: Values, table: Table | None = None
    ) -> Sequence[Sequence[Any]]:
        (row,) = await self.read(*_packed(sql, columns, values, table))
        return msgspec.json.decode(row["rows"], type=list[list[Any]])

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Source]:
        self._place.check()
        # mode=rw: a file that was deleted is not created again.
        uri = f"file:{quote(str(self._place.path))}?mode=rw"
        with anyio.CancelScope(shield=True):  # a connection without a holder keeps its thread
            with _temporary_faults():
                raw = await aiosqlite.connect(
                    uri, uri=True, factory=_TunedConnection, isolation_level=None
                )
        try:
            with _temporary_faults():
                await raw.execute_fetchall("BEGIN")
                await raw.execute_fetchall("SELECT COUNT(*) FROM sqlite_master")  # begins to read
            yield _SqliteSnapshot(raw)
        finally:
            with anyio.CancelScope(shield=True):
                await raw.close()

    async def write(self, guard: Statement, rest: Sequence[Statement]) -> bool:
        # Shielded: a write cancelled between BEGIN and COMMIT would block every other write. It is
        # one call to the connection's thread, through _execute, since aiosqlite has no public
        # method for that.
        self._metrics.queued += 1
        begun = perf_counter()
        with anyio.CancelScope(shield=True), _temporary_faults():
            raw = self._writer.raw
            try:
                written: bool = await raw._execute(self._write, raw._conn, guard, rest, begun)  # type: ignore[no-untyped-call]
            finally:
                self._metrics.queued -= 1
        return written

    async def wipe(self, thoroughly: bool) -> bool:
        with anyio.CancelScope(shield=True), _temporary_faults():
            raw = self._writer.raw
            done: bool = await raw._execute(self._wipe, raw._conn, thoroughly)  # type: ignore[no-untyped-call]
        return done

    def _wipe(self, connection: sqlite3.Connection, thoroughly: bool) -> bool:
        self._place.check()
        return _wipe(connection, thoroughly)

    def _write(
        self,
        connection: sqlite3.Connection,
        guard: Statement,
        rest: Sequence[Statement],
        begun: float,
    ) -> bool:
        self._metrics.write_wait.observe(perf_counter() - begun)
        self._place.check()
        begun = perf_counter()
        try:
            connection.execute("BEGIN IMMEDIATE")
        finally:
            self._metrics.lock_wait.observe(perf_counter() - begun)
        return _write(connection, guard, rest)

    async def close(self) -> None:
        for held in (*self._readers, self._writer):
            await held.close()


class _SqliteSnapshot:
    """A read transaction on a connection of its own."""

    def __init__(self, raw: RawConnection) -> None:
        self._raw = raw

    async def fetch(
        self, sql: str, columns: Sequence[str], values: Values, table: Table | None = None
    ) -> Sequence[Sequence[Any]]:
        with _temporary_faults():
            ((rows,),) = await self._raw.execute_fetchall(*_packed(sql, columns, values, table))
        return msgspec.json.decode(rows, type=list[list[Any]])


@contextmanager
def _temporary_faults() -> Iterator[None]:
    """Turn temporary faults of the database into Unavailable. Other faults are bugs."""
    try:
        yield
    except sqlite3.OperationalError as error:
        if getattr(error, "sqlite_errorcode", 0) & 0xFF not in TEMPORARY:
            raise
        raise Unavailable(str(error)) from error


def _write(connection: sqlite3.Connection, guard: Statement, rest: Sequence[Statement]) -> bool:
    """Write in the transaction that was begun."""
    try:
        sql, rows = _with_table(guard)
        if not any(connection.execute(sql, row).fetchone() for row in rows):
            connection.execute("ROLLBACK")
            return False
        for statement in rest:
            _run(connection, statement)
        connection.execute("COMMIT")
        return True
    except BaseException as error:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        if isinstance(error, sqlite3.IntegrityError):
            raise Refused(str(error)) from error
        raise


def _wipe(connection: sqlite3.Connection, thoroughly: bool) -> bool:
    """Returns False if a program that reads prevents the wipe: writes must not wait for it."""
    try:
        if thoroughly and _bytes_in_use(connection) <= SMALL:
            connection.execute("VACUUM")
    except sqlite3.OperationalError as error:
        if error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            return False
        log.warning("database_not_rebuilt", reason=str(error))  # for example a full disk
    connection.execute("PRAGMA busy_timeout = 100")
    try:
        busy, _, _ = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {BUSY_MILLISECONDS}")
    return not busy


def _bytes_in_use(connection: sqlite3.Connection) -> int:
    names = ("page_count", "freelist_count", "page_size")
    pages, free, size = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in names)
    return int((pages - free) * size)


def _run(connection: sqlite3.Connection, statement: Statement) -> None:
    sql, rows = _with_table(statement)
    if not statement.optional:
        connection.executemany(sql, rows)
        return
    connection.execute("SAVEPOINT optional")
    try:
        connection.executemany(sql, rows)
    except sqlite3.Error as error:
        if not connection.in_transaction:  # a full disk has ended the transaction
            raise
        connection.execute("ROLLBACK TO optional")
        log.error("optional_rows_lost", rows=len(statement.rows), reason=str(error))
    connection.execute("RELEASE optional")


def _packed(
    sql: str, columns: Sequence[str], values: Values, table: Table | None
) -> tuple[str, Values]:
    """A query that returns all rows as one JSON text, and its parameters."""
    if table is not None:
        place, more = _inlined(table)
        sql, values = sql.replace("{rows}", place), {**values, **more}
    cells = ", ".join(columns)
    return f"SELECT json_group_array(json_array({cells})) AS rows FROM ({sql})", values


def _with_table(statement: Statement) -> tuple[str, Sequence[Values]]:
    if statement.table is None:
        return statement.sql, statement.rows
    place, more = _inlined(statement.table)
    return statement.sql.replace("{rows}", place), [{**row, **more} for row in statement.rows]


def _inlined(table: Table) -> tuple[str, Values]:
    """The table as a subquery, and its parameters. Text is passed as JSON. Bytes, which are long
    and need no quoting, are concatenated into one blob."""
    if len(table) == 1 and isinstance(next(iter(*table.values()), None), str):
        ((name, column),) = table.items()  # an array of text, which takes half the time
        rows = msgspec.json.encode(column).decode()
        return f"(SELECT value AS {name} FROM json_each(:_rows)) AS rows", {"_rows": rows}
    values: dict[str, Any] = {}
    cells: list[Sequence[Any]] = []
    names = []
    for name, column in table.items():
        if not isinstance(next(iter(column), None), bytes):
            names.append(f"json_extract(value, '$[{len(cells)}]') AS {name}")
            cells.append(column)
            continue
        lengths = [len(cell or b"") for cell in column]
        first = f"json_extract(value, '$[{len(cells)}]')"
        length = f"json_extract(value, '$[{len(cells) + 1}]')"
        names.append(f"CAST(substr(:_{name}, {first} + 1, {length}) AS TEXT) AS {name}")
        values[f"_{name}"] = b"".join(cast(Sequence[bytes], column))
        cells += [[0, *accumulate(lengths)][:-1], lengths]
    values["_rows"] = msgspec.json.encode(list(zip(*cells, strict=True))).decode()
    return f"(SELECT {', '.join(names)} FROM json_each(:_rows)) AS rows", values
