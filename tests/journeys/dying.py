"""The command line of a process that kills itself at a chosen point: DIE_AT=point:number.

Points: `before_commit`, `in_write` and `after_commit` of the n-th write, `download` (n-th chunk of
a document), `detect` (n-th record that claim rules read), `finalize` (before the last write),
`published` (n-th batch that Redis has accepted), `delivered` (n-th answer of a webhook's receiver).

CLOCK_AHEAD=seconds sets its clock ahead (or back, if negative)."""

import os
import sqlite3
from collections.abc import AsyncIterator, Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import connectors.http
import service.pipeline.detection as detection
import service.pipeline.held as holding
import service.store.findings
import service.store.postgres
import service.store.sqlite
from connectors.base import Record, SystemClock
from service.__main__ import main
from service.hooks.sending import SendOutcome, WebhookSender
from service.metrics import Metrics
from service.progress import Stage
from service.publishing import Relay
from service.store.engine import Statement
from tests.journeys.countdown import Countdown

POINTS = ("before_commit", "in_write", "after_commit", "download", "detect", "finalize")
OUTGOING = ("before_commit", "in_write", "after_commit", "published", "delivered")
"""The points at which something goes out."""


class _SqliteConnection:
    """A connection that counts the points of its transactions."""

    def __init__(self, connection: sqlite3.Connection, countdown: Countdown) -> None:
        self._connection = connection
        self._countdown = countdown

    def execute(self, sql: str, *values: Any) -> Any:
        if sql == "COMMIT":
            self._countdown.passes("before_commit")
        cursor = self._connection.execute(sql, *values)
        if sql == "COMMIT":
            self._countdown.passes("after_commit")
        return cursor

    def executemany(self, sql: str, rows: Any) -> Any:
        cursor = self._connection.executemany(sql, rows)
        self._countdown.passes("in_write")
        return cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


class _Transaction:
    """A transaction of PostgreSQL that counts the points of its end."""

    def __init__(self, transaction: Any, countdown: Countdown) -> None:
        self._transaction = transaction
        self._countdown = countdown

    async def commit(self) -> None:
        self._countdown.passes("before_commit")
        await self._transaction.commit()
        self._countdown.passes("after_commit")

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transaction, name)


class _PostgresConnection:
    """The same for PostgreSQL: its statements go to the transaction that it has begun."""

    def __init__(self, connection: Any, countdown: Countdown) -> None:
        self._connection = connection
        self._countdown = countdown
        self._begun = False

    def transaction(self) -> Any:
        transaction = self._connection.transaction()
        if self._begun:  # a savepoint
            return transaction
        self._begun = True
        return _Transaction(transaction, self._countdown)

    async def fetch(self, sql: str, *values: Any, **options: Any) -> Any:
        if self._begun:
            return await self._connection.fetch(sql, *values, **options)
        # The whole write in one statement: a transaction around it has the same points.
        transaction = self.transaction()
        await transaction.start()
        try:
            rows = await self._connection.fetch(sql, *values, **options)
        except BaseException:
            await transaction.rollback()
            raise
        await (transaction.commit() if rows else transaction.rollback())
        return rows

    async def executemany(self, sql: str, rows: Any, **options: Any) -> Any:
        result = await self._connection.executemany(sql, rows, **options)
        self._countdown.passes("in_write")
        return result

    async def execute(self, sql: str, *values: Any, **options: Any) -> Any:
        result = await self._connection.execute(sql, *values, **options)
        self._countdown.passes("in_write")
        return result

    def __getattr__(self, name: str) -> Any:
        return getattr(self._connection, name)


def plant(countdown: Countdown) -> None:
    """Make the service of this process pass the points."""
    _plant_in_writes(countdown)
    _plant_in_what_goes_out(countdown)
    chunks = connectors.http._chunks
    read, enter = detection.StoredRecords.read, holding.HeldSync.enter

    async def dying_chunks(response: Any) -> AsyncIterator[bytes]:
        async for chunk in chunks(response):
            countdown.passes("download")
            yield chunk

    def dying_read(records: Any, dataset: str) -> Iterable[Record]:
        for record in read(records, dataset):
            countdown.passes("detect")
            yield record

    async def dying_enter(held: Any, stage: Stage, *args: Any) -> None:
        await enter(held, stage, *args)
        if stage is Stage.FINALIZING:
            countdown.passes("finalize")

    service.store.findings.ROWS_AT_ONCE = 10  # so that kills hit the time between two parts
    connectors.http._chunks = dying_chunks
    detection.StoredRecords.read = dying_read  # type: ignore[method-assign,assignment]
    holding.HeldSync.enter = dying_enter  # type: ignore[method-assign,assignment]


def _plant_in_what_goes_out(countdown: Countdown) -> None:
    add, send = Relay._add, WebhookSender.send

    async def dying_add(relay: Any, *args: Any) -> bool:
        accepted = await add(relay, *args)
        countdown.passes("published")
        return accepted

    async def dying_send(sender: Any, *args: Any) -> SendOutcome:
        outcome = await send(sender, *args)
        countdown.passes("delivered")
        return outcome

    Relay._add = dying_add  # type: ignore[method-assign,assignment]
    WebhookSender.send = dying_send  # type: ignore[method-assign,assignment]


def _plant_in_writes(countdown: Countdown) -> None:
    in_file, on_server = service.store.sqlite._write, service.store.postgres._write

    def dying_write(
        connection: sqlite3.Connection, guard: Statement, rest: Sequence[Statement]
    ) -> bool:
        wrapped: Any = _SqliteConnection(connection, countdown)
        return in_file(wrapped, guard, rest)

    async def dying_write_on_server(
        connection: Any, guard: Statement, rest: Sequence[Statement], metrics: Metrics
    ) -> bool:
        wrapped: Any = _PostgresConnection(connection, countdown)
        return await on_server(wrapped, guard, rest, metrics)

    service.store.sqlite._write = dying_write
    service.store.postgres._write = dying_write_on_server


def set_ahead(span: timedelta) -> None:
    """Set the clock of this process ahead."""
    now = SystemClock.now

    def later(clock: SystemClock) -> datetime:
        return now(clock) + span

    SystemClock.now = later  # type: ignore[method-assign,assignment]


if __name__ == "__main__":
    set_ahead(timedelta(seconds=float(os.environ.get("CLOCK_AHEAD", "0"))))
    if place := os.environ.get("DIE_AT"):
        plant(Countdown(place))
    main()
