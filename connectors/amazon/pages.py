"""An operation read page by page: its parts, its bookmark, what to do when a token expires or an
answer is too large."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from connectors.amazon.answers import tolerant
from connectors.amazon.client import Client, Expired, Operation, Refused
from connectors.base import Connection, Cursor, Page, Record, Retryable, Waiting, Window

MOST_RESTARTS = 5
"""How often a part is begun again, because the token of its next page died, without getting any
further than before."""
SETTLED = timedelta(minutes=2, seconds=5)
"""Amazon wants every "before" to be over two minutes ago; a little more forgives a clock."""
LARGEST_PAGE = 100
SHORTEST = timedelta(minutes=1)
"""A stretch of time is not halved any further, whatever is refused in it."""
HAD = "had:{}"
"""What is learned of a connection for which an operation has brought a record."""
MOST_SHARE = 0.99
"""What lies behind a page that is not the last."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**8)]


class Bookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: which part of the dataset (a marketplace, a span of time), the token of its next
    page, and what the estimate is computed from: the pages so far, the share of the dataset that
    lies behind, and the span of time that the part's records cover.

    Where an answer was too large: how many records are asked for at once (`size`), or how many
    `seconds` of the part, from `since` on."""

    part: Annotated[int, msgspec.Meta(ge=0)] = 0
    token: str | None = None
    pages: int = 0
    share: float = 0.0
    oldest: Moment | None = None
    newest: Moment | None = None
    size: Count | None = None
    since: Moment | None = None
    seconds: Count | None = None


class Slice(msgspec.Struct, frozen=True):
    """What one answer held: the raw records, the token of the next page."""

    records: Sequence[msgspec.Raw]
    token: str | None


class Source(msgspec.Struct, frozen=True):
    """One dataset's way of being read. Each part has its own parameters and its own tokens.

    `nothing` says what a refusal (400) of a part's first page means, where it means that the part
    is empty; "" where it does not, None where it never does.

    What makes an answer smaller: the parameter that says how many records it may hold, or the two
    between whose moments they lie."""

    operation: Operation
    token_parameter: str
    parts: Callable[[Connection, Window], Sequence[Mapping[str, str]]]
    slice: Callable[[bytes], Slice]
    record: Callable[[msgspec.Raw, Mapping[str, str]], Record]
    size_parameter: str = ""
    span_parameters: tuple[str, str] | None = None
    nothing: Callable[[Connection], str] | None = None


async def read(
    client: Client,
    source: Source,
    connection: Connection,
    window: Window,
    cursor: Cursor | None,
    waiting: Waiting,
) -> AsyncIterator[Page]:
    """Every page from the cursor on. A token that expired means that its part is read again from
    the start (the same records come again); a token that repeats ends its part. What is refused for
    another reason may be too large (10 MB are the most): half as much is asked for, twice as much
    again once that went well."""
    reading = _Reading(client, source, connection, window, cursor, waiting)
    async for page in reading.pages():
        yield page


class _Reading:
    """One reading: `used` are the tokens of this part, or of its stretch, since it was begun."""

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
        self._warning = ""

    async def pages(self) -> AsyncIterator[Page]:
        if not self._parts:
            yield Page([], share=1.0)
        while self._mark.part < len(self._parts):
            part = self._parts[self._mark.part]
            body = await self._body()
            found = Slice([], None) if body is None else _decode(self._source, body)
            await self._client.turns.mine()
            records = [_record(self._source, raw, part) for raw in found.records]
            self._turn(found.token, [each.at for each in records if each.at])
            yield self._page(records)

    async def _body(self) -> bytes | None:
        """The answer to the next call; None where the part is empty."""
        while True:
            try:
                return await self._client.call(
                    self._connection, self._source.operation, self._params(), self._waiting
                )
            except Refused as refused:
                smaller = None if isinstance(refused, Expired) else self._smaller()
                if smaller:
                    self._mark = smaller
                elif self._mark.token:
                    self._begin_again()
                elif self._source.nothing and (why := self._source.nothing(self._connection)):
                    self._warning = why
                    return None
                else:
                    raise

    def _params(self) -> Mapping[str, str]:
        source, mark = self._source, self._mark
        params = dict(self._parts[mark.part])
        if mark.size and source.size_parameter:
            params[source.size_parameter] = str(mark.size)
        if mark.seconds and source.span_parameters:
            span = self._span()
            params |= zip(source.span_parameters, map(stamp, (span.since, span.until)), strict=True)
        if mark.token:
            params[source.token_parameter] = mark.token
        return params

    def _smaller(self) -> Bookmark | None:
        """The bookmark from which half as much is asked for. Smaller pages go on with the same
        token, a shorter stretch begins anew. None where it is the least already."""
        mark = self._mark
        if self._source.size_parameter:
            size = (mark.size or LARGEST_PAGE) // 2
            return msgspec.structs.replace(mark, size=size) if size else None
        if not self._source.span_parameters:
            return None
        span = self._span()
        half = (span.until - span.since) / 2
        if half < SHORTEST:
            return None
        self._used.clear()
        seconds = int(half.total_seconds())
        return msgspec.structs.replace(mark, token=None, since=span.since, seconds=seconds)

    def _part(self) -> Window:
        """The span of time of the part in work."""
        part = self._parts[self._mark.part]
        since, until = (part[name] for name in self._source.span_parameters or ())
        return Window(datetime.fromisoformat(since), datetime.fromisoformat(until))

    def _span(self) -> Window:
        """The stretch of it that is in work: all of it, unless an answer was too large."""
        part, mark = self._part(), self._mark
        since = mark.since or part.since
        until = since + timedelta(seconds=mark.seconds) if mark.seconds else part.until
        return Window(since, min(until, part.until))

    def _begin_again(self) -> None:
        self._restarts += 1
        if self._restarts > MOST_RESTARTS:
            raise Retryable(
                f"{self._source.operation.name}: the next page's token expired {self._restarts} "
                "times before it could be used. Try again later."
            ) from None
        self._mark = msgspec.structs.replace(self._mark, token=None, size=None)
        self._used.clear()

    def _turn(self, token: str | None, times: Sequence[datetime]) -> None:
        """The bookmark goes behind the page that was read."""
        if not token or token in self._used or token == self._mark.token:
            self._mark = self._next_stretch() or self._next_part()
            self._used.clear()
            self._furthest = self._restarts = 0
            return
        self._mark = _turned(self._mark, token, times, self._window, len(self._parts))
        self._used.add(token)
        if len(self._used) > self._furthest:
            self._furthest, self._restarts = len(self._used), 0

    def _next_part(self) -> Bookmark:
        mark, parts = self._mark, len(self._parts)
        return Bookmark(mark.part + 1, None, mark.pages + 1, (mark.part + 1) / parts)

    def _next_stretch(self) -> Bookmark | None:
        """The one behind the stretch that was read, and twice as long; None behind the last."""
        mark = self._mark
        if not mark.seconds:
            return None
        done, part = self._span().until, self._part()
        if done >= part.until:
            return None
        within = (done - part.since) / (part.until - part.since)
        share = max(mark.share, min((mark.part + within) / len(self._parts), MOST_SHARE))
        return Bookmark(
            mark.part, None, mark.pages + 1, share, since=done, seconds=mark.seconds * 2
        )

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
            learned={
                **self._client.learned(self._connection, [operation]),
                **({HAD.format(operation.name): "1"} if self._source.nothing and records else {}),
            },
            warning=self._warning,
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


def utc(moment: datetime) -> datetime | None:
    """The moment in UTC, which one without an offset is in already; None beyond the calendar."""
    try:
        return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
    except OverflowError:
        return None


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
    size = mark.size * 2 if mark.size and mark.size * 2 < LARGEST_PAGE else None
    turned = msgspec.structs.replace(mark, token=token, pages=mark.pages + 1, size=size)
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
        return tolerant(source.slice, body)
    except (ValueError, RecursionError) as error:  # no JSON, no UTF-8, nested without end
        raise Retryable(
            f"{source.operation.name}: the answer is not what the API promises ({error})."
        ) from error


def _record(source: Source, raw: msgspec.Raw, params: Mapping[str, str]) -> Record:
    try:
        bytes(raw).decode()  # the decoders look only at what they name
        return source.record(raw, params)
    except (ValueError, RecursionError) as error:
        return unreadable(raw, error)
