"""The interface between the stores and a database."""

from collections.abc import Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

Values = Mapping[str, Any]

Table = Mapping[str, Sequence[str | bytes | None]]
"""Columns of equal length, by name. Cells are text, or text as bytes in UTF-8."""


class Statement(msgspec.Struct, frozen=True):
    """SQL with `:name` parameters, for one row of values or for many."""

    sql: str
    rows: Sequence[Values]
    #: Whether the statement may fail without undoing the write that it is part of.
    optional: bool = False
    #: Replaces `{rows}` in the SQL, under the name `rows`. Many rows take one step of the
    #: database, which takes the interpreter's lock once instead of once for each row.
    table: Table | None = None
    #: For a guard: names of what it checks beyond its own row. If two writes share a name, the
    #: second begins after the first has ended. (SQLite runs one write at a time anyway.)
    alone: tuple[str, ...] = ()


def bulk(sql: str, values: Values, table: Table, optional: bool = False) -> Statement:
    """A statement over a table, with the values that all its rows share. For an empty table, the
    statement has no rows and is left out."""
    return Statement(sql, [values] if any(table.values()) else [], optional, table)


def stamp(moment: datetime) -> str:
    """The time as RFC 3339 in UTC with a fixed length (the year 1 as 0001), so that text sorts by
    time. A time without a zone is in UTC."""
    utc = moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    text: str = msgspec.to_builtins(utc)  # a fraction of the time that isoformat takes
    return text if "." in text else f"{text[:-1]}.000000Z"


class Refused(Exception):
    """A unique index or a foreign key refuses the write. Nothing was changed."""


class Unavailable(Exception):
    """The database is unreachable, locked by another program, or full. As far as known, nothing was
    changed. The failure may be temporary."""

    #: Whether the log already contains the failure.
    logged = False


class Source(Protocol):
    """A source of rows: a database, or a snapshot of it."""

    async def fetch(
        self, sql: str, columns: Sequence[str], values: Values, table: Table | None = None
    ) -> Sequence[Sequence[Any]]:
        """Columns of many rows, in one step of the database; for `table` see Statement."""


class Engine(Source, Protocol):
    """A database. Its calls raise Unavailable during an outage."""

    async def ping(self) -> None:
        """Raises Unavailable if the database cannot be written now."""

    async def read(self, sql: str, values: Values) -> Sequence[Values]: ...

    def snapshot(self) -> AbstractAsyncContextManager[Source]:
        """Open the database as it is now: writes that follow are not visible in it. It takes a
        connection of its own. The caller limits the number and the duration of snapshots, since the
        database keeps rows that are deleted or overwritten meanwhile."""

    async def write(self, guard: Statement, rest: Sequence[Statement]) -> bool:
        """Write everything or nothing, in one indivisible call. The guard returns rows; if it
        returns none, nothing is written and the result is False. Raises Refused."""

    async def wipe(self, thoroughly: bool) -> bool:
        """Remove deleted and overwritten data from the files. With `thoroughly`, also clears unused
        parts of pages if that takes about a second at most. Returns False if another program
        prevents it."""

    async def close(self) -> None: ...
