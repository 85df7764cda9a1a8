"""What has been: the history of syncs, their items, and the records that were landed."""

from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType, field
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from service.api.parts import actor, parts
from service.errors import Invalid, NotFound
from service.model import Status
from service.store.engine import Values, stamp
from service.store.records import RecordStore
from service.wire import responses, serialize, shapes
from service.wire.reading import Paged, Time, cursor, moment, read_cursor, read_query

AT_ONCE = 20
"""Records that are read at once: they have up to some tens of kilobytes each."""


class HistoryQuery(Paged, frozen=True):
    """Which syncs, begun from when to when; `offset` jumps by number, `cursor` goes on."""

    offset: Annotated[int, Meta(ge=0, le=10_000)] | UnsetType = UNSET
    status: Literal["", "in_progress", "paused", "complete", "failed", "cancelled"] = ""
    connector: str = ""
    connection_id: str = ""
    from_: Time | None = field(default=None, name="from")
    to: Time | None = None

    def filters(self) -> dict[str, Any]:
        chosen = _given(connector=self.connector, connection_id=self.connection_id)
        if not self.status:
            return chosen | _span(self)
        shown = [each for each in Status if serialize.shown(each) == self.status]
        return chosen | _span(self) | {"statuses": shown}


class AuditQuery(Paged, frozen=True):
    """Which entries, from when to when."""

    action: str = ""
    sync_id: str = ""
    from_: Time | None = field(default=None, name="from")
    to: Time | None = None

    def filters(self) -> dict[str, Any]:
        return _given(action=self.action, sync_id=self.sync_id) | _span(self)


class ItemsQuery(Paged, frozen=True):
    """What became of which records."""

    status: Literal["", "failed", "created", "updated", "unchanged", "deleted"] = ""
    dataset: str = ""


class DataQuery(Paged, frozen=True):
    """Whose records."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    connection_id: str = ""


async def history(request: Request) -> Response:
    """Syncs, newest first. A page costs the same at any depth of the cursor."""
    who, given = actor(request), read_query(request, HistoryQuery)
    before = read_cursor(given.cursor, "history", 1)
    if before and given.offset is not UNSET:
        raise Invalid.field("offset", "Give either offset or cursor.")
    limit, after = given.limit, before[0] if before else None
    found, total = await parts(request).store.history(
        who.user, given.filters(), limit + 1, after, given.offset or 0
    )
    more = len(found) > limit
    return responses.JSON(
        {
            "syncs": [serialize.status(sync) for sync in found[:limit]],
            "total": total,
            "nextCursor": cursor("history", found[limit - 1].id) if more else None,
        }
    )


async def one(request: Request) -> Response:
    """One sync with its datasets, attempts and warnings."""
    sync = await parts(request).registry.get(actor(request), request.path_params["sync_id"])
    return responses.JSON(serialize.whole_sync(sync))


async def audit(request: Request) -> Response:
    """The audit log: who did what, newest first."""
    who, given = actor(request), read_query(request, AuditQuery)
    before = read_cursor(given.cursor, "audit", 1)
    limit, after = given.limit, before[0] if before else None
    rows = await parts(request).audit.page(who.user, given.filters(), limit + 1, after)
    more = len(rows) > limit
    return responses.JSON(
        shapes.Audit(
            entries=[serialize.audit_entry(row) for row in rows[:limit]],
            next_cursor=cursor("audit", rows[limit - 1]["id"]) if more else None,
        )
    )


async def items(request: Request) -> Response:
    """What became of single records. Failures are always here, other outcomes if the start or the
    operator asked for them; all are counted."""
    sync = await parts(request).registry.get(actor(request), request.path_params["sync_id"])
    given = read_query(request, ItemsQuery)
    after = read_cursor(given.cursor, "items", 2)
    rows = await parts(request).store.items(
        sync.id,
        given.status or None,
        given.dataset or None,
        given.limit + 1,
        (after[0], after[1]) if after else None,
    )
    page, more = rows[: given.limit], len(rows) > given.limit
    last = cursor("items", page[-1]["dataset"], page[-1]["record_id"]) if more else None
    return responses.JSON(
        shapes.Items(items=[serialize.item(row) for row in page], next_cursor=last)
    )


async def data(request: Request) -> Response:
    """The landed records, each with its data as it was received."""
    who, dataset = actor(request), request.path_params["dataset"]
    here = parts(request)
    if dataset not in here.sources.datasets:
        raise NotFound(
            f"There is no dataset {dataset}. There are: {', '.join(here.sources.datasets)}."
        )
    given = read_query(request, DataQuery)
    own = [each.id for each in await here.connections.ever(who)]
    if wanted := given.connection_id:
        if wanted not in own:
            raise NotFound(f"You have no connection {wanted}. GET /api/connections lists them.")
        own = [wanted]
    begin, after = read_cursor(given.cursor, "data", 2) or ("", "")
    places = {each: after if each == begin else "" for each in own if each >= begin}
    pieces = _pieces(here.records, dataset, places, given.limit + 1)
    # Read before the head of the answer is sent: until then it can still become a problem.
    first = await _next(pieces)
    return StreamingResponse(_page(first, pieces, given.limit), media_type="application/json")


async def _pieces(
    records: RecordStore, dataset: str, places: Mapping[str, str], most: int
) -> AsyncIterator[Sequence[Values]]:
    """At most so many records of these connections, each read after its id, a few at a time."""
    for connection, after in places.items():
        full = True
        while full and most:
            wanted = min(AT_ONCE, most)
            rows = await records.page(connection, dataset, wanted, after)
            if rows:
                yield rows
                after = rows[-1]["id"]
            most, full = most - len(rows), len(rows) == wanted


async def _next(pieces: AsyncIterator[Sequence[Values]]) -> Sequence[Values]:
    """The next piece; empty at the end. (Python 3.11's `anext` fails with a tuple as default.)"""
    try:
        return await anext(pieces)
    except StopAsyncIteration:
        return ()


async def _page(
    rows: Sequence[Values], rest: AsyncIterator[Sequence[Values]], limit: int
) -> AsyncIterator[bytes]:
    """`shapes.Records` as JSON, made only as fast as it is read: it may have tens of megabytes."""
    count, begin, last = 0, b'{"records":[', None
    while page := rows[: limit - count]:
        yield begin + b",".join(msgspec.json.encode(serialize.record(row)) for row in page)
        count, begin, last = count + len(page), b",", page[-1]
        more = len(rows) > len(page)
        rows = rows[len(page) :] if more else await _next(rest)
    after = cursor("data", last["connection_id"], last["id"]) if last and rows else None
    yield (b"" if count else begin) + b'],"nextCursor":' + msgspec.json.encode(after) + b"}"


def _given(**filters: str) -> dict[str, Any]:
    return {name: text for name, text in filters.items() if text}


def _span(given: HistoryQuery | AuditQuery) -> dict[str, Any]:
    since, until = moment(given.from_, "from"), moment(given.to, "to")
    return _given(
        since=stamp(since) if since else "",
        until=stamp(until) if until else "",
    )
