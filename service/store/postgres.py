"""PostgreSQL: a pool of connections, each of which runs a whole write in one statement or, where
that is not possible, in one transaction.

`databases` opens the pool and lends the connections. Statements bypass it, as on SQLite."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from datetime import UTC, datetime
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
from service.store.postgres_sql import as_one, positional, unnested, with_table

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
    text, arguments = positional(sql, values)
    return cast(list[Any], await connection.fetch(text, *arguments))


async def _fetch_columns(
    connection: asyncpg.Connection,
    sql: str,
    columns: Sequence[str],
    values: Values,
    table: Table | None,
) -> Sequence[Sequence[Any]]:
    if table is not None:
        place, more = unnested(table)
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
    try:
        if (one := as_one(guard, rest)) is None:
            return await _write_in_transaction(connection, guard, rest, metrics)
        metrics.lock_wait.observe(0.0)
        text, arguments = one
        return bool(await connection.fetch(text, *arguments))
    except TimeoutError:
        _terminate(connection)
        raise
    except asyncpg.IntegrityConstraintViolationError as error:
        raise Refused(str(error)) from error


async def _write_in_transaction(
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
        sql, rows = with_table(guard)
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
    except TimeoutError:
        raise  # the connection no longer responds
    except BaseException:
        await _undo(connection, transaction)
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
    sql, rows = with_table(statement)
    alike: dict[str, list[Sequence[Any]]] = {}
    for row in rows:
        text, arguments = positional(sql, row)
        alike.setdefault(text, []).append(arguments)
    for text, arguments_of_rows in alike.items():
        if len(arguments_of_rows) == 1:
            await connection.execute(text, *arguments_of_rows[0], timeout=session.BULK_TIMEOUT)
        else:
            await connection.executemany(text, arguments_of_rows, timeout=session.BULK_TIMEOUT)
