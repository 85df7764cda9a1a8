"""The history of syncs, the outcome of their records, and the audit log."""

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, UnsetType, field
from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import actor, parts
from service.errors import Invalid
from service.model import Status
from service.store.engine import stamp
from service.wire import responses, serialize, sync_shapes
from service.wire.fields import Time
from service.wire.paging import Paged
from service.wire.reading import moment, read_query


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
    #: `true`: only syncs with warnings.
    warnings: Literal["", "true"] = ""
    #: `datasets`: each sync as its status, with its datasets and warnings.
    expand: Literal["", "datasets"] = ""

    def filters(self) -> dict[str, Any]:
        filters = _given(connector=self.connector, connection_id=self.connection_id) | _span(self)
        if self.status:
            filters["statuses"] = [
                status for status in Status if serialize.shown_status(status) == self.status
            ]
        if self.warnings:
            filters["warnings"] = True
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


#: Maximum entries of the audit log that are shown with a sync: the newest.
MAX_MOVES = 100


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
    as_row = serialize.status if query.expand else serialize.history_row
    return responses.JSON(
        {
            "syncs": [as_row(sync) for sync in shown],
            "total": total,
            "nextCursor": next_cursor,
        }
    )


async def one(request: Request) -> Response:
    """Get a sync with its datasets, warnings, attempts and entries of the audit log."""
    caller = actor(request)
    sync = await parts(request).registry.get(caller, request.path_params["sync_id"])
    rows = await parts(request).audit.page(caller.user, {"sync_id": sync.id}, MAX_MOVES)
    return responses.JSON(serialize.whole_sync(sync, rows[::-1]))


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


def _given(**filters: str) -> dict[str, Any]:
    return {name: text for name, text in filters.items() if text}


def _span(query: HistoryQuery | AuditQuery) -> dict[str, Any]:
    since, until = moment(query.from_, "from"), moment(query.to, "to")
    return _given(
        since=stamp(since) if since else "",
        until=stamp(until) if until else "",
    )
