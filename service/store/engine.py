"""What the store needs of a database, whichever it is."""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

Values = Mapping[str, Any]

Table = Mapping[str, Sequence[str | bytes | None]]
"""Columns by name, each as long as the others: text, or text as bytes in UTF-8."""


class Statement(msgspec.Struct, frozen=True):
    """SQL with `:name` parameters, for one row of values or for many.

    Where the SQL says `{rows}`, there stands `table`, under the name `rows`: many rows in one step
    of the database, which needs the interpreter's lock once instead of once for each row.
    An `optional` one may fail without undoing the write it travels in."""

    sql: str
    rows: Sequence[Values]
    optional: bool = False
    table: Table | None = None


def bulk(sql: str, values: Values, table: Table, optional: bool = False) -> Statement:
    """A statement over a table, with the values that all its rows share; none for an empty one."""
    return Statement(sql, [values] if any(table.values()) else [], optional, table)


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, always as long, so that text sorts as time does: the year 1 as 0001. A
    moment without a zone is in UTC."""
    there = moment.astimezone(UTC) if moment.tzinfo else moment
    return f"{there.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


class Refused(Exception):
    """A unique index or a foreign key refuses the write. Nothing was changed."""


class Unavailable(Exception):
    """The database cannot be reached, is locked by another, or has no room. Nothing was changed, as
    far as can be told; it may be back soon."""

    logged = False
    """Whether the log has it already."""


class Engine(Protocol):
    """Its calls raise Unavailable where the database is away."""

    async def ping(self) -> None:
        """Raises Unavailable where nothing could be written now."""

    async def read(self, sql: str, values: Values) -> Sequence[Values]: ...

    async def fetch(
        self, sql: str, columns: Sequence[str], values: Values, table: Table | None = None
    ) -> Sequence[Sequence[Any]]:
        """These columns of many rows, as one step of the database (see Statement)."""

    async def write(self, guard: Statement, rest: Sequence[Statement]) -> bool:
        """All of it or nothing, as one indivisible call. The guard returns its rows; False, and
        nothing written, if there is none. Raises Refused."""

    async def wipe(self, thoroughly: bool) -> bool:
        """What was deleted or overwritten is in none of the files any more, as far as pages that
        belong to something else may be looked through in a second if `thoroughly`. False if
        another program holds it back: try again later."""

    async def close(self) -> None: ...
