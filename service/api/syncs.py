"""Start, watch, cancel and resume a sync."""

from datetime import datetime
from typing import Literal

from starlette.requests import Request
from starlette.responses import Response

from service.api import wire
from service.api.parts import actor, parts
from service.errors import Invalid
from service.model import Sync
from service.registry import StartRequest, addresses


class StartIn(wire.In, frozen=True):
    """The body of a start. Everything may be left out."""

    connection_id: str | None = None
    datasets: list[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    on_conflict: Literal["reject", "attach"] = "reject"

    def request(self) -> StartRequest:
        since = wire.in_utc(self.since, "since") if self.since else None
        until = wire.in_utc(self.until, "until") if self.until else None
        if since and until and since >= until:
            raise Invalid.field("since", "Must be before until.")
        return StartRequest(
            connection_id=self.connection_id,
            datasets=self.datasets,
            since=since,
            until=until,
            attach=self.on_conflict == "attach",
        )


async def start(request: Request) -> Response:
    """POST /api/sync/start (and /api/sync/force): 202 at once; the sync goes on by itself."""
    who = actor(request)
    body = await wire.read_body(request, StartIn, empty=StartIn())
    sync = await parts(request).registry.start(who, body.request())
    return _accepted(sync, "Sync started successfully")


async def status(request: Request) -> Response:
    """GET /api/sync/status/{sync_id}: from memory; unchanged since the client's version is 304."""
    sync = await parts(request).registry.get(actor(request), request.path_params["sync_id"])
    return _status(request, sync, f'"{sync.version}"')


async def current(request: Request) -> Response:
    """GET /api/sync/status: the caller's live sync, or the newest."""
    sync = await parts(request).registry.current(actor(request))
    return _status(request, sync, f'"{sync.id}.{sync.version}"')  # it may be another one next time


async def cancel(request: Request) -> Response:
    """POST /api/sync/cancel/{sync_id}: what was landed stays."""
    sync = await parts(request).registry.cancel(actor(request), request.path_params["sync_id"])
    return wire.JSON(parts(request).encoder.status(sync))


async def resume(request: Request) -> Response:
    """POST /api/sync/resume/{sync_id}: on from its checkpoint."""
    sync = await parts(request).registry.resume(actor(request), request.path_params["sync_id"])
    return _accepted(sync, "Sync goes on")


def _accepted(sync: Sync, message: str) -> Response:
    where = addresses(sync.id)
    body = {"syncId": sync.id, "status": "in_progress", "message": message, **where}
    return wire.JSON(body, status_code=202, headers={"Location": where["statusUrl"]})


def _status(request: Request, sync: Sync, tag: str) -> Response:
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = request.headers.get("if-none-match")
    tags = [each.strip().removeprefix("W/") for each in known.split(",")] if known else []
    if tag in tags or "*" in tags:
        return Response(status_code=304, headers=headers)
    return wire.JSON(parts(request).encoder.status(sync), headers=headers)
