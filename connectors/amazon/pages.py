"""Reads an operation page by page. The only implementation of page tokens: it handles tokens that
expire or repeat, and responses that are too large."""

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec

from connectors.amazon.answers import tolerant
from connectors.amazon.client import AmazonClient, Expired, Operation, Refused
from connectors.amazon.context import AmazonDataset, ReadContext
from connectors.amazon.page_bookmark import MAX_SHARE, PageBookmark, advanced, opened
from connectors.amazon.profile import profile
from connectors.amazon.repeats import MAX_STALE, Endless, Repeats, endless
from connectors.amazon.times import stamp
from connectors.base import Connection, Cursor, Dataset, Page, Record, Retryable, Way, Window
from connectors.json_api import unreadable

MAX_RESTARTS = 5
"""How often a part is restarted because the token of its next page expired, without getting further
than before."""
HAD = "had:{}"
"""The key under which a connection remembers that an operation has returned a record."""
SMALL_PAGE = 5
SMALL_STRETCH = timedelta(hours=1)
"""The time span of a request after a larger one was refused, whose response may have been too
large. A third, smaller size is not needed: Amazon's limit is 10 MB, which one order or one hour
never has."""

Params = Mapping[str, str]


class MalformedResponse(Retryable):
    """A response does not have the documented shape."""


class TokensExpire(Retryable):
    """The tokens of an operation expire before they can be used."""


class Slice(msgspec.Struct, frozen=True):
    """The content of one response: the raw records, and the token of the next page."""

    records: Sequence[msgspec.Raw]
    token: str | None


class Pagination(msgspec.Struct):
    """The `pagination` object of responses."""

    nextToken: str | None = None


class PagedSource(msgspec.Struct, frozen=True):
    """How a dataset is read page by page. Each part has its own parameters and its own tokens."""

    operation: Operation
    #: The parameter that carries the token of the next page.
    token_parameter: str
    #: The parameters of the first page of each part.
    parts: Callable[[Connection, Window], Sequence[Params]]
    #: Splits a response.
    slice: Callable[[bytes], Slice]
    #: Reads one raw record. Raises ValueError if it is unreadable.
    record: Callable[[msgspec.Raw, Params], Record]
    #: Derives the parameters of further pages from those of the part. The token is added and, after
    #: a refused page, the size. Leave `size_parameter` empty if the token must be the only
    #: parameter.
    following: Callable[[Params], Params] = lambda part: part
    #: The operation of further pages, if it differs.
    next_operation: Operation | None = None
    #: The text that replaces the `{}` in the operation's path.
    argument: str = ""
    #: The parameter that limits the records of a response; smaller values make it smaller.
    size_parameter: str = ""
    #: The parameters that limit the time span of a response, where no size can be given.
    span_parameters: tuple[str, str] | None = None
    #: A parameter that requests additional data and may be omitted.
    optional: str = ""
    #: Interprets a refused first page (400): the message for the user if it means that the part is
    #: empty, else "". None if it never means that.
    nothing: Callable[[Connection], str] | None = None
    #: How many pages in a row may be empty before one that is not.
    most_empty: int = MAX_STALE
    #: Completes the records of a page by further calls. Also receives whether a page follows.
    completed: Callable[[Params, Sequence[Record], bool], Awaitable[Sequence[Record]]] | None = None
    #: The operations of these calls. Their quotas are also remembered.
    others: Sequence[Operation] = ()


def paged(about: Dataset, source: PagedSource) -> AmazonDataset:
    """The dataset of a source."""

    def read_source(context: ReadContext, cursor: Cursor | None) -> AsyncIterator[Page]:
        return read(context, source, cursor)

    return AmazonDataset(about, read_source, by_pages(source))


def by_pages(source: PagedSource) -> Callable[[AmazonClient, Connection, Window], Way]:
    """The plan of a dataset whose number of pages is unknown: at least one for each part."""

    def plan(client: AmazonClient, connection: Connection, window: Window) -> Way:
        return Way("pages", calls=len(source.parts(connection, window)))

    return plan


async def read(
    context: ReadContext, source: PagedSource, cursor: Cursor | None
) -> AsyncGenerator[Page, None]:
    """Yield every page from the cursor on.

    If a token has expired, its part is read again from the start, and its records are repeated.

    If a call is refused for another reason, its response may be too large (the limit is 10 MB). It
    is repeated once with a much smaller size, which then doubles with each success. Next, a first
    page is requested without the optional parameter, and for a later page the part is restarted
    once. If that is also refused, raises Refused.

    A part whose pages bring nothing new is ended, even if it returns another token. In this case,
    and if the optional parameter was refused, raises Endless after the last page."""
    async for page in _PagedRead(context, source, cursor).pages():
        yield page


class _PagedRead:
    """The state of one read. `_repeats` belongs to the current part, or to its current stretch."""

    def __init__(self, context: ReadContext, source: PagedSource, cursor: Cursor | None) -> None:
        self._client = context.client
        self._connection = context.connection
        self._window = context.window
        self._waiting = context.waiting
        self._source = source
        self._parts = source.parts(context.connection, context.window)
        self._mark = opened(cursor, len(self._parts))
        self._warning = ""
        self._single = profile(context.connection.settings.environment).single(
            source.operation.name
        )
        self._begin()

    def _begin(self) -> None:
        """Start a part, or a stretch of it."""
        self._repeats = Repeats(self._source.most_empty)
        self._furthest = self._restarts = 0

    async def pages(self) -> AsyncIterator[Page]:
        source = self._source
        if not self._parts:
            yield Page([], share=1.0)
        while self._mark.part < len(self._parts):
            part = self._parts[self._mark.part]
            body = await self._body()
            content = Slice([], None) if body is None else _decode(source, body)
            await self._client.turns.take()
            records: Sequence[Record] = [_record(source, raw, part) for raw in content.records]
            if self._mark.bare:
                records = [_bare(record) for record in records]
            if source.completed:
                records = await source.completed(part, records, bool(content.token))
            self._advance(content.token, records)
            yield self._page(records)
        if self._mark.cut:
            raise Endless(self._mark.cut)

    async def _body(self) -> bytes | None:
        """The response to the next call; None if the part is empty."""
        source = self._source
        while True:
            operation, argument = source.operation, source.argument
            if self._mark.token and source.next_operation:
                operation, argument = source.next_operation, ""
            try:
                return await self._client.call(
                    self._connection, operation, self._params(), self._waiting, argument
                )
            except Refused as refused:
                reduced = None if isinstance(refused, Expired) else self._reduced(refused)
                if reduced:
                    self._mark = reduced
                elif self._mark.token:
                    self._restart(refused)
                elif source.nothing and (why := source.nothing(self._connection)):
                    self._warning = why
                    return None
                else:
                    raise

    def _params(self) -> Params:
        source, mark = self._source, self._mark
        part = self._parts[mark.part]
        params = dict(source.following(part) if mark.token else part)
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

    # Refused requests -----------------------------------------------------------------------------

    def _reduced(self, refused: Refused) -> PageBookmark | None:
        """The bookmark for a smaller request; None if the request was reduced already."""
        mark, optional = self._mark, self._source.optional
        if mark.token or not optional:
            return self._smaller()
        if mark.bare:
            return None
        if optional.lower() in str(refused).lower():
            return self._without_optional()
        return self._smaller() or self._without_optional()

    def _smaller(self) -> PageBookmark | None:
        """A smaller page continues with the same token; a shorter stretch starts with a first
        page."""
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

    def _without_optional(self) -> PageBookmark:
        """The bookmark without the optional parameter. It applies to all pages of the part, since
        parameters must not change while tokens are in use."""
        name, optional = self._source.operation.name, self._source.optional
        why = f"{name} refused {optional}: the data that it requests is missing from the records."
        return _replaced(self._mark, bare=True, size=None, cut=why)

    def _restart(self, refused: Refused) -> None:
        """Restart the part from its first page; only once if the refusal does not name the
        token."""
        operation = self._source.operation.name
        self._restarts += 1
        if not isinstance(refused, Expired) and self._restarts > 1:
            raise refused
        if self._restarts > MAX_RESTARTS:
            raise TokensExpire(
                f"{operation}: the next page's token expired {self._restarts} times before it "
                "could be used. Try again later."
            ) from None
        self._mark = _replaced(self._mark, token=None, size=None)
        self._repeats = Repeats(self._source.most_empty)

    # Time spans -----------------------------------------------------------------------------------

    def _part_span(self) -> Window:
        """The time span of the current part."""
        part = self._parts[self._mark.part]
        since, until = (part[name] for name in self._source.span_parameters or ())
        return Window(datetime.fromisoformat(since), datetime.fromisoformat(until))

    def _span(self) -> Window:
        """The current stretch of the part: all of it, unless a response was too large."""
        part, mark = self._part_span(), self._mark
        since = mark.since or part.since
        until = since + timedelta(seconds=mark.seconds) if mark.seconds else part.until
        return Window(since, min(until, part.until))

    # Progress -------------------------------------------------------------------------------------

    def _advance(self, token: str | None, records: Sequence[Record]) -> None:
        """Move the bookmark past the page that was read."""
        following = token if not self._single else None
        why = self._repeats.note(record.id for record in records) if following else ""
        if not following or why:
            if why and not self._mark.cut:
                self._mark = _replaced(self._mark, cut=endless(self._source.operation.name, why))
            self._mark = self._next_stretch() or self._next_part()
            self._begin()
            return
        times = [record.at for record in records if record.at]
        self._mark = advanced(self._mark, following, times, self._window, len(self._parts))
        if self._repeats.count > self._furthest:
            self._furthest, self._restarts = self._repeats.count, 0

    def _next_part(self) -> PageBookmark:
        mark, parts = self._mark, len(self._parts)
        share = (mark.part + 1) / parts
        return PageBookmark(mark.part + 1, None, mark.pages + 1, share, cut=mark.cut)

    def _next_stretch(self) -> PageBookmark | None:
        """The next stretch, twice as long as the one that was read; None after the last."""
        mark = self._mark
        if not mark.seconds:
            return None
        done, part = self._span().until, self._part_span()
        if done >= part.until:
            return None
        within = (done - part.since) / (part.until - part.since)
        share = max(mark.share, min((mark.part + within) / len(self._parts), MAX_SHARE))
        start = PageBookmark(mark.part, None, mark.pages + 1, share, cut=mark.cut)
        return _replaced(start, since=done, seconds=mark.seconds * 2)

    def _page(self, records: Sequence[Record]) -> Page:
        mark, operation = self._mark, self._source.operation
        more = mark.part < len(self._parts)
        left = mark.pages * (1 - mark.share) / mark.share if mark.share else None
        bucket = self._client.bucket(self._connection, operation)
        quotas = self._client.learned(self._connection, [operation, *self._source.others])
        had = {HAD.format(operation.name): "1"} if self._source.nothing and records else {}
        return Page(
            records=records,
            cursor=Cursor(msgspec.json.encode(mark).decode()) if more or mark.cut else None,
            share=mark.share,
            seconds_left=bucket.seconds_for(max(left, 1.0)) if more and left is not None else None,
            learned={**quotas, **had},
            warning=self._warning,
        )


def present(value: str, field: str) -> str:
    """A value that must not be empty. Raises ValueError."""
    if not value:
        raise ValueError(f"{field} is empty")
    return value


_replaced = msgspec.structs.replace


def _bare(record: Record) -> Record:
    """The record with a version that differs from the complete record's, which may be read
    later."""
    version = f"{record.version} without options" if record.version else ""
    return _replaced(record, version=version)


def _decode(source: PagedSource, body: bytes) -> Slice:
    try:
        return tolerant(source.slice, body)
    except (ValueError, RecursionError) as error:  # not JSON, not UTF-8, endless nesting
        raise MalformedResponse(
            f"{source.operation.name}: the response does not have the documented shape ({error})."
        ) from error


def _record(source: PagedSource, raw: msgspec.Raw, params: Params) -> Record:
    try:
        str(raw, "utf-8")  # decoders check only the fields that they read
        return source.record(raw, params)
    except (ValueError, RecursionError) as error:
        return unreadable(raw, error)
