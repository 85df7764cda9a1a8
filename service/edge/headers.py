"""Security headers of every response, and the host and origin checks of demo mode."""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.edge.authenticator import demo_refusal
from service.wire import responses
from service.wire.contract import PRIVATE

HEADERS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"same-origin"),
    (b"x-frame-options", b"DENY"),
    (b"cross-origin-opener-policy", b"same-origin"),
    # Applies to embedded scripts and images only. It does not restrict what CORS allows.
    (b"cross-origin-resource-policy", b"same-origin"),
    (b"permissions-policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
    (
        b"content-security-policy",
        b"default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; "
        b"connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    ),
)
# One year, for this host only: other hosts of the domain may have other owners. Over HTTPS only, as
# RFC 6797 requires. Behind an untrusted proxy the scheme is unknown, so that proxy must send it.
HSTS = (b"strict-transport-security", b"max-age=31536000")
NO_STORE = (b"cache-control", b"no-store")


class SecurityHeaders:
    """Wraps the whole application, so that error responses also have the headers."""

    def __init__(self, app: ASGIApp, demo: bool) -> None:
        self._app = app
        self._demo = demo

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        added = (*HEADERS, HSTS) if scope["scheme"] == "https" else HEADERS
        private = scope["path"].startswith(PRIVATE)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = [*message["headers"], *added]
                if private and not any(name == b"cache-control" for name, _ in headers):
                    headers.append(NO_STORE)
                message["headers"] = headers
            await send(message)

        refusal = demo_refusal(HTTPConnection(scope)) if self._demo else None
        app: ASGIApp = responses.problem(refusal) if refusal else self._app
        await app(scope, receive, send_with_headers)
