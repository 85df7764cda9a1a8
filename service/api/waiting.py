"""Answers a request when its sync has changed, if the client prefers to wait."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import identity, parts
from service.model import Sync
from service.streams.waiting import Condition
from service.wire.preferences import read_wait

LONGEST = 58.0
"""Seconds after which a wait of up to 60 s ends: nginx, by default, gives up after 60 s."""


def preferred_wait(request: Request) -> int | None:
    """The seconds that the client prefers to wait; None if it does not."""
    return read_wait(request.headers.getlist("prefer"))


async def wait_until(condition: Condition, request: Request, sync_id: str, seconds: float) -> Sync:
    """The sync as soon as it meets the condition, or as it is when the time is over.

    The time is also over when the credential of the request expires, its client disconnects, the
    service stops, or its user has more waiting requests than a user may have streams. Raises
    NotFound."""
    registry, caller = parts(request).registry, identity(request)
    seconds = min(seconds, LONGEST)
    if caller.until:
        left = (caller.until - parts(request).clock.now()).total_seconds()
        seconds = max(0.0, min(seconds, left))
    with parts(request).hub.waiters.add(caller.actor.user, sync_id, condition) as waiter:
        sync = await registry.get(caller.actor, sync_id)
        if condition(sync):
            return sync
        await waiter.wait(seconds, request.receive)
    return waiter.sync or await registry.get(caller.actor, sync_id)


def applied(response: Response, seconds: int) -> Response:
    """The response, with the maximum seconds that the request would have waited."""
    response.headers["Preference-Applied"] = f"wait={seconds}"
    return response
