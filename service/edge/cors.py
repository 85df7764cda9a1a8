"""Pages of other origins (CORS): who may call the API from a browser, and read what it answers."""

from collections.abc import Sequence

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

RawHeaders = Sequence[tuple[bytes, bytes]]

ALLOW_ORIGIN = b"access-control-allow-origin"
EXPOSED = (b"access-control-expose-headers", b"ETag, Location, Retry-After")
VARY = (b"vary", b"Origin")
# They come with a token of their own or with a ticket. Credentials are not among what is allowed:
# the session cookie is SameSite=Lax and does not travel to another site, and to another origin of
# the same site it must not open what it opens to our own pages.
PREFLIGHT = Response(
    status_code=204,
    headers={
        "Access-Control-Allow-Methods": "GET, POST, PUT, DELETE",
        "Access-Control-Allow-Headers": (
            "Authorization, Content-Type, Idempotency-Key, If-None-Match, Last-Event-ID"
        ),
        "Access-Control-Max-Age": "600",
    },
)


class Cors:
    """Around everything under /api, refusals and faults too: a page must be able to read why."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        self._app = app
        self._origins = frozenset(origins)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or not scope["path"].startswith("/api/"):
            await self._app(scope, receive, send)
            return
        asked = Headers(scope=scope)
        more = self._headers(asked.get("origin"))

        async def shared(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *more]
            await send(message)

        ahead = scope["method"] == "OPTIONS" and "access-control-request-method" in asked
        allowed = any(name == ALLOW_ORIGIN for name, _ in more)
        answer: ASGIApp = PREFLIGHT if ahead and allowed else self._app
        await answer(scope, receive, shared)

    def _headers(self, origin: str | None) -> RawHeaders:
        if "*" in self._origins:
            return ((ALLOW_ORIGIN, b"*"), EXPOSED)
        if origin in self._origins and origin is not None:
            return ((ALLOW_ORIGIN, origin.encode()), EXPOSED, VARY)
        return (VARY,)
