"""What a report is about, and the records that the rows of its document make."""

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from itertools import islice
from operator import eq

import msgspec

from connectors.amazon.client import FULFILLMENT
from connectors.amazon.tables import Malformed, Row, Table
from connectors.base import Connection, Record, Unknowable, Window
from connectors.turns import Turns

ROWS_A_TURN = 50
"""What is read of a document before others on the event loop get their turn."""


class Part(msgspec.Struct, frozen=True):
    """One report to read: its type, its span, its marketplaces."""

    type: str
    marketplaces: tuple[str, ...]
    since: datetime | None = None
    until: datetime | None = None


class Kind(msgspec.Struct, frozen=True):
    """What is particular to one dataset of reports.

    `wanted` are the columns without which a document is not this report; `fresh` is how old a
    finished report may be to be used again; `key` makes the id of a record. With `numbered`, rows
    that are equal in their key are separate events, told apart by their number. `record` makes the
    JSON of the rows that follow one another under one key: of one row, unless `joined`. With
    `all_finished`, every report that Amazon still lists is read: each tells of another day.
    `covers` says whether a report for the first marketplaces tells all about the second. `slack`
    is how much earlier than asked for a report may end to be used again: by default as much as it
    may be old, so that none tells of less than one that was used before. With `whole_days` it is
    asked for all of the days that the window touches. `at` is the moment that decides whether a
    row is in a window. `role` is what an application needs for reports of this type.

    Where each part is a marketplace, `interval` is how long Amazon makes no other report of the
    type for any of them, and `stale` how old one may be that is used rather than to wait so long.
    """

    parts: Callable[[Connection, Window], Sequence[Part]]
    wanted: Sequence[str]
    key: Callable[[Row, Part, datetime], str]
    fresh: timedelta
    record: Callable[[Sequence[Row], Part, datetime], Mapping[str, object]]
    numbered: bool = False
    joined: bool = False
    all_finished: bool = False
    version: Callable[[Row], str] = lambda row: ""
    covers: Callable[[AbstractSet[str], AbstractSet[str]], bool] = eq
    slack: timedelta | None = None
    whole_days: bool = False
    at: Callable[[Row, datetime], datetime | None] = lambda row, made_at: None
    role: str = FULFILLMENT
    interval: timedelta | None = None
    stale: timedelta = timedelta(0)


def whole_days(window: Window, newest: datetime) -> Window:
    """All days that the window touches, in whichever time zone Amazon counts them: a report that
    begins within a day would number that day's equal rows anew. Up to `newest` at most."""
    since = window.since.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    until = window.until.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    return Window(since, max(min(until, newest), window.until))


class Rows:
    """The rows of one document: the report for a part (its number too) that was made at a time."""

    def __init__(
        self, kind: Kind, part: Part, number: int, made_at: datetime, turns: Turns
    ) -> None:
        self._kind = kind
        self._part = part
        self._number = number
        self._made_at = made_at
        self._turns = turns
        self._numbers = _Numbers()

    def close(self) -> None:
        self._numbers.close()

    async def records(
        self, text: AsyncIterator[list[str]]
    ) -> AsyncIterator[tuple[int, list[Record]]]:
        """Each record, and what cannot be read among its rows, with the number of the last row.
        Raises Unknowable if there is no row."""
        together: list[Row] = []
        spoilt: list[Record] = []
        key, number = "", 0
        async for rows in self._rows(text):
            for row in rows:
                number += 1
                of = "" if isinstance(row, Malformed) else self._key(row)
                if isinstance(row, Malformed) or not of.strip("/"):
                    spoilt.append(self._unreadable(number, row))
                    if not (together and self._kind.joined):
                        yield number, spoilt
                        spoilt = []
                    continue
                if together and of != key:
                    yield number - 1, [self._record(key, together), *spoilt]
                    together, spoilt = [], []
                key = of
                together.append(row)
                if not self._kind.joined:
                    yield number, [self._record(key, together)]
                    together = []
        if together:
            yield number, [self._record(key, together), *spoilt]
        if not number:
            # Where there is nothing to tell, Amazon ends a report as CANCELLED. A header without
            # rows is what it gives when something went wrong.
            raise Unknowable(
                f"Amazon's report {self._part.type} came without a single row. Whether there is "
                "nothing, or it could not be made, is unknown; a later sync asks again."
            )

    async def _rows(self, text: AsyncIterator[list[str]]) -> AsyncIterator[list[Row | Malformed]]:
        """A few at a time, so that others get their turn."""
        table = Table(self._kind.wanted)
        async for found in text:
            rows = table.rows(found)
            while some := list(islice(rows, ROWS_A_TURN)):
                await self._turns.mine()
                yield some

    def _key(self, row: Row) -> str:
        return self._kind.key(row, self._part, self._made_at)

    def _record(self, key: str, rows: Sequence[Row]) -> Record:
        if self._kind.numbered and (number := self._numbers.next(key)):
            key = f"{key}-{number}"
        try:
            data = msgspec.json.encode(self._kind.record(rows, self._part, self._made_at))
            version = self._kind.version(rows[0])
            at = self._kind.at(rows[0], self._made_at)
        except ValueError as error:
            return Record(key, b"{}", error=f"Cannot be read: {error}")
        name = rows[0].get("productname") or rows[0].get("title") or ""
        return Record(key, data, name, version=version, at=at)

    def _unreadable(self, number: int, row: Row | Malformed) -> Record:
        """Its id is made of what it says, the same at every reading; the text itself is not kept,
        for nobody knows what stands where in it."""
        why = str(row) if isinstance(row, Malformed) else "what it is about is empty"
        text = row.line if isinstance(row, Malformed) else repr(row)
        of = f"{self._made_at}" if self._kind.all_finished else ""
        digest = hashlib.blake2b(f"{self._number}{of}\t{text}".encode(), digest_size=8).hexdigest()
        key = f"unreadable-{digest}"
        if again := self._numbers.next(key):
            key = f"{key}-{again}"
        return Record(key, b"{}", error=f"Row {number} cannot be read: {why}")


class _Numbers:
    """How often each key was met in a document: on disk, for a document may have millions."""

    def __init__(self) -> None:
        self._database = sqlite3.connect("")  # a file that is gone when it is closed
        self._database.execute("PRAGMA journal_mode = OFF")
        self._database.execute("CREATE TABLE met (key BLOB PRIMARY KEY, n INTEGER) WITHOUT ROWID")

    def next(self, key: str) -> int:
        digest = hashlib.blake2b(key.encode(), digest_size=12).digest()
        sql = """INSERT INTO met VALUES (?, 0)
                     ON CONFLICT (key) DO UPDATE SET n = n + 1 RETURNING n"""
        number: int = self._database.execute(sql, (digest,)).fetchone()[0]
        return number

    def close(self) -> None:
        self._database.close()
