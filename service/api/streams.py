"""The endpoints of streams: one sync, all syncs of a user, tickets."""

from datetime import timedelta

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import identity, parts
from service.streams.hub import RETRY
from service.streams.sse import ProgressResponse, first_block
from service.wire import responses, serialize, shapes
from service.wire.reading import In, Query, read_body

LATELY = timedelta(minutes=1)


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
    return responses.JSON(shapes.Ticket(ticket=text, expires_in=seconds))


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
            here.hub.mark_sent(stream, sync)
            if not sync.live:
                here.hub.remove(stream)
                stream = None
        first = first_block(request, here.hub, sync)
    except BaseException:
        if stream:
            here.hub.remove(stream)
        raise
    if first is None:
        return Response(status_code=204)
    return ProgressResponse(here.hub, stream, first)


async def all_syncs(request: Request) -> Response:
    """Follow all syncs of the user. It has no ids: each connect sends every live sync and those
    that ended in the last minute."""
    here = parts(request)
    who = identity(request)
    if request.method == "HEAD":
        return ProgressResponse(here.hub, None, b"")
    stream = here.hub.add(who.actor.user, None, who.until)
    first = serialize.block(retry=RETRY)
    since = here.clock.now() - LATELY
    for sync in here.registry.all_of(who.actor.user):
        if sync.live or (sync.completed_at and sync.completed_at >= since):
            first += here.hub.message(sync, with_id=False)["body"]
            here.hub.mark_sent(stream, sync)
    return ProgressResponse(here.hub, stream, first)
