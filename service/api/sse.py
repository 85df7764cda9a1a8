"""Server-Sent Events: what a stream begins with, and when it need not begin at all."""

from collections.abc import AsyncIterator
from datetime import timedelta

from sse_starlette import EventSourceResponse
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.api import shapes, wire
from service.api.hub import RETRY, SLOT, Hub, Stream
from service.api.parts import identity, parts
from service.api.reading import In, Query, read_body
from service.model import Sync

LATELY = timedelta(minutes=1)


class ProgressResponse(EventSourceResponse):
    """Sends the head and the first block, then leaves the stream to the hub, if there is one."""

    def __init__(self, hub: Hub, stream: Stream | None, first: bytes) -> None:
        super().__init__(_nothing(), headers={"Cache-Control": "no-store"}, ping=0, sep="\n")
        del self.headers["connection"]  # the server's: with its own `close` there would be two
        self._hub = hub
        self._stream = stream
        self._first = first

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        more = self._stream is not None
        try:
            await send(
                {"type": "http.response.start", "status": 200, "headers": self.raw_headers},
            )
            await send({"type": "http.response.body", "body": self._first, "more_body": more})
        except BaseException:
            if self._stream:  # it never gets to the hand-over, which would have seen to that
                self._hub.remove(self._stream)
            raise
        if self._stream:
            scope["extensions"][SLOT].append(self._stream)


class StreamQuery(Query, frozen=True):
    """What an EventSource of its own making cannot say in a header. Other parameters are let pass:
    some libraries add one of their own."""

    last_event_id: str | None = None


class TicketIn(In, frozen=True):
    """The body of a request for a ticket."""

    sync_id: str


async def ticket(request: Request) -> Response:
    """A ticket for one stream, for the EventSource of a page that was not served from here."""
    who = identity(request)
    body = await read_body(request, TicketIn)
    sync = await parts(request).registry.get(who.actor, body.sync_id)
    text, seconds = parts(request).auth.ticket(who, sync.id)
    return wire.JSON(shapes.Ticket(ticket=text, expires_in=seconds))


async def sync_progress(request: Request) -> Response:
    """Follow one sync: as it is now, then as it changes, until it has ended."""
    here = parts(request)
    who, wanted = identity(request), request.path_params["sync_id"]
    sync = await here.registry.get(who.actor, wanted)
    stream = None
    if sync.live and request.method != "HEAD":  # else it would cost another stream its place
        stream = here.hub.add(who.actor.user, wanted, who.until)
    try:
        if stream:
            sync = await here.registry.get(who.actor, wanted)
            here.hub.told(stream, sync)
            if not sync.live:
                here.hub.remove(stream)
                stream = None
        first = _first(request, here.hub, sync)
    except BaseException:
        if stream:
            here.hub.remove(stream)
        raise
    if first is None:
        return Response(status_code=204)
    return ProgressResponse(here.hub, stream, first)


def _first(request: Request, hub: Hub, sync: Sync) -> bytes | None:
    """What a stream begins with; None if the client knows how the sync ended."""
    asked = request.headers.get("last-event-id") or request.query_params.get("lastEventId")
    first = wire.block(retry=RETRY)
    if not asked:
        return first + _snapshot(hub, sync)
    if not _known(asked, sync):
        return first + wire.block(event="reset", data="{}") + _snapshot(hub, sync)
    if int(asked) < sync.version:
        return first + _snapshot(hub, sync)
    return first if sync.live else None


async def all_syncs(request: Request) -> Response:
    """Follow all syncs of the user. It has no ids: each connect sends every live sync and those
    that ended in the last minute."""
    here = parts(request)
    who = identity(request)
    if request.method == "HEAD":
        return ProgressResponse(here.hub, None, b"")
    stream = here.hub.add(who.actor.user, None, who.until)
    first = wire.block(retry=RETRY)
    since = here.clock.now() - LATELY
    for sync in here.registry.all_of(who.actor.user):
        if sync.live or (sync.completed_at and sync.completed_at >= since):
            first += here.hub.message(sync, with_id=False)["body"]
            here.hub.told(stream, sync)
    return ProgressResponse(here.hub, stream, first)


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
