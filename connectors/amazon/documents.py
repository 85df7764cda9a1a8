"""What a report is about, and the records that the rows of its document make."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from itertools import islice
from operator import eq

import msgspec

from connectors.amazon.client import FULFILLMENT
from connectors.amazon.scratch import Groups, Numbers
from connectors.amazon.tables import Malformed, Row, Table
from connectors.base import Connection, Record, SourceError, Unknowable, Window
from connectors.turns import FairTurns

ROWS_A_TURN = 50
"""What is read of a document before others on the event loop get their turn."""
MOST_ROWS = 10_000_000
"""Of one document: as many as a seller with 100,000 ledger events a day has in 100 days."""
MOST_IN_VAIN = 10_000
"""Rows in a row that cannot be read, or were all read before: the document repeats itself or is no
report. Equal events of the ledger come by the dozen."""
MOST_WAITING = 8_000_000
"""Characters of such rows that are held back until it is clear which of the two it is."""
MOST_TOGETHER = 8 * 1024 * 1024
"""Bytes of the rows of one order: some 10,000 rows."""


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
    JSON of all rows under one key: of one row, unless `joined`. A row that ends before one of the
    columns that are `filled` is cut off, where the document has them. With `all_finished`, every
    report that Amazon still lists is read: each tells of another day.
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
    filled: Sequence[str] = ()
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


class _Read(msgspec.Struct, frozen=True, gc=False):
    """A row, its number in the document from 1 on (blank lines are not counted), its key, and how
    often the same was read before."""

    number: int
    row: Row | Malformed
    key: str = ""
    again: int = 0

    @property
    def new(self) -> bool:
        """It tells something that no row before it told."""
        return not (isinstance(self.row, Malformed) or self.again)

    @property
    def size(self) -> int:
        row = self.row
        return len(row.line) if isinstance(row, Malformed) else sum(map(len, row.values()))


class Rows:
    """The rows of one document: the report for a part (its number too) that was made at a time."""

    def __init__(
        self, kind: Kind, part: Part, number: int, made_at: datetime, turns: FairTurns
    ) -> None:
        self._kind = kind
        self._part = part
        self._number = number
        self._made_at = made_at
        self._turns = turns
        self._numbers = Numbers()
        self._groups = Groups()
        self._table = Table(kind.wanted, kind.filled)

    def close(self) -> None:
        self._numbers.close()
        self._groups.close()

    async def records(
        self, text: AsyncIterator[list[str]]
    ) -> AsyncIterator[tuple[int, list[Record]]]:
        """Each record, or what cannot be read in its place, with how many rows are read with it:
        the same at every reading of the document. Raises Unknowable if there is no row, SourceError
        after the last record of a document that does not end."""
        count = 0
        found = self._new(text)
        async for some in self._joined(found) if self._kind.joined else _apart(found):
            for rows in some:
                count += len(rows)
                yield count, [self._record(rows)]
        if not count:
            # Where there is nothing to tell, Amazon ends a report as CANCELLED. A header without
            # rows is what it gives when something went wrong.
            raise Unknowable(
                f"Amazon's report {self._part.type} came without a single row. Whether there is "
                "nothing, or it could not be made, is unknown; a later sync asks again."
            )

    # Rows ---------------------------------------------------------------------------------------

    async def _new(self, text: AsyncIterator[list[str]]) -> AsyncIterator[Sequence[_Read]]:
        """The rows as they come. Repeated and unreadable ones wait for the next that is new: if too
        many come before it, the document has no end, and no repeated one is used."""
        waiting: list[_Read] = []
        count = size = 0
        async for some in self._rows(text):
            new = any(each.new for each in some)
            count = 0 if new else count + len(some)
            waiting += some
            size += sum(each.size for each in some)
            if count > MOST_IN_VAIN:
                bad = [each for each in waiting if isinstance(each.row, Malformed)]
                async for part in self._in_turns(bad):
                    yield part
                raise SourceError(_in_vain(self._part, waiting))
            if new or size > MOST_WAITING:
                async for part in self._in_turns(waiting):
                    yield part
                waiting, size = [], 0
        async for part in self._in_turns(waiting):
            yield part

    async def _in_turns(self, waiting: Sequence[_Read]) -> AsyncIterator[Sequence[_Read]]:
        for start in range(0, len(waiting), ROWS_A_TURN):
            if start:
                await self._turns.take()
            yield waiting[start : start + ROWS_A_TURN]

    async def _rows(self, text: AsyncIterator[list[str]]) -> AsyncIterator[Sequence[_Read]]:
        """A few at a time, so that others get their turn."""
        number = 0
        async for found in text:
            rows = self._table.rows(found)
            while some := list(islice(rows, ROWS_A_TURN)):
                await self._turns.take()
                yield [self._read(n, row) for n, row in enumerate(some, number + 1)]
                number += len(some)
                if number >= MOST_ROWS:
                    raise SourceError(
                        f"Amazon's report {self._part.type} does not end: it has more than "
                        f"{MOST_ROWS:,} rows. What follows is not read."
                    )

    def _read(self, number: int, row: Row | Malformed) -> _Read:
        if isinstance(row, Malformed):
            return _Read(number, row)
        key = self._kind.key(row, self._part, self._made_at)
        if not key.strip("/"):
            return _Read(number, Malformed("what it is about is empty", repr(row)))
        same = "\t".join(row.values()) if self._kind.joined else key
        return _Read(number, row, key, self._numbers.next(same))

    async def _joined(
        self, found: AsyncIterator[Sequence[_Read]]
    ) -> AsyncIterator[list[list[_Read]]]:
        """The rows of one key together, however far apart they are: kept on disk until the document
        ends, for any row may be of an order that was met before."""
        stop: SourceError | None = None
        try:
            async for some in found:
                for each in some:
                    self._keep(each)
        except SourceError as error:
            stop = error
        group: list[_Read] = []
        of = 0
        for kept in self._groups.read():
            await self._turns.take()
            whole: list[list[_Read]] = []
            for first, number, value in kept:
                if group and first != of:
                    whole.append(group)
                    group = []
                of = first
                group.append(self._kept(number, value))
            yield whole
        if group:
            yield [group]
        if stop:
            raise stop

    def _keep(self, read: _Read) -> None:
        """On disk: the cells alone, or why a row cannot be read and its line."""
        if isinstance(read.row, Malformed):
            bad = msgspec.json.encode((str(read.row), read.row.line))
            self._groups.alone(read.number, b"!" + bad)
            return
        cells = msgspec.json.encode(list(read.row.values()))
        if self._groups.add(read.key, read.number, cells) > MOST_TOGETHER:
            raise SourceError(
                f"Amazon's report {self._part.type} does not end: it has more than "
                f"{MOST_TOGETHER:,} bytes of one order. What follows is not read."
            )

    def _kept(self, number: int, value: bytes) -> _Read:
        if value.startswith(b"!"):
            return _Read(number, Malformed(*msgspec.json.decode(value[1:], type=tuple[str, str])))
        names = dict.fromkeys(self._table.columns)
        cells = msgspec.json.decode(value, type=list[str])
        row = dict(zip(names, cells, strict=False))
        return _Read(number, row, self._kind.key(row, self._part, self._made_at))

    # Records ------------------------------------------------------------------------------------

    def _record(self, found: Sequence[_Read]) -> Record:
        first = found[0]
        if isinstance(first.row, Malformed):
            return self._unreadable(first.number, first.row)
        key = f"{first.key}-{first.again}" if self._kind.numbered and first.again else first.key
        rows = [each.row for each in found if not isinstance(each.row, Malformed)]
        try:
            data = msgspec.json.encode(self._kind.record(rows, self._part, self._made_at))
            version = self._kind.version(rows[0])
            at = self._kind.at(rows[0], self._made_at)
        except ValueError as error:
            return Record(key, b"{}", error=f"Cannot be read: {error}")
        name = rows[0].get("productname") or rows[0].get("title") or ""
        return Record(key, data, name, version=version, at=at)

    def _unreadable(self, number: int, row: Malformed) -> Record:
        """Its id is made of what it says, the same at every reading; the text itself is not kept,
        for nobody knows what stands where in it."""
        of = f"{self._made_at}" if self._kind.all_finished else ""
        text = f"{self._number}{of}\t{row.line}"
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
        key = f"unreadable-{digest}"
        if again := self._numbers.next(key):
            key = f"{key}-{again}"
        return Record(key, b"{}", error=f"Row {number} cannot be read: {row}")


async def _apart(found: AsyncIterator[Sequence[_Read]]) -> AsyncIterator[list[list[_Read]]]:
    async for some in found:
        yield [[each] for each in some]


def _in_vain(part: Part, rows: Sequence[_Read]) -> str:
    bad = sum(isinstance(each.row, Malformed) for each in rows)
    what = "cannot be read" if bad > len(rows) / 2 else "are the same as rows before them"
    return (
        f"Amazon's report {part.type} was not read to its end: from row {rows[0].number:,} on, "
        f"more than {MOST_IN_VAIN:,} rows in a row {what}."
    )
