"""The interface between the stores and a database."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

Values = Mapping[str, Any]

Table = Mapping[str, Sequence[str | bytes | None]]
"""Columns by name, each as long as the others: text, or text as bytes in UTF-8."""


class Statement(msgspec.Struct, frozen=True):
    """SQL with `:name` parameters, for one row of values or for many."""

    sql: str
    rows: Sequence[Values]
    #: Whether it may fail without undoing the write that it is part of.
    optional: bool = False
    #: Takes the place of `{rows}` in the SQL, under the name `rows`: many rows in one step of the
    #: database, which takes the interpreter's lock once instead of once for each row.
    table: Table | None = None


def bulk(sql: str, values: Values, table: Table, optional: bool = False) -> Statement:
    """A statement over a table, with the values that all its rows share. For an empty table it has
    no rows and is left out."""
    return Statement(sql, [values] if any(table.values()) else [], optional, table)


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC with a fixed length (the year 1 as 0001), so that it sorts as time does. A
    moment without a zone is taken as UTC."""
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{utc.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


class Refused(Exception):
    """A unique index or a foreign key refuses the write. Nothing was changed."""


class Unavailable(Exception):
    """The database cannot be reached, is locked by another program, or has no room. Nothing was
    changed, as far as is known. It may be back soon."""

    #: Whether it is in the log already.
    logged = False


class Engine(Protocol):
    """A database. Its calls raise Unavailable while it cannot be used."""

    async def ping(self) -> None:
        """Raises Unavailable if nothing could be written now."""

    async def read(self, sql: str, values: Values) -> Sequence[Values]: ...

    async def fetch(
        self, sql: str, columns: Sequence[str], values: Values, table: Table | None = None
    ) -> Sequence[Sequence[Any]]:
        """Columns of many rows, in one step of the database; for `table` see Statement."""

    async def write(self, guard: Statement, rest: Sequence[Statement]) -> bool:
        """Write everything or nothing, in one indivisible call. The guard returns rows; if it
        returns none, nothing is written and the result is False. Raises Refused."""

    async def wipe(self, thoroughly: bool) -> bool:
        """Remove deleted and overwritten data from the files; `thoroughly` also from unused parts
        of pages, if that takes no more than about a second. False if another program prevents it:
        try again later."""

    async def close(self) -> None: ...
