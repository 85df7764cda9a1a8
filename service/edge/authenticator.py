"""Who is asking: a Bearer token, the same token in a cookie, a ticket, or demo mode's identity."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from urllib.parse import urlsplit

import msgspec
from starlette.requests import HTTPConnection

from connectors.base import Clock
from service.edge.tickets import LIFE, Ticket, Tickets
from service.edge.token_claims import LONGEST_NAME, unacceptable
from service.edge.tokens import LONGEST, Tokens
from service.errors import Forbidden, Unauthenticated
from service.settings import Settings, is_loopback
from service.users import Actor

COOKIE = "session"
STREAM = "/api/sse/sync-progress/"
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PORTS = {"http": 80, "https": 443}
DEMO_USER = "demo"
LEEWAY = timedelta(minutes=1)
"""How far the clock may be set back without effect on tickets that are out."""
CHALLENGE = {"WWW-Authenticate": "Bearer"}
BAD_TICKET = "The ticket is not good for this stream, or no longer. Get one: POST /api/sse/ticket."


class Identity(msgspec.Struct, frozen=True):
    """An actor, and when what is opened with the credential must end (None: never)."""

    actor: Actor
    until: datetime | None = None


class Authenticator:
    """Tells who a request comes from."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self.demo = settings.demo
        self._clock = clock
        self._tokens = Tokens(settings, clock)
        self._tickets = Tickets(settings.secrets_keys)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While open, tokens can be checked. Raises StartupError if that will never be so."""
        if self.demo:
            yield
            return
        async with self._tokens.open():
            yield

    async def identify(self, request: HTTPConnection) -> Identity:
        """Raises Unauthenticated or Forbidden; AuthUnavailable if it cannot be told now."""
        if request.scope["path"].startswith(STREAM) and "ticket" in request.query_params:
            return self._admit(request, request.query_params["ticket"])
        if self.demo:
            return Identity(_actor(request, DEMO_USER, DEMO_USER, "demo"))
        if token := bearer(request):
            return await self._identity(request, token)
        token = request.cookies.get(COOKIE, "")
        if not token:
            raise Unauthenticated(headers=CHALLENGE)
        if _may_change(request) and not own_page(request):
            raise Forbidden(
                "A request with the session cookie must come from this service's own pages: its "
                "Origin is missing or foreign. Programs send a Bearer token instead."
            )
        return await self._identity(request, token)

    def ticket(self, who: Identity, sync_id: str) -> tuple[str, int]:
        """A ticket for the stream of one sync, and its life in seconds: no longer than `who` is
        good for."""
        now = self._clock.now()
        until = min(now + LIFE, who.until or now + LIFE)
        actor = who.actor
        ticket = Ticket(actor.sub, actor.tenant, actor.plan, sync_id, until.timestamp())
        return self._tickets.write(ticket), int((until - now).total_seconds())

    def _admit(self, request: HTTPConnection, text: str) -> Identity:
        """A ticket is for the stream of its own sync, and for a time."""
        try:
            ticket = self._tickets.read(text[:LONGEST])
        except ValueError as error:
            raise unacceptable(BAD_TICKET) from error
        theirs = request.scope["path"] == STREAM + ticket.sync_id
        left = ticket.until - self._clock.now()
        if not theirs or not timedelta(0) < left <= LIFE + LEEWAY:  # more: the clock was set back
            raise unacceptable(BAD_TICKET)
        return Identity(_actor(request, ticket.sub, ticket.tenant, ticket.plan), ticket.until)

    async def _identity(self, request: HTTPConnection, token: str) -> Identity:
        claims = await self._tokens.read(token)
        actor = _actor(request, claims.sub, claims.tenant, claims.plan, claims.role)
        until = claims.until(self._clock.now().timestamp())
        return Identity(actor, datetime.fromtimestamp(min(until, 2**33), UTC))


def _may_change(request: HTTPConnection) -> bool:
    """A WebSocket is opened by GET, from any page and with the cookie: whose it is, counts too."""
    return request.scope["type"] == "websocket" or request.scope["method"] not in SAFE_METHODS


def bearer(request: HTTPConnection) -> str | None:
    """The token of the Authorization header. Raises Unauthenticated if that is another scheme."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise unacceptable("The Authorization header must read: Bearer <token>.")
    return token.strip()


def own_page(request: HTTPConnection) -> bool:
    """Whether a browser says that one of our own pages sent this: by Origin, by the newer
    Sec-Fetch-Site, or by both of them. No script can set either."""
    site = request.headers.get("sec-fetch-site")
    if "origin" not in request.headers:
        return site == "same-origin"
    return site in (None, "same-origin") and same_origin(request)


def same_origin(request: HTTPConnection) -> bool:
    """Whether Origin is the address that was asked for. Behind a proxy that we do not trust that
    may be HTTPS without our knowing; but where we know of it, plain HTTP is another origin."""
    scheme, _, origin = request.headers.get("origin", "").partition("://")
    if scheme not in PORTS or (scheme == "http" and request.scope["scheme"] in ("https", "wss")):
        return False
    host = _place(scheme, request.headers.get("host", ""))
    return host is not None and host == _place(scheme, origin)


def _place(scheme: str, text: str) -> tuple[str, int] | None:
    """Host and port, of which a scheme's own may be left out; None for what is no such thing."""
    try:
        parts = urlsplit(f"//{text}")
        if not parts.hostname or parts.netloc != text or "@" in text:
            return None
        return parts.hostname, PORTS[scheme] if parts.port is None else parts.port
    except ValueError:  # for example [
        return None


def demo_refusal(request: HTTPConnection) -> Forbidden | None:
    """Demo mode lets everybody in, so it must not be reached by another name (DNS rebinding) or
    from a foreign page."""
    try:
        host = urlsplit(f"//{request.headers.get('host', '')}").hostname or ""
    except ValueError:
        host = ""
    if not is_loopback(host):
        return Forbidden("Demo mode answers on loopback only. Open it as http://127.0.0.1.")
    if "origin" in request.headers and not same_origin(request):
        return Forbidden("Demo mode answers to its own pages only.")
    return None


def _actor(request: HTTPConnection, sub: str, tenant: str, plan: str, role: str = "") -> Actor:
    address = request.client.host if request.client else ""
    agent = request.headers.get("user-agent", "")[:LONGEST_NAME]
    return Actor(sub, tenant, plan, address, agent, role)
