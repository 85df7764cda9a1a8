"""Identifies callers by a Bearer token, a session cookie, a stream ticket, or demo mode."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec
from starlette.requests import HTTPConnection

from connectors.base import Clock
from service.edge.tickets import LIFETIME, Ticket, Tickets
from service.edge.token_claims import MAX_NAME, invalid_token
from service.edge.tokens import MAX_TOKEN, Tokens
from service.errors import Forbidden, Unauthenticated
from service.settings import Settings, is_loopback
from service.users import Actor

COOKIE = "session"
STREAMS = ("/api/sse/sync-progress/", "/ws/sync-progress/")
"""The prefixes of the paths that a ticket opens; the rest of such a path is the id of its sync."""
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PORTS = {"http": 80, "https": 443}
DEMO_USER = "demo"
LEEWAY = timedelta(minutes=1)
"""How far the clock may be set back while issued tickets remain valid."""
CHALLENGE = {"WWW-Authenticate": "Bearer"}
FOREIGN = (
    "A request with the session cookie must come from a page of this service: its "
    "Origin is missing or different. Programs send a Bearer token instead."
)
BAD_TICKET = (
    "The ticket is not valid for this stream or has expired. Get a new one: POST /api/sse/ticket."
)


class Identity(msgspec.Struct, frozen=True):
    """The caller of a request."""

    actor: Actor
    #: When streams and sessions that were opened with the credential must end; None for never.
    until: datetime | None = None


class Authenticator:
    """Identifies the caller of a request and issues tickets for streams."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.demo = settings.demo
        self._clock = clock
        self._tokens = Tokens(settings, clock)
        self._tickets = Tickets(settings.secrets_keys)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Verify tokens while open. Raises StartupError if the settings make that impossible."""
        if self.demo:
            yield
            return
        async with self._tokens.open():
            yield

    async def identify(self, request: HTTPConnection) -> Identity:
        """Raises Unauthenticated or Forbidden, or AuthUnavailable if keys cannot be fetched now."""
        if request.scope["path"].startswith(STREAMS) and "ticket" in request.query_params:
            return self._identify_by_ticket(request, request.query_params["ticket"])
        if self.demo:
            return Identity(_actor(request, DEMO_USER, DEMO_USER, "demo"))
        if token := bearer(request):
            return await self._identify_by_token(request, token)
        token = request.cookies.get(COOKIE, "")
        if not token:
            raise Unauthenticated(headers=CHALLENGE)
        if not may_use_cookie(request):
            raise Forbidden(FOREIGN)
        return await self._identify_by_token(request, token)

    def ticket(self, identity: Identity, sync_id: str) -> tuple[str, int]:
        """A ticket for the stream of one sync, and its lifetime in seconds. It expires with the
        credential of `identity` at the latest."""
        now = self._clock.now()
        until = min(now + LIFETIME, identity.until or now + LIFETIME)
        actor = identity.actor
        ticket = Ticket(actor.sub, actor.tenant, actor.plan, sync_id, until.timestamp())
        return self._tickets.write(ticket), int((until - now).total_seconds())

    def _identify_by_ticket(self, request: HTTPConnection, text: str) -> Identity:
        """A ticket is valid for the stream of its own sync until it expires."""
        try:
            ticket = self._tickets.read(text[:MAX_TOKEN])
        except ValueError as error:
            raise invalid_token(BAD_TICKET) from error
        left = ticket.until - self._clock.now()
        # Above the maximum, the clock was set back after the ticket was issued.
        expired = not timedelta(0) < left <= LIFETIME + LEEWAY
        if expired or request.scope["path"] not in [path + ticket.sync_id for path in STREAMS]:
            raise invalid_token(BAD_TICKET)
        return Identity(_actor(request, ticket.sub, ticket.tenant, ticket.plan), ticket.until)

    async def _identify_by_token(self, request: HTTPConnection, token: str) -> Identity:
        claims = await self._tokens.read(token)
        actor = _actor(request, claims.sub, claims.tenant, claims.plan, claims.role)
        until = claims.until(self._clock.now().timestamp())
        return Identity(actor, datetime.fromtimestamp(min(until, 2**33), UTC))


def bearer(request: HTTPConnection) -> str | None:
    """The token of the Authorization header. Raises Unauthenticated for another scheme."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise invalid_token("The Authorization header must have the form: Bearer <token>.")
    return token.strip()


def may_use_cookie(request: HTTPConnection) -> bool:
    """Whether the session cookie may identify the caller. Browsers send it with an unsafe request,
    and with a WebSocket, which they do not restrict to one origin, from any page of the same site.
    Every browser sends Origin with a WebSocket."""
    if request.scope["type"] == "websocket":
        return "origin" in request.headers and from_own_page(request)
    return request.scope["method"] in SAFE_METHODS or from_own_page(request)


def from_own_page(request: HTTPConnection) -> bool:
    """Whether a browser reports that a page of this service sent the request: by Origin, by the
    newer Sec-Fetch-Site, or by both. Scripts cannot set either header."""
    site = request.headers.get("sec-fetch-site")
    if "origin" not in request.headers:
        return site == "same-origin"
    return site in (None, "same-origin") and same_origin(request)


def same_origin(request: HTTPConnection) -> bool:
    """Whether Origin names the host of the request. An HTTPS origin is accepted on a plain HTTP
    request, since an untrusted proxy may end TLS; an HTTP origin on an HTTPS request is not."""
    scheme, _, origin = request.headers.get("origin", "").partition("://")
    if scheme not in PORTS or (scheme == "http" and request.scope["scheme"] in ("https", "wss")):
        return False
    host = _host_and_port(scheme, request.headers.get("host", ""))
    return host is not None and host == _host_and_port(scheme, origin)


def _host_and_port(scheme: str, text: str) -> tuple[str, int] | None:
    """Host and port, by default the scheme's own; None if the text is not a host."""
    try:
        parts = urlsplit(f"//{text}")
        if not parts.hostname or parts.netloc != text or "@" in text:
            return None
        return parts.hostname, PORTS[scheme] if parts.port is None else parts.port
    except ValueError:  # for example [
        return None


def demo_refusal(request: HTTPConnection) -> Forbidden | None:
    """Demo mode has no authentication, so it refuses requests by another host name (DNS rebinding)
    and from pages of other origins."""
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        return Forbidden("Demo mode accepts loopback addresses only. Open http://127.0.0.1.")
    if "origin" in request.headers and not same_origin(request):
        return Forbidden("Demo mode accepts requests only from its own pages. Use its dashboard.")
    return None


def _actor(request: HTTPConnection, sub: str, tenant: str, plan: str, role: str = "") -> Actor:
    address = request.client.host if request.client else ""
    agent = request.headers.get("user-agent", "")[:MAX_NAME]
    return Actor(sub, tenant, plan, address, agent, role)
