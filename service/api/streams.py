"""Event streams of one sync and of all syncs of a user, and tickets for them."""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import identity, parts
from service.streams.hub import RETRY
from service.streams.sse import ProgressResponse, first_block
from service.wire import responses, serialize, sync_shapes
from service.wire.reading import In, Query, read_body

#: How long a stream of all syncs shows those that have ended.
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
    registry, hub = parts(request).registry, parts(request).hub
    caller, sync_id = identity(request), request.path_params["sync_id"]
    sync = await registry.get(caller.actor, sync_id)
    stream = None
    if sync.live and request.method != "HEAD":  # a stream for HEAD could evict another one
        stream = hub.add(caller.actor.user, sync_id, caller.until)
    try:
        if stream:  # read again after subscribing, so that no change is missed
            sync = await registry.get(caller.actor, sync_id)
            hub.mark_sent(stream, sync)
            if not sync.live:
                hub.remove(stream)
                stream = None
        first = first_block(request, hub, sync)
    except BaseException:
        if stream:
            hub.remove(stream)
        raise
    if first is None:
        return Response(status_code=204)
    return ProgressResponse(hub, stream, first)


async def all_syncs(request: Request) -> Response:
    """Stream the status of all syncs of the user. The events have no ids: each connect receives the
    live syncs and those that ended in the last minute."""
    hub, caller = parts(request).hub, identity(request)
    if request.method == "HEAD":
        return ProgressResponse(hub, None, b"")
    stream = hub.add(caller.actor.user, None, caller.until)
    first = serialize.block(retry=RETRY)
    since = parts(request).clock.now() - RECENT
    for sync in parts(request).registry.all_of(caller.actor.user):
        if sync.live or (sync.completed_at and sync.completed_at >= since):
            first += hub.message(sync, with_id=False)["body"]
            hub.mark_sent(stream, sync)
    return ProgressResponse(hub, stream, first)
