"""The feeds: changes of records, and events of syncs, connections and claims. They implement the
read half of the Durable Streams protocol 1.0, in its JSON mode."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from random import randint
from typing import Annotated, Any, Literal

import anyio
import msgspec
from msgspec import Meta
from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import actor, identity, parts
from service.errors import Invalid, NotFound, OffsetGone, OffsetMissing, OperatorOnly
from service.store.changes import WHOLE, Feed, OutboxRow, Position
from service.streams.feeds import AGAIN, EVERYBODY, FeedStream
from service.streams.sse import ProgressResponse
from service.wire import feed_shapes, responses, serialize
from service.wire.offsets import FIRST, NOW, from_token, to_token
from service.wire.reading import Query, read_query
from service.wire.serialize_feeds import change_of, changes_in

LONG_POLL = 30.0
"""Seconds after which a long-poll without a change ends."""
CURSORS_FROM = datetime(2024, 10, 9, tzinfo=UTC)
CURSOR_SECONDS = 20
"""Cursors number intervals of this many seconds (Durable Streams protocol, "Server-Generated
Cursors")."""
LONGEST_JITTER = 3600
"""Maximum seconds that are added to a cursor that is not above the client's."""
MAX_CURSOR = 10**15
OPERATOR = "operator"


class FeedQuery(Query, frozen=True):
    """The offset, the mode and the filters of a read."""

    #: `-1` for all stored entries, `now` for new entries only, or the `Stream-Next-Offset` of an
    #: earlier response.
    offset: str = ""
    live: Literal["", "long-poll", "sse"] = ""
    #: The `Stream-Cursor` of the last response.
    cursor: str = ""
    limit: Annotated[int, Meta(ge=1, le=1000)] = 1000
    connection_id: str = ""
    #: `true`: the entries of all users; for operators.
    all: Literal["", "true"] = ""


class ChangesQuery(FeedQuery, frozen=True):
    """A read of the changes of records."""

    dataset: str = ""
    #: `record`: each change with the record as it is now.
    expand: Literal["", "record"] = ""


class EventsQuery(FeedQuery, frozen=True):
    """A read of the events."""

    type: str = ""


class Reader:
    """Reads one feed with its filters."""

    def __init__(self, request: Request, feed: Feed, query: FeedQuery, kind: str) -> None:
        self._parts = parts(request)
        self._feed: Feed = feed
        self._limit = query.limit
        self._expand = isinstance(query, ChangesQuery) and bool(query.expand)
        self.epoch = self._parts.epoch
        #: The user whose changes are read, or EVERYBODY.
        self.scope = EVERYBODY if query.all else actor(request).user
        self._user = None if query.all else self.scope
        filters = {"user": self._user, "connection": query.connection_id, "type": kind}
        self._filters: Mapping[str, str] = {k: v for k, v in filters.items() if v}
        self._cursor = _cursor(self._parts.clock.now(), query.cursor)

    async def start(self, offset: str) -> Position:
        """The position of an offset. Raises MalformedOffset or OffsetGone."""
        changes = self._parts.changes
        if offset == NOW:
            return await changes.tail(self._feed, self._user)
        trimmed = await changes.trimmed(self._feed, self._user)
        if offset in ("", FIRST):
            return trimmed
        position = from_token(self.epoch, offset)
        if position < trimmed:
            raise OffsetGone
        return position

    async def read(self, position: Position) -> tuple[Sequence[msgspec.Struct], Position, bool]:
        """The next entries, the position after them, and whether nothing follows."""
        found: list[tuple[OutboxRow, int, Any]] = []
        while len(found) < self._limit:
            rows = await self._parts.changes.rows(self._feed, self._filters, position)
            if not rows:
                return await self._shown(found), position, True
            for row in rows:
                entries = _entries(self._feed, row)
                same = (row.tx, row.seq) == (position.tx, position.seq)
                begin = position.index if same else 0
                end = min(len(entries), begin + self._limit - len(found))
                found += [(row, number, entries[number]) for number in range(begin, end)]
                position = Position(row.tx, row.seq, WHOLE if end == len(entries) else end)
                if len(found) == self._limit:
                    break
        return await self._shown(found), position, False

    async def read_block(self, position: Position) -> tuple[bytes, Position, bool]:
        """The next entries as blocks of an event stream; none if there is nothing new."""
        entries, behind, ended = await self.read(position)
        if not entries:
            return b"", behind, ended
        data = serialize.block(event="data", data=msgspec.json.encode(entries).decode())
        return data + self.control(behind, ended), behind, ended

    def control(self, position: Position, ended: bool) -> bytes:
        body: dict[str, Any] = {"streamNextOffset": self.token(position)}
        body |= {"streamCursor": self._cursor} | ({"upToDate": True} if ended else {})
        return serialize.block(event="control", data=msgspec.json.encode(body).decode())

    def token(self, position: Position) -> str:
        return to_token(self.epoch, position)

    def headers(self, position: Position, ended: bool, live: bool) -> dict[str, str]:
        headers = {"Stream-Next-Offset": self.token(position), "Cache-Control": "private, no-cache"}
        headers |= {"Stream-Up-To-Date": "true"} if ended else {}
        return headers | ({"Stream-Cursor": self._cursor} if live else {})

    async def _shown(self, found: Sequence[tuple[OutboxRow, int, Any]]) -> Sequence[msgspec.Struct]:
        if self._feed == "events":
            return [self._event(row, data) for row, _, data in found]
        changes = [change_of(self.epoch, row, number, entry) for row, number, entry in found]
        return await self._with_records(changes) if self._expand else changes

    def _event(self, row: OutboxRow, data: Any) -> feed_shapes.FeedEvent:
        return feed_shapes.FeedEvent(
            id=self.token(Position(row.tx, row.seq)),
            type=row.type,
            timestamp=f"{row.at[:23]}Z",
            data=data,
        )

    async def _with_records(
        self, changes: Sequence[feed_shapes.Change]
    ) -> Sequence[feed_shapes.Change]:
        ids: dict[tuple[str, str], list[str]] = defaultdict(list)
        for change in changes:
            ids[change.connection_id, change.dataset].append(change.record_id)
        known = {
            (*of, row["id"]): serialize.record(row)
            for of, wanted in ids.items()
            for row in await self._parts.records.by_id(*of, wanted)
        }
        return [
            msgspec.structs.replace(
                change,
                record=known.get((change.connection_id, change.dataset, change.record_id)),
            )
            for change in changes
        ]


async def changes(request: Request) -> Response:
    """Read which records were created, updated or deleted, in the order of the commits."""
    query = read_query(request, ChangesQuery)
    datasets = parts(request).sources.datasets
    if query.dataset and query.dataset not in datasets:
        raise Invalid.field("dataset", f"Must be one of {', '.join(datasets)}.")
    return await _respond(request, "records", query, query.dataset)


async def events(request: Request) -> Response:
    """Read the events of syncs, connections and claims, in the order of the commits."""
    query = read_query(request, EventsQuery)
    if query.type and query.type not in feed_shapes.EVENT_TYPES:
        raise Invalid.field("type", f"Must be one of {', '.join(feed_shapes.EVENT_TYPES)}.")
    return await _respond(request, "events", query, query.type)


async def _respond(request: Request, feed: Feed, query: FeedQuery, kind: str) -> Response:
    await _check(request, query)
    reader = Reader(request, feed, query, kind)
    if request.method == "HEAD":
        tail = await reader.start(NOW)
        return responses.JSON(b"[]", headers=reader.headers(tail, True, bool(query.live)))
    if query.live and not query.offset:
        raise OffsetMissing
    if query.live == "sse":
        return await _stream(request, reader, query.offset)
    if query.live:
        return await _long_poll(request, reader, query.offset)
    return await _catch_up(request, reader, query.offset)


async def _check(request: Request, query: FeedQuery) -> None:
    """Raises OperatorOnly, or NotFound for another user's connection."""
    if query.all:
        if actor(request).role != OPERATOR:
            raise OperatorOnly
        return
    if query.connection_id:
        stored = await parts(request).connections.list_with_forgotten(actor(request))
        if query.connection_id not in {connection.id for connection in stored}:
            raise NotFound(
                f"You have no connection {query.connection_id}. GET /api/connections lists yours."
            )


async def _catch_up(request: Request, reader: Reader, offset: str) -> Response:
    begin = await reader.start(offset)
    if offset == NOW:
        headers = reader.headers(begin, True, live=False) | {"Cache-Control": "private, no-store"}
        return responses.JSON(b"[]", headers=headers)
    entries, position, ended = await reader.read(begin)
    headers = reader.headers(position, ended, live=False)
    headers["ETag"] = f'"{reader.token(begin)}:{reader.token(position)}:{len(entries)}"'
    if headers["ETag"] in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=headers)
    return responses.JSON(entries, headers=headers)


async def _long_poll(request: Request, reader: Reader, offset: str) -> Response:
    """Wait for the next entries, at most LONG_POLL seconds."""
    feeds, position = parts(request).feeds, await reader.start(offset)
    looks: Sequence[float] = ()
    with anyio.move_on_after(LONG_POLL):
        while not feeds.closing:
            with feeds.next_change(reader.scope) as changed:
                entries, behind, ended = await reader.read(position)
                if entries:
                    headers = reader.headers(behind, ended, live=True)
                    headers["ETag"] = f'"{reader.token(position)}:{reader.token(behind)}"'
                    return responses.JSON(entries, headers=headers)
                if looks:
                    await anyio.sleep(looks[0])
                    looks = looks[1:]
                else:
                    await changed.wait()
                    looks = AGAIN
    return Response(status_code=204, headers=reader.headers(position, True, live=True))


async def _stream(request: Request, reader: Reader, offset: str) -> Response:
    feeds, hub = parts(request).feeds, parts(request).hub
    position = await reader.start(offset)
    caller = identity(request)
    stream = FeedStream(caller.actor.user, reader.scope, position, reader.read_block, feeds.now())
    feeds.follow(stream, caller.until)
    try:
        first, behind, ended = await reader.read_block(position)
    except BaseException:
        hub.remove(stream)
        raise
    feeds.continue_from(stream, behind, ended)
    return ProgressResponse(hub, stream, first or reader.control(behind, ended))


def _entries(feed: Feed, row: OutboxRow) -> Sequence[Any]:
    return changes_in(row) if feed == "records" else [msgspec.json.decode(row.body)]


def _cursor(now: datetime, last: str) -> str:
    """The number of the current interval; above the client's, if that is not below it."""
    current = int((now - CURSORS_FROM).total_seconds() // CURSOR_SECONDS)
    if last.isascii() and last.isdigit() and current <= int(last[:16]) < MAX_CURSOR:
        jitter = randint(1, LONGEST_JITTER // CURSOR_SECONDS)  # noqa: S311 - not a secret
        return str(int(last[:16]) + jitter)
    return str(current)
