"""PostgreSQL: a pool of connections, each of which runs whole writes in one transaction.

`databases` opens the pool and lends the connections. Statements bypass it, as on SQLite."""

import re
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
from functools import lru_cache
from time import monotonic, perf_counter
from typing import Any, Self, cast

import anyio
import asyncpg  # type: ignore[import-untyped]
import structlog
from databases import Database

from service.check import Level
from service.metrics import Metrics
from service.store import postgres_session as session
from service.store.engine import Refused, Source, Statement, Table, Unavailable, Values
from service.store.postgres_clock import check_clock
from service.store.postgres_errors import REMEDIES, explain

TEMPORARY = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    asyncpg.OperatorInterventionError,  # a shutdown, or a crash of another backend
    asyncpg.InsufficientResourcesError,  # disk, memory, or the number of connections
    asyncpg.TransactionRollbackError,  # a deadlock
    asyncpg.ReadOnlySQLTransactionError,  # a standby
    asyncpg.ObjectInUseError,
    asyncpg.LockNotAvailableError,
    asyncpg.IdleInTransactionSessionTimeoutError,  # this process was paused
    asyncpg.InvalidAuthorizationSpecificationError,  # the password was changed
    asyncpg.InvalidCatalogNameError,  # the database was renamed or dropped
)
"""Faults that may pass, or that the operator can repair meanwhile: the server is unreachable,
starting, read-only or out of resources, or it refuses the connection."""
SEPARATOR, NULL = "\x1f", "\x1e"
"""The separator between the cells of a column, and the mark of a null. JSON cannot contain them."""
_PARAMETER = re.compile(r"(?<![:\w]):([a-z_][a-z0-9_]*)")
_HINTS = re.compile(r" INDEXED BY \w+|(?<=[\s(])\+(?=[a-z_]+ [<>])")
"""Hints for SQLite: which index to read, and `+column`, which keeps an index from being read."""
_EXTRACT = re.compile(r"json_extract\((\w+), (:\w+)\)")


def _extracted(call: re.Match[str]) -> str:
    """SQLite's `json_extract` of a text. JSONB cannot hold U+0000: such a record has no value."""
    column, path = call.groups()
    value = f"jsonb_path_query_first(CAST({column} AS JSONB), CAST({path} AS JSONPATH))"
    return rf"(CASE WHEN strpos({column}, '\u0000') = 0 THEN {value} #>> '{{}}' END)"


_TYPES = {str: "text", int: "bigint", bool: "boolean", bytes: "bytea", float: "double precision"}
_LOCK = "SELECT pg_advisory_xact_lock(hashtextextended($1, 0))"
_WRITABLE = """
SELECT NOT pg_is_in_recovery() AND current_setting('transaction_read_only') = 'off' AS writable,
       clock_timestamp() AS now
"""
_CLOCK_EVERY = 600.0
"""Seconds after which a clock that is still wrong is logged again."""

log = structlog.get_logger()


class PostgresEngine:
    """A database that many processes may use at once."""

    def __init__(self, database: Database, url: str, metrics: Metrics) -> None:
        self._database = database
        self._metrics = metrics
        self._url = url
        self._clock_logged = -_CLOCK_EVERY

    @classmethod
    async def open(cls, url: str, pool: int, metrics: Metrics | None = None) -> Self:
        """Connect to a database of the newest schema. Raises Unavailable."""
        database = Database(
            url,
            dsn=url,  # `databases` alone would ignore sslmode and the like
            min_size=1,
            max_size=pool,
            timeout=session.CONNECT_TIMEOUT,
            command_timeout=session.ANSWER_TIMEOUT,
            init=session.prepare,
            reset=_keep_session,
            server_settings={"application_name": session.APPLICATION},
        )
        with _temporary_faults():
            await database.connect()
        return cls(database, url, metrics or Metrics())

    async def ping(self) -> None:
        before = datetime.now(UTC)
        (row,) = await self.read(_WRITABLE, {})
        took = datetime.now(UTC) - before
        self._check_clock((before + took / 2 - row["now"]).total_seconds())
        if not row["writable"]:
            raise Unavailable(f"The database is read-only. {REMEDIES['25006']}")

    def _check_clock(self, ahead: float) -> None:
        """Log a clock that is wrong, every ten minutes."""
        found = check_clock(ahead)
        if found.level is Level.OK:
            self._clock_logged = -_CLOCK_EVERY
        elif monotonic() - self._clock_logged >= _CLOCK_EVERY:
            self._clock_logged = monotonic()
            log.warning("clock_apart", reason=found.sentence)

    async def read(self, sql: str, values: Values) -> Sequence[Values]:
        async with self._connection() as connection:
            try:
                return cast(Sequence[Values], await _fetch(connection, sql, values))
            except asyncpg.CharacterNotInRepertoireError:
                return []  # a value with U+0000, which no stored text has

    async def fetch(
        self, sql: str, columns: Sequence[str], values: Values, table: Table | None = None
    ) -> Sequence[Sequence[Any]]:
        async with self._connection() as connection:
            return await _fetch_columns(connection, sql, columns, values, table)

    @asynccontextmanager
    async def snapshot(self) -> AsyncIterator[Source]:
        with _temporary_faults():
            connection = await asyncpg.connect(
                self._url,
                timeout=session.CONNECT_TIMEOUT,
                command_timeout=session.ANSWER_TIMEOUT,
                server_settings={"application_name": session.APPLICATION},
            )
        try:
            with _temporary_faults():
                await session.prepare(connection)
                await connection.execute(session.SNAPSHOT)
            yield _PostgresSnapshot(connection)
        finally:
            with anyio.CancelScope(shield=True), suppress(*TEMPORARY):
                await connection.close(timeout=session.CLOSE_TIMEOUT)

    async def write(self, guard: Statement, rest: Sequence[Statement]) -> bool:
        # Shielded: a write cancelled between BEGIN and COMMIT would be undone without a reason.
        with anyio.CancelScope(shield=True):
            async with self._connection() as connection:
                written = await _write(connection, guard, rest, self._metrics)
        return written

    async def wipe(self, thoroughly: bool) -> bool:
        """The server's own vacuum removes deleted rows."""
        return True

    async def close(self) -> None:
        with anyio.move_on_after(session.CLOSE_TIMEOUT, shield=True) as scope:
            await self._database.disconnect()
        if scope.cancelled_caught:  # the network is silent
            log.warning("database_not_closed")

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[asyncpg.Connection]:
        with _temporary_faults():
            held = self._database.connection()
            self._metrics.queued += 1
            begun = perf_counter()
            try:
                with anyio.fail_after(session.ACQUIRE_TIMEOUT):
                    await held.__aenter__()
            finally:
                self._metrics.queued -= 1
                self._metrics.write_wait.observe(perf_counter() - begun)
            connection = cast(asyncpg.Connection, held.raw_connection)
            try:
                yield connection
            except TimeoutError:
                # It no longer responds: its return to the pool would wait again.
                _terminate(connection)
                raise
            finally:
                # `databases` lends one connection to each task. If its return was cancelled, the
                # task could not borrow one again.
                with anyio.CancelScope(shield=True):
                    await held.__aexit__()


class _PostgresSnapshot:
    """A transaction that only reads, on a connection beside the pool."""

    def __init__(self, connection: asyncpg.Connection) -> None:
        self._connection = connection

    async def fetch(
        self, sql: str, columns: Sequence[str], values: Values, table: Table | None = None
    ) -> Sequence[Sequence[Any]]:
        with _temporary_faults():
            return await _fetch_columns(self._connection, sql, columns, values, table)


@contextmanager
def _temporary_faults() -> Iterator[None]:
    """Turn temporary faults of the database into Unavailable. Other faults are bugs."""
    try:
        yield
    except TEMPORARY as error:
        raise Unavailable(explain(error).sentence) from error


async def _keep_session(connection: asyncpg.Connection) -> None:
    """Replaces the reset of a connection that returns to the pool: no session state is used, and
    the reset would take one more round trip for each call."""


async def _fetch(connection: asyncpg.Connection, sql: str, values: Values) -> list[Any]:
    text, names = _positional(sql, _signature(values))
    return cast(list[Any], await connection.fetch(text, *(values[name] for name in names)))


async def _fetch_columns(
    connection: asyncpg.Connection,
    sql: str,
    columns: Sequence[str],
    values: Values,
    table: Table | None,
) -> Sequence[Sequence[Any]]:
    if table is not None:
        place, more = _unnested(table)
        sql, values = sql.replace("{rows}", place), {**values, **more}
    try:
        rows = await _fetch(
            connection, f"SELECT {', '.join(columns)} FROM ({sql}) AS selected", values
        )
    except asyncpg.CharacterNotInRepertoireError:
        return []  # a value with U+0000, which no stored text has
    return [tuple(row) for row in rows]


async def _write(
    connection: asyncpg.Connection, guard: Statement, rest: Sequence[Statement], metrics: Metrics
) -> bool:
    transaction = connection.transaction()
    await transaction.start()
    try:
        # Each lock is a statement of its own: the guard's snapshot must be taken after it.
        begun = perf_counter()
        for name in sorted(guard.alone):
            await connection.execute(_LOCK, name)
        metrics.lock_wait.observe(perf_counter() - begun if guard.alone else 0.0)
        sql, rows = _with_table(guard)
        for row in rows:
            if await _fetch(connection, sql, row):
                break
        else:
            await transaction.rollback()
            return False
        for statement in rest:
            await _run(connection, statement)
        await transaction.commit()
        return True
    except BaseException as error:
        if isinstance(error, TimeoutError):
            _terminate(connection)
        else:
            await _undo(connection, transaction)
        if isinstance(error, asyncpg.IntegrityConstraintViolationError):
            raise Refused(str(error)) from error
        raise


def _terminate(connection: asyncpg.Connection) -> None:
    with suppress(asyncpg.InterfaceError):  # it was terminated before, and has left the pool
        connection.terminate()


async def _undo(connection: asyncpg.Connection, transaction: Any) -> None:
    """Roll back. A connection that cannot (its commit was interrupted) is closed: with an open
    transaction it would keep its locks in the pool."""
    try:
        if not connection.is_closed() and connection.is_in_transaction():
            await transaction.rollback()
    except (asyncpg.InterfaceError, asyncpg.InternalClientError):
        _terminate(connection)


async def _run(connection: asyncpg.Connection, statement: Statement) -> None:
    if not statement.optional:
        await _execute(connection, statement)
        return
    try:
        async with connection.transaction():  # a savepoint
            await _execute(connection, statement)
    except asyncpg.PostgresError as error:
        if isinstance(error, TEMPORARY):
            raise
        log.error("optional_rows_lost", rows=len(statement.rows), reason=str(error))


async def _execute(connection: asyncpg.Connection, statement: Statement) -> None:
    sql, rows = _with_table(statement)
    by_types: dict[tuple[tuple[str, str], ...], list[Values]] = {}
    for row in rows:
        by_types.setdefault(_signature(row), []).append(row)
    for types, alike in by_types.items():
        text, names = _positional(sql, types)
        arguments = [tuple(row[name] for name in names) for row in alike]
        if len(arguments) == 1:
            await connection.execute(text, *arguments[0], timeout=session.BULK_TIMEOUT)
        else:
            await connection.executemany(text, arguments, timeout=session.BULK_TIMEOUT)


def _signature(values: Values) -> tuple[tuple[str, str], ...]:
    """The names of the parameters with their types in SQL; empty for None, which fits any type."""
    return tuple((name, _type(value)) for name, value in values.items())


def _type(value: Any) -> str:
    if isinstance(value, list):
        return f"{_TYPES[type(next((cell for cell in value if cell is not None), ''))]}[]"
    if value is None:
        return ""
    return "text" if isinstance(value, str) else _TYPES[type(value)]


@lru_cache(1024)
def _positional(sql: str, types: tuple[tuple[str, str], ...]) -> tuple[str, tuple[str, ...]]:
    """SQL with `$1`, `$2` … instead of `:name`, each with its type, and the names in that order."""
    of, names = dict(types), list[str]()

    def place(match: re.Match[str]) -> str:
        name = match[1]
        if name not in names:
            names.append(name)
        number = f"${names.index(name) + 1}"
        return f"{number}::{of[name]}" if of[name] else number

    return _PARAMETER.sub(place, _EXTRACT.sub(_extracted, _HINTS.sub("", sql))), tuple(names)


def _with_table(statement: Statement) -> tuple[str, Sequence[Values]]:
    if statement.table is None:
        return statement.sql, statement.rows
    place, more = _unnested(statement.table)
    return statement.sql.replace("{rows}", place), [{**row, **more} for row in statement.rows]


def _unnested(table: Table) -> tuple[str, Mapping[str, Any]]:
    """The table as a subquery over arrays, one of each column, and its parameters."""
    cells: list[str] = []
    arrays: list[str] = []
    values: dict[str, Any] = {}
    for name, column in table.items():
        packed = _joined(column)
        values[f"_{name}"] = list(column) if packed is None else packed
        is_bytes = packed is None and isinstance(next(filter(None, column), None), bytes)
        cells.append(f"convert_from({name}, 'UTF8') AS {name}" if is_bytes else name)
        arrays.append(
            f":_{name}" if packed is None else f"string_to_array(:_{name}, chr(31), chr(30))"
        )
    place = f"SELECT {', '.join(cells)} FROM unnest({', '.join(arrays)}) AS t({', '.join(table)})"
    return f"({place}) AS rows", values


def _joined(column: Sequence[str | bytes | None]) -> str | None:
    """The cells as one text, between separators that no cell has; None if some cell has one.

    The driver takes longer to encode an array of 100 texts than the server to split such a text."""
    nulls = column.count(None)
    cells: Sequence[Any] = column
    is_bytes = isinstance(next((cell for cell in column if cell is not None), None), bytes)
    separator, null = (SEPARATOR.encode(), NULL.encode()) if is_bytes else (SEPARATOR, NULL)
    if nulls:
        cells = [null if cell is None else cell for cell in column]
    joined: Any = separator.join(cells)
    if joined.count(separator) != max(0, len(column) - 1) or joined.count(null) != nulls:
        return None
    if len(column) == 1 and not joined:  # otherwise there would be no cell
        return None
    return joined.decode() if is_bytes else str(joined)
