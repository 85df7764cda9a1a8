"""The id of each request, which appears in X-Request-Id of the response and in its log lines."""

import os
import re
from collections.abc import Iterable, Mapping

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

HEADER = b"x-request-id"
REQUEST_ID = "service.request_id"
"""The key of the id in the scope of a request."""

_ACCEPTED = re.compile(rb"[\x21-\x7e]{1,128}")


class RequestIds:
    """Wraps the whole application, so that every response has the id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = scope[REQUEST_ID] = _sent_id(scope["headers"]) or _new_id()
        # It stays bound: the server logs an unexpected error after this call, in the same context,
        # which is that of the request's own task.
        structlog.contextvars.bind_contextvars(request_id=request_id)
        header = (HEADER, request_id.encode())

        async def send_with_id(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], header]
            await send(message)

        await self._app(scope, receive, send_with_id)


def request_id_of(scope: Mapping[str, object] | None) -> str:
    """The id of a request; a new one if the application has not seen the request."""
    known = (scope or {}).get(REQUEST_ID)
    return str(known) if known else _new_id()


def _sent_id(headers: Iterable[tuple[bytes, bytes]]) -> str | None:
    """The id that the client sent: one header of 1 to 128 visible ASCII characters."""
    values = [value for name, value in headers if name == HEADER]
    if len(values) == 1 and _ACCEPTED.fullmatch(values[0]):
        return values[0].decode()
    return None


def _new_id() -> str:
    return os.urandom(16).hex()
