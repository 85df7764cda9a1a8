"""CORS: which pages of other origins may call the API and import its modules. Starlette's
middleware, for these paths only."""

from collections.abc import Sequence

from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

# HEAD is listed because the middleware refuses a preflight for any other method, although browsers
# do not require one for HEAD.
METHODS = ("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE")
REQUEST_HEADERS = (
    *("Authorization", "Content-Type", "Idempotency-Key", "If-None-Match"),
    *("Last-Event-ID", "Prefer", "X-Request-Id"),
)
RESPONSE_HEADERS = (
    *("ETag", "Location", "Preference-Applied", "RateLimit", "RateLimit-Policy"),
    *("Retry-After", "Stream-Cursor", "Stream-Next-Offset", "Stream-Up-To-Date", "X-Request-Id"),
)
MODULES = "/web/"
"""Browsers load modules of another origin as they send calls: with CORS."""


class ApiCors(CORSMiddleware):
    """Wraps the whole application, so that pages can also read error responses.

    Credentials are not allowed: other origins send a token or a ticket. Browsers would send the
    session cookie (SameSite=Lax) from another origin of the same site, which must not use it."""

    def __init__(self, app: ASGIApp, origins: Sequence[str]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=METHODS,
            allow_headers=REQUEST_HEADERS,
            expose_headers=RESPONSE_HEADERS,
            max_age=600,
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith(("/api/", MODULES)):
            await super().__call__(scope, receive, send)
        else:
            await self.app(scope, receive, send)
