"""JSON responses, and problems (RFC 9457), also as the end of a WebSocket."""

from typing import Any

import msgspec
import structlog
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from service.errors import ServiceError, StoreUnavailable
from service.store.engine import Unavailable
from service.wire.frames import close_for

log = structlog.get_logger()

#: Characters of one text in a problem.
LONGEST_TEXT = 1000


class JSON(Response):
    """A value encoded as JSON; bytes are sent as they are."""

    media_type = "application/json"

    def render(self, content: Any) -> bytes:
        return content if isinstance(content, bytes) else msgspec.json.encode(content)


class ProblemResponse(Response):
    """A problem. A WebSocket is accepted and then closed: browsers show the code of a close frame,
    but no response to a handshake."""

    def __init__(self, error: ServiceError, body: bytes) -> None:
        headers, kind = dict(error.headers), "application/problem+json"
        super().__init__(body, error.status, headers, media_type=kind)
        self._error = error

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send(close_for(self._error))
        else:
            await super().__call__(scope, receive, send)


def unavailable(error: Unavailable) -> Response:
    """The problem for a database that does not respond. The first one is logged."""
    if not error.logged:
        log.error("database_away", reason=str(error))
    return problem(StoreUnavailable(headers={"Retry-After": "5"}))


def problem(error: ServiceError) -> Response:
    """An error as RFC 9457 defines it, with the fields of `Problem`."""
    body: dict[str, Any] = {
        "type": f"urn:problem:{error.code}",
        "title": error.title,
        "status": error.status,
        "detail": _clipped(error.detail),
        "code": error.code,
        **error.more,
    }
    if error.errors:
        body["errors"] = [{k: _clipped(v) for k, v in fault.items()} for fault in error.errors]
    return ProblemResponse(error, msgspec.json.encode(body))


def _clipped(text: str) -> str:
    """The text, shortened if necessary: it may repeat long input of the client."""
    half = LONGEST_TEXT // 2
    return text if len(text) <= LONGEST_TEXT else f"{text[:half]} … {text[-half:]}"
