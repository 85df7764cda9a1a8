"""An operation read page by page: its parts, its bookmark, what to do when a token expires or an
answer is too large."""

import hashlib
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated

import msgspec

from connectors.amazon.answers import tolerant
from connectors.amazon.client import Client, Expired, Operation, Refused
from connectors.amazon.profile import profile
from connectors.amazon.repeats import MOST_STALE, Endless, Repeats, endless
from connectors.base import Connection, Cursor, Page, Record, Retryable, Waiting, Window

MOST_RESTARTS = 5
"""How often a part is begun again, because the token of its next page died, without getting any
further than before."""
SETTLED = timedelta(minutes=2, seconds=5)
"""Amazon wants every "before" to be over two minutes ago; a little more forgives a clock."""
LARGEST_PAGE = 100
HAD = "had:{}"
"""What is learned of a connection for which an operation has brought a record."""
SMALL_PAGE = 5
SMALL_STRETCH = timedelta(hours=1)
"""What is asked for where more was refused: it may have been too large. There is no third size: an
answer of Amazon has 10 MB at most, which one order or one hour never has."""
MOST_SHARE = 0.99
"""What lies behind a page that is not the last."""

Moment = Annotated[datetime, msgspec.Meta(tz=True)]
Count = Annotated[int, msgspec.Meta(ge=1, le=10**8)]


class Bookmark(msgspec.Struct, frozen=True, omit_defaults=True):
    """Our cursor: which part of the dataset (a marketplace, a span of time), the token of its next
    page, and what the estimate is computed from: the pages so far, the share of the dataset that
    lies behind, and the span of time that the part's records cover.

    Where an answer was too large: how many records are asked for at once (`size`), or how many
    `seconds` of the part, from `since` on. `bare`: without what the source calls optional. `cut`:
    why the dataset is not whole, although its parts are read."""

    part: Annotated[int, msgspec.Meta(ge=0)] = 0
    token: str | None = None
    pages: int = 0
    share: float = 0.0
    oldest: Moment | None = None
    newest: Moment | None = None
    size: Count | None = None
    since: Moment | None = None
    seconds: Count | None = None
    bare: bool = False
    cut: str = ""


class Slice(msgspec.Struct, frozen=True):
    """What one answer held: the raw records, the token of the next page."""

    records: Sequence[msgspec.Raw]
    token: str | None


class Source(msgspec.Struct, frozen=True):
    """One dataset's way of being read. Each part has its own parameters and its own tokens.

    `nothing` says what a refusal (400) of a part's first page means, where it means that the part
    is empty; "" where it does not, None where it never does.

    What makes an answer smaller: the parameter that says how many records it may hold, or the two
    between whose moments they lie. `optional` is a parameter that asks for more than there must be.
    `most_empty` is how many pages in a row may be empty before the next one that is not."""

    operation: Operation
    token_parameter: str
    parts: Callable[[Connection, Window], Sequence[Mapping[str, str]]]
    slice: Callable[[bytes], Slice]
    record: Callable[[msgspec.Raw, Mapping[str, str]], Record]
    size_parameter: str = ""
    span_parameters: tuple[str, str] | None = None
    nothing: Callable[[Connection], str] | None = None
    optional: str = ""
    most_empty: int = MOST_STALE


async def read(
    client: Client,
    source: Source,
    connection: Connection,
    window: Window,
    cursor: Cursor | None,
    waiting: Waiting,
) -> AsyncIterator[Page]:
    """Every page from the cursor on. A token that expired means that its part is read again from
    the start (the same records come again).

    A call that is refused for another reason is made once with much less asked for, since its
    answer may be too large (10 MB are the most); then twice as much each time that goes well. A
    first page is then asked for once without what is optional, a later one once more from the start
    of its part. If that is refused too, raises Refused.

    A part whose pages bring nothing new ends, whatever token they name. Raises Endless after the
    last page, where a part ended so or what is optional was refused."""
    reading = _Reading(client, source, connection, window, cursor, waiting)
    async for page in reading.pages():
        yield page


class _Reading:
    """One reading: `repeats` is of this part, or of its stretch, since it was begun."""

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
        self._warning = ""
        self._single = profile(connection.settings.environment).single(source.operation.name)
        self._begin()

    def _begin(self) -> None:
        """A part, or a stretch of it."""
        self._repeats = Repeats(self._source.most_empty)
        self._furthest = self._restarts = 0

    async def pages(self) -> AsyncIterator[Page]:
        if not self._parts:
            yield Page([], share=1.0)
        while self._mark.part < len(self._parts):
            part = self._parts[self._mark.part]
            body = await self._body()
            found = Slice([], None) if body is None else _decode(self._source, body)
            await self._client.turns.take()
            records = [_record(self._source, raw, part) for raw in found.records]
            if self._mark.bare:
                records = [_bare(each) for each in records]
            self._turn(found.token, records)
            yield self._page(records)
        if self._mark.cut:
            raise Endless(self._mark.cut)

    async def _body(self) -> bytes | None:
        """The answer to the next call; None where the part is empty."""
        while True:
            try:
                return await self._client.call(
                    self._connection, self._source.operation, self._params(), self._waiting
                )
            except Refused as refused:
                other = None if isinstance(refused, Expired) else self._otherwise(refused)
                if other:
                    self._mark = other
                elif self._mark.token:
                    self._begin_again(refused)
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
        if mark.bare:
            params.pop(source.optional, None)
        if mark.token:
            params[source.token_parameter] = mark.token
        return params

    def _otherwise(self, refused: Refused) -> Bookmark | None:
        """The bookmark from which less is asked for; None where that was done already."""
        mark, optional = self._mark, self._source.optional
        if mark.token or not optional:
            return self._smaller()
        if mark.bare:
            return None
        if optional.lower() in str(refused).lower():
            return self._without()
        return self._smaller() or self._without()

    def _smaller(self) -> Bookmark | None:
        """Smaller pages go on with the same token, a shorter stretch begins with a first page."""
        mark = self._mark
        if self._source.size_parameter:
            return None if mark.size == SMALL_PAGE else _replaced(mark, size=SMALL_PAGE)
        if not self._source.span_parameters:
            return None
        span = self._span()
        if span.until - span.since <= SMALL_STRETCH:
            return None
        self._repeats = Repeats(self._source.most_empty)
        seconds = int(SMALL_STRETCH.total_seconds())
        return _replaced(mark, token=None, since=span.since, seconds=seconds)

    def _without(self) -> Bookmark:
        """The parameters of a reading may not change while its tokens are in use: this is for all
        pages of the part."""
        name, optional = self._source.operation.name, self._source.optional
        why = f"{name} refused {optional}: what that asks for is missing in what was read."
        return _replaced(self._mark, bare=True, size=None, cut=why)

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

    def _begin_again(self, refused: Refused) -> None:
        """The part, from its first page. Where no token is blamed, that is done once."""
        operation = self._source.operation.name
        self._restarts += 1
        if not isinstance(refused, Expired) and self._restarts > 1:
            raise refused
        if self._restarts > MOST_RESTARTS:
            raise Retryable(
                f"{operation}: the next page's token expired {self._restarts} times before it "
                "could be used. Try again later."
            ) from None
        self._mark = _replaced(self._mark, token=None, size=None)
        self._repeats = Repeats(self._source.most_empty)

    def _turn(self, token: str | None, records: Sequence[Record]) -> None:
        """The bookmark goes behind the page that was read."""
        more = token if not self._single else None
        why = self._repeats.note(each.id for each in records) if more else ""
        if not more or why:
            if why and not self._mark.cut:
                self._mark = _replaced(self._mark, cut=endless(self._source.operation.name, why))
            self._mark = self._next_stretch() or self._next_part()
            self._begin()
            return
        times = [each.at for each in records if each.at]
        self._mark = _turned(self._mark, more, times, self._window, len(self._parts))
        if self._repeats.count > self._furthest:
            self._furthest, self._restarts = self._repeats.count, 0

    def _next_part(self) -> Bookmark:
        mark, parts = self._mark, len(self._parts)
        share = (mark.part + 1) / parts
        return Bookmark(mark.part + 1, None, mark.pages + 1, share, cut=mark.cut)

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
        at = Bookmark(mark.part, None, mark.pages + 1, share, cut=mark.cut)
        return _replaced(at, since=done, seconds=mark.seconds * 2)

    def _page(self, records: Sequence[Record]) -> Page:
        mark, operation = self._mark, self._source.operation
        more = mark.part < len(self._parts)
        left = mark.pages * (1 - mark.share) / mark.share if mark.share else None
        bucket = self._client.bucket(self._connection, operation)
        return Page(
            records=records,
            cursor=Cursor(msgspec.json.encode(mark).decode()) if more or mark.cut else None,
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
    ended = mark.part == parts and mark.cut
    return mark if mark.part < parts or ended else Bookmark()


def _turned(
    mark: Bookmark, token: str, times: Sequence[datetime], window: Window, parts: int
) -> Bookmark:
    """The bookmark after a page that is not the last of its part.

    The share is of time, where records carry one: what they cover, of that and what lies ahead.
    Which way they are ordered shows in which end moved."""
    size = mark.size * 2 if mark.size and mark.size * 2 < LARGEST_PAGE else None
    turned = _replaced(mark, token=token, pages=mark.pages + 1, size=size)
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
    return _replaced(turned, share=share, oldest=oldest, newest=newest)


_replaced = msgspec.structs.replace


def _bare(record: Record) -> Record:
    """Not the same version as the whole record, which may be read later."""
    version = f"{record.version} without options" if record.version else ""
    return _replaced(record, version=version)


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
