"""Server-Sent Events: what a stream begins with, and when it need not begin at all."""

from collections.abc import AsyncIterator
from datetime import timedelta

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api import wire
from service.api.hub import RETRY, SLOT, Hub, Stream
from service.api.parts import identity, parts
from service.model import Sync

LATELY = timedelta(minutes=1)


class ProgressResponse(EventSourceResponse):
    """Sends the head and the first block, then leaves the stream to the hub."""

    def __init__(self, stream: Stream, first: bytes, ended: bool) -> None:
        super().__init__(_nothing(), headers={"Cache-Control": "no-store"}, ping=0, sep="\n")
        self._stream = stream
        self._first = first
        self._ended = ended

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            await super().__call__(scope, receive, send)
            return
        head = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(head)
        body = {"type": "http.response.body", "body": self._first, "more_body": not self._ended}
        await send(body)
        if not self._ended:
            scope["extensions"][SLOT].append(self._stream)


async def sync_progress(request: Request) -> Response:
    """GET /api/sse/sync-progress/{sync_id}: one sync as it is now, then as it changes."""
    here = parts(request)
    who = identity(request)
    await here.registry.get(who.actor, request.path_params["sync_id"])
    stream = here.hub.add(who.actor.user, request.path_params["sync_id"], who.until)
    try:
        sync = await here.registry.get(who.actor, request.path_params["sync_id"])
        asked = request.headers.get("last-event-id") or request.query_params.get("lastEventId")
        first = wire.block(retry=RETRY)
        if asked is not None and _known(asked, sync):
            if int(asked) >= sync.version and not sync.live:
                here.hub.remove(stream)
                return Response(status_code=204)
            first += b"" if int(asked) == sync.version else _snapshot(here.hub, sync)
        else:
            first += wire.block(event="reset", data="{}") if asked else b""
            first += _snapshot(here.hub, sync)
        here.hub.told(stream, sync)
        return _response(here.hub, request, stream, first, ended=not sync.live)
    except BaseException:
        here.hub.remove(stream)
        raise


async def all_syncs(request: Request) -> Response:
    """GET /api/sse/syncs: every sync of the user on one stream. It has no ids: each connect sends
    every live sync and those that ended in the last minute."""
    here = parts(request)
    who = identity(request)
    stream = here.hub.add(who.actor.user, None, who.until)
    first = wire.block(retry=RETRY)
    since = here.clock.now() - LATELY
    for sync in here.registry.all_of(who.actor.user):
        if sync.live or (sync.completed_at and sync.completed_at >= since):
            first += here.hub.message(sync, with_id=False)["body"]
            here.hub.told(stream, sync)
    return _response(here.hub, request, stream, first, ended=False)


def _response(hub: Hub, request: Request, stream: Stream, first: bytes, ended: bool) -> Response:
    if ended or request.method == "HEAD":
        hub.remove(stream)
    return ProgressResponse(stream, first, ended)


def _snapshot(hub: Hub, sync: Sync) -> bytes:
    body: bytes = hub.message(sync, with_id=True)["body"]
    return body


def _known(asked: str, sync: Sync) -> bool:
    """Whether an id is one that this sync has had; past a terminal version is as good as at it."""
    if not (asked.isascii() and asked.isdigit() and len(asked) < 12):
        return False
    return 1 <= int(asked) <= sync.version or (not sync.live and int(asked) > sync.version)


async def _nothing() -> AsyncIterator[str]:
    never: tuple[str, ...] = ()
    for each in never:
        yield each
