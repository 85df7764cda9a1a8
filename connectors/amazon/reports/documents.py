"""Reads the records of a report's document, as defined by the kind of report."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import datetime, timedelta
from itertools import islice
from operator import eq

import msgspec

from connectors.amazon.client import FULFILLMENT
from connectors.amazon.reports.scratch import Groups, Numbers
from connectors.amazon.reports.tables import BadRow, Row, Table
from connectors.base import Connection, Record, SourceError, Unknowable, Window
from connectors.turns import FairTurns

ROWS_A_TURN = 50
"""Rows that are read before other tasks of the event loop run."""
MAX_ROWS = 10_000_000
"""The most rows of one document: a seller with 100,000 ledger events a day has as many in 100
days."""
MAX_IN_VAIN = 10_000
"""Unreadable or repeated rows in a row, after which the document is taken to repeat itself, or not
to be a report. Equal ledger events come by the dozen."""
MAX_WAITING = 8_000_000
"""The most characters of such rows that are held back until that is decided."""
MAX_TOGETHER = 8 * 1024 * 1024
"""The most bytes of the rows of one order: some 10,000 rows."""


class Part(msgspec.Struct, frozen=True):
    """One report to read: its type, its span, its marketplaces."""

    type: str
    marketplaces: tuple[str, ...]
    since: datetime | None = None
    until: datetime | None = None


class ReportKind(msgspec.Struct, frozen=True):
    """How one dataset of reports is requested and read."""

    #: The reports that make up a window.
    parts: Callable[[Connection, Window], Sequence[Part]]
    #: Columns without which a document is another report.
    wanted: Sequence[str]
    #: The id of a record.
    key: Callable[[Row, Part, datetime], str]
    #: Age up to which a finished report is used again.
    fresh: timedelta
    #: The content of a record, made of all its rows: one, unless `joined`.
    record: Callable[[Sequence[Row], Part, datetime], Mapping[str, object]]
    #: Rows with equal keys are separate records, distinguished by a number.
    numbered: bool = False
    #: Rows with equal keys are one record.
    joined: bool = False
    #: Columns that are never empty: a row that ends before one of them is cut off.
    filled: Sequence[str] = ()
    #: Every finished report in Amazon's list is read, since each one is of another day.
    all_finished: bool = False
    #: The version of a record.
    version: Callable[[Row], str] = lambda row: ""
    #: Whether a report for the first marketplaces contains everything about the second.
    covers: Callable[[AbstractSet[str], AbstractSet[str]], bool] = eq
    #: How much earlier than the part a reused report may end. By default `fresh`, so that no report
    #: contains less than one that was read before.
    slack: timedelta | None = None
    #: The report is requested for all days that the window touches.
    whole_days: bool = False
    #: The time that decides whether a row belongs in a window.
    at: Callable[[Row, datetime], datetime | None] = lambda row, made_at: None
    #: The role that the report type requires.
    role: str = FULFILLMENT
    #: The minimum time between two reports of the type; earlier requests end as CANCELLED. None if
    #: there is none: then a report without rows is inconclusive.
    interval: timedelta | None = None
    #: Each part is a marketplace.
    per_marketplace: bool = False
    #: Age up to which a report is used instead of waiting for the interval.
    stale: timedelta = timedelta(0)


def whole_days(window: Window, newest: datetime) -> Window:
    """All days that a window touches in any time zone, up to `newest`. A report that started within
    a day would number the equal rows of that day differently."""
    since = window.since.replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=1)
    until = window.until.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=2)
    return Window(since, max(min(until, newest), window.until))


class NoRows(Unknowable):
    """A document has a header and no rows."""


class _ReadRow(msgspec.Struct, frozen=True, gc=False):
    """One row of a document."""

    #: Its number, from 1 on; blank lines are not counted.
    number: int
    row: Row | BadRow
    key: str = ""
    #: How often the same row was read before.
    again: int = 0

    @property
    def new(self) -> bool:
        """Whether it is readable and not a repetition."""
        return not (isinstance(self.row, BadRow) or self.again)

    @property
    def size(self) -> int:
        row = self.row
        return len(row.line) if isinstance(row, BadRow) else sum(map(len, row.values()))


class DocumentRows:
    """Reads the rows of one document: the report for `part` that was made at `made_at`."""

    def __init__(
        self, kind: ReportKind, part: Part, number: int, made_at: datetime, turns: FairTurns
    ) -> None:
        self._kind = kind
        self._part = part
        self._number = number  # of the part
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
        """Yield each record, with the number of rows read so far: the same at every read of the
        document. Unreadable rows become failed records.

        Raises NoRows if the document is a header alone, Unknowable if it is empty; SourceError,
        after its last record, if the document is too long."""
        count = 0
        rows = self._new_rows(text)
        async for groups in self._joined(rows) if self._kind.joined else _single(rows):
            for group in groups:
                count += len(group)
                yield count, [self._record(group)]
        if not count:
            raise (NoRows if self._table.columns else Unknowable)(
                f"Amazon's report {self._part.type} arrived without any rows. It may be empty, or "
                "Amazon failed to create it. Its contents are unknown; a later sync tries again."
            )

    # Rows ---------------------------------------------------------------------------------------

    async def _new_rows(self, text: AsyncIterator[list[str]]) -> AsyncIterator[Sequence[_ReadRow]]:
        """The rows in order. Repeated and unreadable ones are held back until the next new row: if
        too many come in a row, the document has no end, and the repeated ones are dropped."""
        waiting: list[_ReadRow] = []
        count = size = 0
        async for rows in self._rows(text):
            new = any(row.new for row in rows)
            count = 0 if new else count + len(rows)
            waiting += rows
            size += sum(row.size for row in rows)
            if count > MAX_IN_VAIN:
                bad = [row for row in waiting if isinstance(row.row, BadRow)]
                async for some in self._in_turns(bad):
                    yield some
                raise SourceError(_useless_rows(self._part, waiting))
            if new or size > MAX_WAITING:
                async for some in self._in_turns(waiting):
                    yield some
                waiting, size = [], 0
        async for some in self._in_turns(waiting):
            yield some

    async def _in_turns(self, waiting: Sequence[_ReadRow]) -> AsyncIterator[Sequence[_ReadRow]]:
        for start in range(0, len(waiting), ROWS_A_TURN):
            if start:
                await self._turns.take()
            yield waiting[start : start + ROWS_A_TURN]

    async def _rows(self, text: AsyncIterator[list[str]]) -> AsyncIterator[Sequence[_ReadRow]]:
        """Yield a few rows at a time, so that other tasks can run."""
        number = 0
        async for chunk in text:
            rows = self._table.rows(chunk)
            while some := list(islice(rows, ROWS_A_TURN)):
                await self._turns.take()
                yield [self._read(n, row) for n, row in enumerate(some, number + 1)]
                number += len(some)
                if number >= MAX_ROWS:
                    raise SourceError(
                        f"Amazon's report {self._part.type} is too long: more than "
                        f"{MAX_ROWS:,} rows. The rest is not read."
                    )

    def _read(self, number: int, row: Row | BadRow) -> _ReadRow:
        if isinstance(row, BadRow):
            return _ReadRow(number, row)
        key = self._kind.key(row, self._part, self._made_at)
        if not key.strip("/"):
            return _ReadRow(number, BadRow("its identifying columns are empty", repr(row)))
        same = "\t".join(row.values()) if self._kind.joined else key
        return _ReadRow(number, row, key, self._numbers.next(same))

    # Records of several rows ----------------------------------------------------------------------

    async def _joined(
        self, rows: AsyncIterator[Sequence[_ReadRow]]
    ) -> AsyncIterator[list[list[_ReadRow]]]:
        """Yield the rows of each key together, whatever their order. They are stored on disk until
        the document ends, since any row may belong to an earlier order."""
        stop: SourceError | None = None
        try:
            async for some in rows:
                for row in some:
                    self._store(row)
        except SourceError as error:
            stop = error
        group: list[_ReadRow] = []
        current = 0
        for stored in self._groups.read():
            await self._turns.take()
            whole: list[list[_ReadRow]] = []
            for first, number, value in stored:
                if group and first != current:
                    whole.append(group)
                    group = []
                current = first
                group.append(self._stored(number, value))
            yield whole
        if group:
            yield [group]
        if stop:
            raise stop

    def _store(self, read: _ReadRow) -> None:
        """Store the cells of a row; for an unreadable one, its line and the reason."""
        if isinstance(read.row, BadRow):
            bad = msgspec.json.encode((str(read.row), read.row.line))
            self._groups.alone(read.number, b"!" + bad)
            return
        cells = msgspec.json.encode(list(read.row.values()))
        if self._groups.add(read.key, read.number, cells) > MAX_TOGETHER:
            raise SourceError(
                f"Amazon's report {self._part.type} is too long: more than "
                f"{MAX_TOGETHER:,} bytes of one order. The rest is not read."
            )

    def _stored(self, number: int, value: bytes) -> _ReadRow:
        if value.startswith(b"!"):
            return _ReadRow(number, BadRow(*msgspec.json.decode(value[1:], type=tuple[str, str])))
        names = dict.fromkeys(self._table.columns)
        cells = msgspec.json.decode(value, type=list[str])
        row = dict(zip(names, cells, strict=False))
        return _ReadRow(number, row, self._kind.key(row, self._part, self._made_at))

    # Records ------------------------------------------------------------------------------------

    def _record(self, group: Sequence[_ReadRow]) -> Record:
        first = group[0]
        if isinstance(first.row, BadRow):
            return self._unreadable(first.number, first.row)
        key = f"{first.key}-{first.again}" if self._kind.numbered and first.again else first.key
        rows = [read.row for read in group if not isinstance(read.row, BadRow)]
        try:
            data = msgspec.json.encode(self._kind.record(rows, self._part, self._made_at))
            version = self._kind.version(rows[0])
            at = self._kind.at(rows[0], self._made_at)
        except ValueError as error:
            return Record(key, b"{}", error=f"Cannot be read: {error}")
        name = rows[0].get("productname") or rows[0].get("title") or ""
        return Record(key, data, name, version=version, at=at)

    def _unreadable(self, number: int, row: BadRow) -> Record:
        """The failed record of an unreadable row. Its id is a hash of the line, the same at every
        read. The line itself is not stored: it may contain personal data in any column."""
        made_at = f"{self._made_at}" if self._kind.all_finished else ""
        text = f"{self._number}{made_at}\t{row.line}"
        digest = hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=8).hexdigest()
        key = f"unreadable-{digest}"
        if again := self._numbers.next(key):
            key = f"{key}-{again}"
        return Record(key, b"{}", error=f"Row {number} cannot be read: {row}")


async def _single(rows: AsyncIterator[Sequence[_ReadRow]]) -> AsyncIterator[list[list[_ReadRow]]]:
    async for some in rows:
        yield [[row] for row in some]


def _useless_rows(part: Part, rows: Sequence[_ReadRow]) -> str:
    bad = sum(isinstance(row.row, BadRow) for row in rows)
    what = "cannot be read" if bad > len(rows) / 2 else "are the same as rows before them"
    return (
        f"Amazon's report {part.type} was not read to its end: from row {rows[0].number:,} on, "
        f"more than {MAX_IN_VAIN:,} rows in a row {what}."
    )
