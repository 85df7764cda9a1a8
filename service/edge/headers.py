"""What every answer carries; and in demo mode, who gets one at all."""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.edge.authenticator import demo_refusal
from service.wire import responses

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    # For what is embedded: scripts, pictures. What CORS shares with another origin is not held up.
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
# A year, for this host alone: others of its domain are not ours to speak for. Only over https, as
# RFC 6797 wants it: behind a proxy that we do not trust we cannot know, so it is that proxy's.
ONLY_HTTPS = (b"strict-transport-security", b"max-age=31536000")
NOT_KEPT = (b"cache-control", b"no-store")


class Guard:
    """Around everything, so that an answer to a fault of ours is no exception."""

    def __init__(self, app: ASGIApp, demo: bool) -> None:
        self._app = app
        self._demo = demo

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        more = (*HEADERS, ONLY_HTTPS) if scope["scheme"] in ("https", "wss") else HEADERS
        private = scope["path"].startswith("/api/")

        async def guarded(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *more]
                if private and not any(name == b"cache-control" for name, _ in headers):
                    headers.append(NOT_KEPT)
                message["headers"] = headers
            await send(message)

        refusal = demo_refusal(HTTPConnection(scope)) if self._demo else None
        answer: ASGIApp = responses.problem(refusal) if refusal else self._app
        await answer(scope, receive, guarded)
