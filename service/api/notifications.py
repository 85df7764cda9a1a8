"""Notifications of sources."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import parts
from service.wire import responses
from service.wire.notification_shapes import NotificationOut, NotificationsOut
from service.wire.reading import read_bytes

SIGNATURE = "X-Signature"


async def receive(request: Request) -> Response:
    """Receive notifications of a connector's source, signed by `X-Signature`. A short sync reads
    the records that they name, once the user has no other live sync."""
    connector, notifications = request.path_params["connector"], parts(request).notifications
    body = await read_bytes(request)
    notifications.check(connector, body, request.headers.get(SIGNATURE, ""))
    received = await notifications.receive(connector, body)
    shown = [NotificationOut(one.id, one.outcome, one.why or None) for one in received]
    return responses.JSON(NotificationsOut(shown), status_code=202)
