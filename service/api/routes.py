"""The whole surface on one page."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from service.api import connections, history, recoveries, session, sse, syncs, wire
from service.api.parts import parts
from service.errors import NotReady

WEB = Path(__file__).parent.parent / "web"


async def healthz(_: Request) -> Response:
    """The process is alive."""
    return wire.JSON({"status": "ok"})


async def readyz(request: Request) -> Response:
    """The store answers; its schema was brought up to date before we began to listen."""
    try:
        await parts(request).store.ping()
    except Exception as error:
        raise NotReady("The database does not answer.") from error
    return wire.JSON({"status": "ready"})


class Files(StaticFiles):
    """The dashboard's files: asked for anew each time (they have ETags), so that after an upgrade
    no browser mixes old modules with new ones."""

    def file_response(self, *args: Any, **options: Any) -> Response:
        response = super().file_response(*args, **options)
        response.headers["Cache-Control"] = "no-cache"
        return response


async def dashboard(_: Request) -> Response:
    """The page at /."""
    return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})


def _route(path: str, **endpoints: Callable[[Request], Awaitable[Response]]) -> Route:
    """One route for all the methods of a path, so that a wrong one is told of each in `Allow`."""

    async def chosen(request: Request) -> Response:
        return await endpoints["GET" if request.method == "HEAD" else request.method](request)

    return Route(path, chosen, methods=list(endpoints))


routes: list[BaseRoute] = [
    Route("/api/sync/status/{sync_id}", syncs.status),
    Route("/api/sse/sync-progress/{sync_id}", sse.sync_progress),
    Route("/api/sse/syncs", sse.all_syncs),
    Route("/api/sse/ticket", sse.ticket, methods=["POST"]),
    Route("/api/sync/start", syncs.start, methods=["POST"]),
    Route("/api/sync/force", syncs.start, methods=["POST"]),
    Route("/api/sync/status", syncs.current),
    Route("/api/sync/cancel/{sync_id}", syncs.cancel, methods=["POST"]),
    Route("/api/sync/resume/{sync_id}", syncs.resume, methods=["POST"]),
    Route("/api/sync/history", history.history),
    Route("/api/sync/history/{sync_id}", history.one),
    Route("/api/sync/history/{sync_id}/items", history.items),
    Route("/api/data/{dataset}", history.data),
    Route("/api/audit", history.audit),
    _route("/api/connections", GET=connections.list_all, POST=connections.connect),
    Route("/api/connections/{connector}/authorize", connections.authorize),
    Route("/api/connections/{connector}/callback", connections.callback),
    _route("/api/connections/{connection_id}", GET=connections.one, DELETE=connections.forget),
    Route("/api/connections/{connection_id}/reconnect", connections.reconnect, methods=["POST"]),
    Route("/api/connections/{connection_id}/schedule", connections.schedule, methods=["PUT"]),
    Route("/api/connections/{connection_id}/sync-status", connections.sync_status),
    Route("/api/recoveries", recoveries.list_all),
    Route("/api/recoveries/{claim_id}", recoveries.one),
    _route("/api/costs", GET=recoveries.costs, PUT=recoveries.put_costs),
    _route("/api/session", POST=session.begin, DELETE=session.end),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/", dashboard),
    Mount("/web", Files(directory=WEB)),
]
