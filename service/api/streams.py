"""Event streams of one sync and of all syncs of a user, WebSockets, and tickets for them."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

from starlette.requests import HTTPConnection, Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from service.api.parts import identity, parts
from service.errors import NotFound, ServiceError, UpgradeRequired
from service.model import Sync
from service.store.engine import Unavailable
from service.streams.formats import BLOCKS, MESSAGES, RETRY, Format
from service.streams.hub import Stream
from service.streams.sockets import ProgressSocket, first_messages
from service.streams.sse import ProgressResponse, first_block
from service.wire import responses, serialize, sync_shapes
from service.wire.reading import In, Query, read_body

#: How long a stream of all syncs includes ended ones.
RECENT = timedelta(minutes=1)


class StreamQuery(Query, frozen=True):
    """The query of a stream. Other parameters are ignored: EventSource libraries may add some."""

    #: For clients that cannot set the header Last-Event-ID.
    last_event_id: str | None = None


class TicketIn(In, frozen=True):
    """The sync whose stream the ticket opens."""

    sync_id: str


async def ticket(request: Request) -> Response:
    """Create a ticket for the stream of one sync. An EventSource of another origin needs it."""
    caller = identity(request)
    body = await read_body(request, TicketIn)
    sync = await parts(request).registry.get(caller.actor, body.sync_id)
    text, seconds = parts(request).auth.ticket(caller, sync.id)
    return responses.JSON(sync_shapes.TicketOut(ticket=text, expires_in=seconds))


async def sync_progress(request: Request) -> Response:
    """Stream the status of one sync: the current one, then every change, until the sync ends."""
    # A stream for HEAD could evict another one.
    sync, stream = await _follow(request, BLOCKS if request.method != "HEAD" else None)
    hub = parts(request).hub
    first = first_block(hub, sync, request.headers.get("last-event-id") or _last_id(request))
    if first is None:
        return Response(status_code=204)
    return ProgressResponse(hub, stream, first)


async def sync_progress_socket(request: HTTPConnection) -> ASGIApp:
    """Send the status of one sync as messages: the current one, then every change, until the sync
    ends."""
    sync, stream = await _follow(request, MESSAGES)
    hub = parts(request).hub
    return ProgressSocket(hub, stream, first_messages(hub, sync, _last_id(request)))


async def socket_only(_: Request) -> Response:
    """Open a WebSocket that sends the same events as the stream. A message is a JSON object with
    `event`, `id` and `data`; the code of the close frame is the reason of the end. A request
    without an upgrade is refused."""
    raise UpgradeRequired(headers={"Upgrade": "websocket", "Connection": "Upgrade"})


async def unknown_socket(request: HTTPConnection) -> ASGIApp:
    """Refuse a WebSocket at a path that does not exist."""
    raise NotFound(f"Nothing exists at {request.url.path}. Check the path.")


class Socket:
    """The application of a WebSocket route. It closes the socket for an error of its endpoint:
    Starlette would discard the response of an exception handler."""

    def __init__(self, endpoint: Callable[[HTTPConnection], Awaitable[ASGIApp]]) -> None:
        self._endpoint = endpoint

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        answer: ASGIApp
        try:
            answer = await self._endpoint(HTTPConnection(scope))
        except ServiceError as error:
            answer = responses.problem(error)
        except Unavailable as error:
            answer = responses.unavailable(error)
        await answer(scope, receive, send)


async def _follow(request: HTTPConnection, format: Format | None) -> tuple[Sync, Stream | None]:
    """The sync of the path, and a stream that follows it while it is live. Without a format, there
    is no stream."""
    registry, hub = parts(request).registry, parts(request).hub
    caller, sync_id = identity(request), request.path_params["sync_id"]
    sync = await registry.get(caller.actor, sync_id)
    if not sync.live or format is None:
        return sync, None
    stream = hub.add(caller.actor.user, sync_id, caller.until, format)
    try:  # read again after subscribing, so that no change is missed
        sync = await registry.get(caller.actor, sync_id)
    except BaseException:
        hub.remove(stream)
        raise
    hub.mark_sent(stream, sync)
    if not sync.live:
        hub.remove(stream)
        return sync, None
    return sync, stream


def _last_id(request: HTTPConnection) -> str:
    return request.query_params.get("lastEventId", "")


async def all_syncs(request: Request) -> Response:
    """Stream the status of all syncs of the user. The events have no ids: each connect receives the
    live syncs and those that ended in the last minute."""
    hub, caller = parts(request).hub, identity(request)
    if request.method == "HEAD":
        return ProgressResponse(hub, None, b"")
    stream = hub.add(caller.actor.user, None, caller.until)
    first = serialize.block(retry=RETRY)
    since = parts(request).clock.now() - RECENT
    try:
        for sync in await parts(request).store.recent(caller.actor.user, since):
            first += hub.message(sync, with_id=False)["body"]
            hub.mark_sent(stream, sync)
    except BaseException:
        hub.remove(stream)
        raise
    return ProgressResponse(hub, stream, first)
