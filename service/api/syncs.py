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
        for name in ("since", "until"):
            moment = getattr(self, name)
            if moment and moment.tzinfo is None:
                raise Invalid.field(name, "Must have a time zone: 2026-01-15T12:00:00Z.")
        return StartRequest(
            connection_id=self.connection_id,
            datasets=self.datasets,
            since=self.since,
            until=self.until,
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
    return _status(request, sync)


async def current(request: Request) -> Response:
    """GET /api/sync/status: the caller's live sync, or the newest."""
    return _status(request, await parts(request).registry.current(actor(request)))


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


def _status(request: Request, sync: Sync) -> Response:
    tag = f'"{sync.version}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache"}
    known = request.headers.get("if-none-match")
    if known and tag in [each.strip().removeprefix("W/") for each in known.split(",")]:
        return Response(status_code=304, headers=headers)
    return wire.JSON(parts(request).encoder.status(sync), headers=headers)
