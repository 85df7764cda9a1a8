"""The history of syncs, the outcome of their records, the audit log, and the stored records."""

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
from service.wire import responses, serialize, sync_shapes
from service.wire.fields import Time
from service.wire.paging import Page, Paged
from service.wire.reading import moment, read_query

#: Records read at once. Each may have tens of kilobytes.
BATCH = 20


class HistoryQuery(Paged, frozen=True):
    """Filters and page of the history."""

    #: Skips this many syncs, to jump to a page by its number. Not together with `cursor`.
    offset: Annotated[int, Meta(ge=0, le=10_000)] | UnsetType = UNSET
    status: Literal["", "in_progress", "paused", "complete", "failed", "cancelled"] = ""
    connector: str = ""
    connection_id: str = ""
    #: Only syncs that started at this time or later.
    from_: Time | None = field(default=None, name="from")
    #: Only syncs that started before this time.
    to: Time | None = None

    def filters(self) -> dict[str, Any]:
        filters = _given(connector=self.connector, connection_id=self.connection_id) | _span(self)
        if self.status:
            filters["statuses"] = [
                status for status in Status if serialize.shown_status(status) == self.status
            ]
        return filters


class AuditQuery(Paged, frozen=True):
    """Filters and page of the audit log."""

    action: str = ""
    sync_id: str = ""
    #: Only entries from this time or later.
    from_: Time | None = field(default=None, name="from")
    #: Only entries before this time.
    to: Time | None = None

    def filters(self) -> dict[str, Any]:
        return _given(action=self.action, sync_id=self.sync_id) | _span(self)


class ItemsQuery(Paged, frozen=True):
    """Filters and page of the outcomes of a sync's records."""

    status: Literal["", "failed", "created", "updated", "unchanged", "deleted"] = ""
    dataset: str = ""


class DataQuery(Paged, frozen=True):
    """Filter and page of the stored records."""

    limit: Annotated[int, Meta(ge=1, le=1000)] = 20
    connection_id: str = ""


async def history(request: Request) -> Response:
    """List syncs, newest first. With a cursor, a page takes equally long at any depth."""
    user, query = actor(request).user, read_query(request, HistoryQuery)
    page = query.page("history")
    if page.after and query.offset is not UNSET:
        raise Invalid.field("offset", "Give either offset or cursor.")
    before = page.after[0] if page.after else None
    syncs, total = await parts(request).store.history(
        user, query.filters(), page.read_limit, before, query.offset or 0
    )
    shown, next_cursor = page.cut(syncs, key=lambda sync: (sync.id,))
    return responses.JSON(
        {
            "syncs": [serialize.status(sync) for sync in shown],
            "total": total,
            "nextCursor": next_cursor,
        }
    )


async def one(request: Request) -> Response:
    """Get a sync with its datasets, attempts and warnings."""
    sync = await parts(request).registry.get(actor(request), request.path_params["sync_id"])
    return responses.JSON(serialize.whole_sync(sync))


async def audit(request: Request) -> Response:
    """List the audit log: who did what, newest first."""
    user, query = actor(request).user, read_query(request, AuditQuery)
    page = query.page("audit")
    rows = await parts(request).audit.page(user, query.filters(), page.read_limit, *page.after)
    entries, next_cursor = page.cut(rows, key=lambda row: (row["id"],))
    return responses.JSON(
        sync_shapes.Audit(
            entries=[serialize.audit_entry(row) for row in entries], next_cursor=next_cursor
        )
    )


async def items(request: Request) -> Response:
    """List the outcomes of single records. Failures are always listed; other outcomes only if the
    start or the operator requested them. The status of the sync counts all of them."""
    sync = await parts(request).registry.get(actor(request), request.path_params["sync_id"])
    query = read_query(request, ItemsQuery)
    page = query.page("items", key_length=2)
    rows = await parts(request).store.items(
        sync.id,
        query.status or None,
        query.dataset or None,
        page.read_limit,
        (page.after[0], page.after[1]) if page.after else None,
    )
    shown, next_cursor = page.cut(rows, key=lambda row: (row["dataset"], row["record_id"]))
    return responses.JSON(
        sync_shapes.Items(items=[serialize.item(row) for row in shown], next_cursor=next_cursor)
    )


# Records --------------------------------------------------------------------------------------


async def data(request: Request) -> Response:
    """List the stored records of a dataset, each with its data as the source sent it."""
    caller, dataset = actor(request), request.path_params["dataset"]
    datasets = parts(request).sources.datasets
    if dataset not in datasets:
        raise NotFound(f"Unknown dataset {dataset}. The datasets are: {', '.join(datasets)}.")
    query = read_query(request, DataQuery)
    stored = await parts(request).connections.list_with_forgotten(caller)
    connections = [connection.id for connection in stored]
    if query.connection_id:
        if query.connection_id not in connections:
            raise NotFound(
                f"You have no connection {query.connection_id}. GET /api/connections lists yours."
            )
        connections = [query.connection_id]
    page = query.page("data", key_length=2)
    first, after = page.after or ("", "")
    starts = {id: after if id == first else "" for id in connections if id >= first}
    batches = _batches(parts(request).records, dataset, starts, page.read_limit)
    # Read before the head of the response is sent, while a failure can still become a problem.
    batch = await _next(batches)
    return StreamingResponse(_records(batch, batches, page), media_type="application/json")


async def _batches(
    records: RecordStore, dataset: str, starts: Mapping[str, str], limit: int
) -> AsyncIterator[Sequence[Values]]:
    """At most `limit` records. `starts` maps each connection to the id after which it is read."""
    for connection_id, after in starts.items():
        full = True
        while full and limit:
            size = min(BATCH, limit)
            rows = await records.page(connection_id, dataset, size, after)
            if rows:
                yield rows
                after = rows[-1]["id"]
            limit, full = limit - len(rows), len(rows) == size


async def _next(batches: AsyncIterator[Sequence[Values]]) -> Sequence[Values]:
    """The next batch; empty at the end. (`anext` of Python 3.11 fails with a tuple as default.)"""
    try:
        return await anext(batches)
    except StopAsyncIteration:
        return ()


async def _records(
    rows: Sequence[Values], batches: AsyncIterator[Sequence[Values]], page: Page
) -> AsyncIterator[bytes]:
    """`shapes.Records` as JSON, encoded only as fast as the client reads: a page may have tens of
    megabytes."""
    count, separator, last = 0, b'{"records":[', None
    while batch := rows[: page.limit - count]:
        yield separator + b",".join(msgspec.json.encode(serialize.record(row)) for row in batch)
        count, separator, last = count + len(batch), b",", batch[-1]
        more = len(rows) > len(batch)
        rows = rows[len(batch) :] if more else await _next(batches)
    next_cursor = page.cursor((last["connection_id"], last["id"])) if last and rows else None
    start = b"" if count else separator
    yield start + b'],"nextCursor":' + msgspec.json.encode(next_cursor) + b"}"


def _given(**filters: str) -> dict[str, Any]:
    return {name: text for name, text in filters.items() if text}


def _span(query: HistoryQuery | AuditQuery) -> dict[str, Any]:
    since, until = moment(query.from_, "from"), moment(query.to, "to")
    return _given(
        since=stamp(since) if since else "",
        until=stamp(until) if until else "",
    )
