"""Who is asking: a Bearer token, the same token in a cookie, a ticket, or demo mode's identity."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec
from joserfc import jws, jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import GuestProtocol, Key, OctKey
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from connectors.base import Clock
from service.api.keys import PublicKeys
from service.api.tickets import LIFE, Ticket, Tickets
from service.errors import Forbidden, Unauthenticated
from service.model import Actor
from service.settings import Settings, is_loopback

COOKIE = "session"
HS256 = "HS256"
# Headers that we do not know are no reason to refuse (RFC 7515, section 4), critical ones are.
ALGORITHMS = jws.JWSRegistry(algorithms=[HS256, "RS256", "ES256"], strict_check_header=False)
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
PORTS = {"http": 80, "https": 443}
REMEMBERED = 10_000
REMEMBERED_FOR = 60.0
"""Seconds after which a token is verified anew: its key may have been withdrawn."""
LONGEST_TOKEN = 8192
LONGEST_NAME = 200
DEMO_USER = "demo"
CHALLENGE = {"WWW-Authenticate": "Bearer"}
BAD_TICKET = "The ticket is not good for this stream, or no longer. Get one: POST /api/sse/ticket."
# A token is parsed before its signature is known to be good: what its JSON can do to the parser
# (deep nesting, huge numbers) is as much a sign of a bad one as a bad signature.
UNREADABLE = (
    JoseError,
    msgspec.ValidationError,
    ValueError,
    TypeError,
    RecursionError,
    OverflowError,
)


class Identity(msgspec.Struct, frozen=True):
    """An actor, and until when the credential that says so is good (None: for ever)."""

    actor: Actor
    until: datetime | None = None


class _Claims(msgspec.Struct, frozen=True):
    """What our tokens say (RFC 7519). `tenant` is the user's own if it is left out."""

    sub: str
    exp: float
    nbf: float = 0
    tenant: str = ""
    plan: str = ""
    iss: Any = None
    aud: Any = None


class _Verified(msgspec.Struct, frozen=True):
    claims: _Claims
    at: float


class Authenticator:
    """Tells who a request comes from. Verified tokens are remembered: verifying costs more than
    answering a poll."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._demo = settings.demo
        self._clock = clock
        self._issuer = settings.auth_issuer
        self._audience = settings.auth_audience
        self._secret = OctKey.import_key(settings.auth_secret) if settings.auth_secret else None
        self._public = PublicKeys(settings.auth_jwks) if settings.auth_jwks else None
        self._tickets = Tickets(settings.secrets_keys)
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While open, the issuer's keys are kept fresh. Raises StartupError for a bad file."""
        if self._public is None or self._demo:
            yield
            return
        async with self._public.open():
            yield

    def identify(self, request: HTTPConnection) -> Identity:
        """Raises Unauthenticated or Forbidden."""
        if self._demo:
            return Identity(_actor(request, DEMO_USER, DEMO_USER, "demo"))
        if token := bearer(request):
            return self._identity(request, token)
        token = request.cookies.get(COOKIE, "")
        if not token:
            raise Unauthenticated(headers=CHALLENGE)
        if request.scope.get("method", "GET") not in SAFE_METHODS and not own_page(request):
            raise Forbidden(
                "A request with the session cookie must come from this service's own pages: its "
                "Origin is missing or foreign. Programs send a Bearer token instead."
            )
        return self._identity(request, token)

    def ticket(self, who: Identity, sync_id: str) -> tuple[str, int]:
        """A ticket for the stream of one sync, and its life in seconds: no longer than `who` is
        good for."""
        now = self._clock.now()
        until = min(now + LIFE, who.until or now + LIFE)
        actor = who.actor
        ticket = Ticket(actor.user, actor.tenant, actor.plan, sync_id, until.timestamp())
        return self._tickets.write(ticket), int((until - now).total_seconds())

    def admit(self, request: HTTPConnection, text: str, sync_id: str) -> Identity:
        """Who comes with a ticket for that sync. Raises Unauthenticated."""
        try:
            ticket = self._tickets.read(text[:LONGEST_TOKEN])
        except ValueError as error:
            raise _unacceptable(BAD_TICKET) from error
        if ticket.sync_id != sync_id or self._clock.now() >= ticket.until:
            raise _unacceptable(BAD_TICKET)
        return Identity(_actor(request, ticket.user, ticket.tenant, ticket.plan), ticket.until)

    async def ready(self, request: HTTPConnection) -> None:
        """Wait for the key of a token, if it must be asked for: `identify` never waits."""
        token = _carried(request)
        if self._public and token and token not in self._verified:
            try:
                headers = jws.extract_compact(token.encode(), None, ALGORITHMS).headers()
                algorithm, kid = headers["alg"], headers.get("kid")
                ALGORITHMS.check_header(headers)
            except UNREADABLE:
                return
            if algorithm in ("RS256", "ES256"):
                await self._public.learn(algorithm, kid)

    def _identity(self, request: HTTPConnection, token: str) -> Identity:
        now = self._clock.now().timestamp()
        claims = self._remembered(token, now) or self._verify(token, now)
        if not claims.nbf <= now < claims.exp:
            self._verified.pop(token, None)
            raise _unacceptable("The token has expired or is not valid yet. Get a new one.")
        actor = _actor(request, claims.sub, claims.tenant or claims.sub, claims.plan)
        return Identity(actor, datetime.fromtimestamp(min(claims.exp, 2**33), UTC))

    def _remembered(self, token: str, now: float) -> _Claims | None:
        known = self._verified.get(token)
        return known.claims if known and now - known.at < REMEMBERED_FOR else None

    def _verify(self, token: str, now: float) -> _Claims:
        self._verified.pop(token, None)
        if len(token) > LONGEST_TOKEN:
            raise _unacceptable()
        try:
            found = jwt.decode(token, self._key, registry=ALGORITHMS).claims
            claims = msgspec.convert(found, _Claims)
            _check_names(claims)
        except UNREADABLE as error:
            raise _unacceptable() from error
        self._check_destination(claims)
        self._verified[token] = _Verified(claims, now)
        while len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)
        return claims

    def _key(self, token: GuestProtocol) -> Key:
        """The algorithm decides whose key it is: a public one must never pass for a secret."""
        headers = token.headers()
        if headers["alg"] != HS256 and self._public:
            return self._public.find(headers["alg"], headers.get("kid"))
        if headers["alg"] == HS256 and self._secret:
            return self._secret
        raise InvalidKeyIdError

    def _check_destination(self, claims: _Claims) -> None:
        """Of an issuer that serves many, only what is meant for us counts (RFC 7519, 4.1)."""
        named = claims.aud if isinstance(claims.aud, list) else [claims.aud]
        if self._issuer and claims.iss != self._issuer:
            raise _unacceptable("The token comes from another issuer than this service trusts.")
        if self._audience and self._audience not in named:
            raise _unacceptable("The token is meant for another service: see its `aud`.")


class KeysFirst:
    """Middleware: waits for the key that a token needs, so that no endpoint has to."""

    def __init__(self, app: ASGIApp, auth: Authenticator) -> None:
        self._app = app
        self._auth = auth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            await self._auth.ready(HTTPConnection(scope))
        await self._app(scope, receive, send)


def _carried(request: HTTPConnection) -> str:
    """The token that a request comes with, whatever it may be worth."""
    header = request.headers.get("authorization")
    token = request.cookies.get(COOKIE, "") if header is None else header.partition(" ")[2].strip()
    return token if len(token) <= LONGEST_TOKEN else ""


def bearer(request: HTTPConnection) -> str | None:
    """The token of the Authorization header. Raises Unauthenticated if that is another scheme."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unacceptable("The Authorization header must read: Bearer <token>.")
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
    if scheme not in PORTS or (scheme == "http" and request.scope["scheme"] == "https"):
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


def _check_names(claims: _Claims) -> None:
    """Raises ValueError for names that cannot be kept: too long, or half a character."""
    for name in (claims.sub, claims.tenant, claims.plan):
        name.encode()
        if len(name) > LONGEST_NAME:
            raise ValueError("too long")
    if not claims.sub:
        raise ValueError("empty")


def _actor(request: HTTPConnection, user: str, tenant: str, plan: str) -> Actor:
    address = request.client.host if request.client else ""
    agent = request.headers.get("user-agent", "")[:LONGEST_NAME]
    return Actor(user, tenant, plan, address, agent)


def _unacceptable(detail: str = "The token is not acceptable. Get a new one.") -> Unauthenticated:
    challenge = 'Bearer error="invalid_token"'
    return Unauthenticated(detail, headers={"WWW-Authenticate": challenge})
