"""What has been: the history of syncs, their items, and the records that were landed."""

from collections.abc import Mapping
from typing import Any

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from service.api import wire
from service.api.parts import actor, parts
from service.errors import Invalid, NotFound
from service.model import Status
from service.store.engine import stamp

SHOWN_STATUSES: dict[str, list[Status]] = {
    status.value: [status] for status in Status if status is not Status.PENDING
}
SHOWN_STATUSES["in_progress"].append(Status.PENDING)
OUTCOMES = ("failed", "created", "updated", "unchanged", "deleted")


async def history(request: Request) -> Response:
    """GET /api/sync/history: newest first; a page costs the same at any depth of the cursor."""
    who = actor(request)
    given = wire.query(
        request,
        *("limit", "cursor", "offset", "status", "connector", "connectionId", "from", "to"),
    )
    limit = wire.whole_number(given, "limit", 20, 1, 100)
    offset = wire.whole_number(given, "offset", 0, 0, 10_000)
    before = wire.read_cursor(given, "history", 1)
    if before and "offset" in given:
        raise Invalid.field("offset", "Give either offset or cursor.")
    filters = _filters(given)
    store = parts(request).store
    after = before[0] if before else None
    found, total = await store.history(who.user, filters, limit + 1, after, offset)
    more = len(found) > limit
    return wire.JSON(
        {
            "syncs": [wire.status(sync) for sync in found[:limit]],
            "total": total,
            "nextCursor": wire.cursor("history", found[limit - 1].id) if more else None,
        }
    )


async def one(request: Request) -> Response:
    """GET /api/sync/history/{sync_id}: one sync with its datasets, attempts and warnings."""
    sync = await parts(request).registry.get(actor(request), request.path_params["sync_id"])
    return wire.JSON(wire.whole_sync(sync))


async def audit(request: Request) -> Response:
    """GET /api/audit: who did what, newest first."""
    who = actor(request)
    given = wire.query(request, "limit", "cursor", "action", "syncId", "from", "to")
    limit = wire.whole_number(given, "limit", 20, 1, 100)
    before = wire.read_cursor(given, "audit", 1)
    filters = {"action": given.get("action"), "sync_id": given.get("syncId"), **_span(given)}
    chosen = {name: value for name, value in filters.items() if value}
    log = parts(request).audit
    rows = await log.page(who.user, chosen, limit + 1, before[0] if before else None)
    more = len(rows) > limit
    return wire.JSON(
        {
            "entries": [wire.audit_entry(row) for row in rows[:limit]],
            "nextCursor": wire.cursor("audit", rows[limit - 1]["id"]) if more else None,
        }
    )


async def items(request: Request) -> Response:
    """GET /api/sync/history/{sync_id}/items: what became of single records. Failures are always
    here, other outcomes if the start or the operator asked for them; all are counted."""
    sync = await parts(request).registry.get(actor(request), request.path_params["sync_id"])
    given = wire.query(request, "limit", "cursor", "status", "dataset")
    limit = wire.whole_number(given, "limit", 20, 1, 100)
    outcome = given.get("status")
    if outcome is not None and outcome not in OUTCOMES:
        raise Invalid.field("status", f"Must be one of {', '.join(OUTCOMES)}.")
    after = wire.read_cursor(given, "items", 2)
    rows = await parts(request).store.items(
        sync.id,
        outcome,
        given.get("dataset") or None,
        limit + 1,
        (after[0], after[1]) if after else None,
    )
    page, more = rows[:limit], len(rows) > limit
    last = wire.cursor("items", page[-1]["dataset"], page[-1]["record_id"]) if more else None
    return wire.JSON({"items": [wire.item(row) for row in page], "nextCursor": last})


async def data(request: Request) -> Response:
    """GET /api/data/{dataset}: the landed records, each with its data as it was received."""
    who, dataset = actor(request), request.path_params["dataset"]
    here = parts(request)
    if dataset not in here.sources.datasets:
        raise NotFound(
            f"There is no dataset {dataset}. There are: {', '.join(here.sources.datasets)}."
        )
    given = wire.query(request, "limit", "cursor", "connectionId")
    limit = wire.whole_number(given, "limit", 20, 1, 1000)
    own = [each.id for each in await here.connections.ever(who)]
    if wanted := given.get("connectionId"):
        if wanted not in own:
            raise NotFound(f"You have no connection {wanted}. GET /api/connections lists them.")
        own = [wanted]
    begin, after = wire.read_cursor(given, "data", 2) or ("", "")
    rows: list[Mapping[str, Any]] = []
    for connection in [each for each in own if each >= begin]:
        missing = limit + 1 - len(rows)
        rows += await here.records.page(
            connection, dataset, missing, after if connection == begin else ""
        )
        if len(rows) > limit:
            break
    page, more = rows[:limit], len(rows) > limit
    last = wire.cursor("data", page[-1]["connection_id"], page[-1]["id"]) if more else None
    return wire.JSON(
        msgspec.json.encode({"records": [wire.record(row) for row in page], "nextCursor": last})
    )


def _filters(given: Mapping[str, str]) -> dict[str, Any]:
    filters: dict[str, Any] = {}
    if status := given.get("status"):
        if status not in SHOWN_STATUSES:
            raise Invalid.field("status", f"Must be one of {', '.join(SHOWN_STATUSES)}.")
        filters["statuses"] = SHOWN_STATUSES[status]
    if connector := given.get("connector"):
        filters["connector"] = connector
    if connection := given.get("connectionId"):
        filters["connection_id"] = connection
    return filters | _span(given)


def _span(given: Mapping[str, str]) -> dict[str, str]:
    since, until = wire.moment(given, "from"), wire.moment(given, "to")
    span = {"since": stamp(since)} if since else {}
    return span | ({"until": stamp(until)} if until else {})
