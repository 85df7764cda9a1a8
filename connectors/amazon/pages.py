"""An operation read page by page: its parts, its bookmark, what to do when a token expires."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated

import msgspec

from connectors.amazon.client import Client, Operation, Refused
from connectors.base import Connection, Cursor, Page, Record, Retryable, Waiting, Window

MOST_RESTARTS = 5
"""How often a part is begun again, because the token of its next page died, without getting any
further than before."""
MOST_SHARE = 0.99
"""What lies behind a page that is not the last."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]


class Bookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: which part of the dataset (a marketplace, a span of time), the token of its next
    page, and what the estimate is computed from: the pages so far, the share of the dataset that
    lies behind, and the span of time that the part's records cover."""

    part: Annotated[int, msgspec.Meta(ge=0)] = 0
    token: str | None = None
    pages: int = 0
    share: float = 0.0
    oldest: Moment | None = None
    newest: Moment | None = None


class Slice(msgspec.Struct, frozen=True):
    """What one answer held: the raw records, the token of the next page."""

    records: Sequence[msgspec.Raw]
    token: str | None


class Source(msgspec.Struct, frozen=True):
    """One dataset's way of being read. Each part has its own parameters and its own tokens."""

    operation: Operation
    token_parameter: str
    parts: Callable[[Connection, Window], Sequence[Mapping[str, str]]]
    slice: Callable[[bytes], Slice]
    record: Callable[[msgspec.Raw, Mapping[str, str]], tuple[Record, datetime | None]]


async def read(
    client: Client,
    source: Source,
    connection: Connection,
    window: Window,
    cursor: Cursor | None,
    waiting: Waiting,
) -> AsyncIterator[Page]:
    """Every page from the cursor on. A token that expired means that its part is read again from
    the start (the same records come again); a token that repeats ends its part."""
    reading = _Reading(client, source, connection, window, cursor, waiting)
    async for page in reading.pages():
        yield page


class _Reading:
    """One reading: `used` are the tokens of this part since it was last begun."""

    def __init__(
        self,
        client: Client,
        source: Source,
        connection: Connection,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> None:
        self._client = client
        self._source = source
        self._connection = connection
        self._window = window
        self._waiting = waiting
        self._parts = source.parts(connection, window)
        self._mark = _opened(cursor, len(self._parts))
        self._used: set[str] = set()
        self._furthest = self._restarts = 0

    async def pages(self) -> AsyncIterator[Page]:
        if not self._parts:
            yield Page([], share=1.0)
        while self._mark.part < len(self._parts):
            part = self._parts[self._mark.part]
            found = _decode(self._source, await self._body())
            await self._client.turns.mine()
            records, times = _records(self._source, found, part)
            self._turn(found.token, times)
            yield self._page(records)

    async def _body(self) -> bytes:
        """The answer to the next call."""
        while True:
            params = dict(self._parts[self._mark.part])
            if self._mark.token:
                params[self._source.token_parameter] = self._mark.token
            try:
                return await self._client.call(
                    self._connection, self._source.operation, params, self._waiting
                )
            except Refused:
                if not self._mark.token:
                    raise
                self._begin_again()

    def _begin_again(self) -> None:
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            raise Retryable(
                f"{self._source.operation.name}: the next page's token expired {self._restarts} "
                "times before it could be used. Try again later."
            ) from None
        self._mark = msgspec.structs.replace(self._mark, token=None)
        self._used.clear()

    def _turn(self, token: str | None, times: Sequence[datetime]) -> None:
        """The bookmark goes behind the page that was read."""
        mark, parts = self._mark, len(self._parts)
        if not token or token in self._used or token == mark.token:
            self._mark = Bookmark(mark.part + 1, None, mark.pages + 1, (mark.part + 1) / parts)
            self._used.clear()
            self._furthest = self._restarts = 0
            return
        self._mark = _turned(mark, token, times, self._window, parts)
        self._used.add(token)
        if len(self._used) > self._furthest:
            self._furthest, self._restarts = len(self._used), 0

    def _page(self, records: Sequence[Record]) -> Page:
        mark, operation = self._mark, self._source.operation
        more = mark.part < len(self._parts)
        left = mark.pages * (1 - mark.share) / mark.share if mark.share else None
        bucket = self._client.bucket(self._connection, operation)
        return Page(
            records=records,
            cursor=Cursor(msgspec.json.encode(mark).decode()) if more else None,
            share=mark.share,
            seconds_left=bucket.seconds_for(max(left, 1.0)) if more and left is not None else None,
            learned=self._client.learned(self._connection, [operation]),
        )


def stretch(window: Window, part: int, parts: int) -> Window:
    """The span of time of a part. (Parts that are marketplaces carry no times.)"""
    whole = window.until - window.since
    return Window(window.since + whole * part / parts, window.since + whole * (part + 1) / parts)


def unreadable(raw: msgspec.Raw, error: Exception) -> Record:
    """A record that costs itself only. Its id is made from its bytes, the same at every reading."""
    data = bytes(raw)
    digest = hashlib.blake2b(data, digest_size=8).hexdigest()
    return Record(f"unreadable-{digest}", data, error=f"Cannot be read: {error}")


def stamp(moment: datetime) -> str:
    """UTC with a Z: an offset's plus sign would arrive as a space."""
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _opened(cursor: Cursor | None, parts: int) -> Bookmark:
    """Where the cursor says. What another version wrote and this one cannot read means: from the
    beginning."""
    try:
        mark = msgspec.json.decode(cursor, type=Bookmark) if cursor else Bookmark()
    except ValueError:
        return Bookmark()
    return mark if mark.part < parts else Bookmark()


def _turned(
    mark: Bookmark, token: str, times: Sequence[datetime], window: Window, parts: int
) -> Bookmark:
    """The bookmark after a page that is not the last of its part.

    The share is of time, where records carry one: what they cover, of that and what lies ahead.
    Which way they are ordered shows in which end moved."""
    turned = msgspec.structs.replace(mark, token=token, pages=mark.pages + 1)
    span = stretch(window, mark.part, parts)
    times = [each for each in times if span.since <= each <= span.until]
    if not times:
        return turned
    oldest = min(mark.oldest or times[0], *times)
    newest = max(mark.newest or times[0], *times)
    earlier = (mark.oldest or times[0]) - oldest
    later = newest - (mark.newest or times[0])
    ahead = span.until - newest if later >= earlier else oldest - span.since
    whole = newest - oldest + ahead
    within = (newest - oldest) / whole if whole and (earlier or later) else 0.0
    share = max(mark.share, min((mark.part + within) / parts, MOST_SHARE))
    return msgspec.structs.replace(turned, share=share, oldest=oldest, newest=newest)


def _decode(source: Source, body: bytes) -> Slice:
    try:
        return source.slice(body)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, nested without end
        raise Retryable(
            f"{source.operation.name}: the answer is not what the API promises ({error})."
        ) from error


def _records(
    source: Source, found: Slice, params: Mapping[str, str]
) -> tuple[list[Record], list[datetime]]:
    records, times = [], []
    for raw in found.records:
        try:
            bytes(raw).decode()  # the decoders look only at what they name
            record, at = source.record(raw, params)
        except (ValueError, RecursionError) as error:
            record, at = unreadable(raw, error), None
        records.append(record)
        if at:
            times.append(at if at.tzinfo else at.replace(tzinfo=UTC))
    return records, times
