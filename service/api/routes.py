"""The whole surface on one page."""

from pathlib import Path

from starlette.requests import Request
from starlette.responses import FileResponse, Response
from starlette.routing import BaseRoute, Mount, Route
from starlette.staticfiles import StaticFiles

from service.api import connections, history, session, sse, syncs, wire
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


async def dashboard(_: Request) -> Response:
    """The page at /."""
    return FileResponse(WEB / "index.html", headers={"Cache-Control": "no-cache"})


routes: list[BaseRoute] = [
    Route("/api/sync/status/{sync_id}", syncs.status),
    Route("/api/sse/sync-progress/{sync_id}", sse.sync_progress),
    Route("/api/sse/syncs", sse.all_syncs),
    Route("/api/sync/start", syncs.start, methods=["POST"]),
    Route("/api/sync/force", syncs.start, methods=["POST"]),
    Route("/api/sync/status", syncs.current),
    Route("/api/sync/cancel/{sync_id}", syncs.cancel, methods=["POST"]),
    Route("/api/sync/resume/{sync_id}", syncs.resume, methods=["POST"]),
    Route("/api/sync/history", history.history),
    Route("/api/sync/history/{sync_id}", history.one),
    Route("/api/sync/history/{sync_id}/items", history.items),
    Route("/api/data/{dataset}", history.data),
    Route("/api/connections", connections.list_all),
    Route("/api/connections", connections.connect, methods=["POST"]),
    Route("/api/connections/{connection_id}", connections.one),
    Route("/api/connections/{connection_id}", connections.forget, methods=["DELETE"]),
    Route("/api/session", session.begin, methods=["POST"]),
    Route("/api/session", session.end, methods=["DELETE"]),
    Route("/healthz", healthz),
    Route("/readyz", readyz),
    Route("/", dashboard),
    Mount("/web", StaticFiles(directory=WEB)),
]
