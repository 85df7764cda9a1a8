"""Who is asking: a Bearer token, the same token in a cookie, or the one identity of demo mode."""

from collections import OrderedDict
from datetime import UTC, datetime
from urllib.parse import urlsplit

import msgspec
from joserfc import jwt
from joserfc.errors import JoseError
from joserfc.jwk import OctKey
from starlette.requests import HTTPConnection

from connectors.base import Clock
from service.errors import Forbidden, Unauthenticated
from service.model import Actor
from service.settings import Settings, is_loopback

COOKIE = "session"
ALGORITHMS = ["HS256"]
SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
REMEMBERED = 10_000
LONGEST_TOKEN = 8192
LONGEST_NAME = 200
DEMO_USER = "demo"
CHALLENGE = {"WWW-Authenticate": "Bearer"}
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


class Authenticator:
    """Tells who a request comes from. Verified tokens are remembered: verifying costs more than
    answering a poll."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._demo = settings.demo
        self._clock = clock
        self._key = OctKey.import_key(settings.auth_secret) if settings.auth_secret else None
        self._verified: OrderedDict[str, _Claims] = OrderedDict()

    def identify(self, request: HTTPConnection) -> Identity:
        """Raises Unauthenticated or Forbidden."""
        if self._demo:
            return Identity(_actor(request, DEMO_USER, DEMO_USER, "demo"))
        if token := bearer(request):
            return self._identity(request, token)
        token = request.cookies.get(COOKIE, "")
        if not token:
            raise Unauthenticated(headers=CHALLENGE)
        if request.scope.get("method", "GET") not in SAFE_METHODS and not same_origin(request):
            raise Forbidden(
                "A request with the session cookie must come from this service's own pages: its "
                "Origin is missing or foreign. Programs send a Bearer token instead."
            )
        return self._identity(request, token)

    def _identity(self, request: HTTPConnection, token: str) -> Identity:
        claims = self._verified.get(token) or self._verify(token)
        now = self._clock.now().timestamp()
        if not claims.nbf <= now < claims.exp:
            self._verified.pop(token, None)
            raise _unacceptable("The token has expired or is not valid yet. Get a new one.")
        actor = _actor(request, claims.sub, claims.tenant or claims.sub, claims.plan)
        return Identity(actor, datetime.fromtimestamp(min(claims.exp, 2**33), UTC))

    def _verify(self, token: str) -> _Claims:
        if self._key is None or len(token) > LONGEST_TOKEN:
            raise _unacceptable()
        try:
            found = jwt.decode(token, self._key, algorithms=ALGORITHMS).claims
            claims = msgspec.convert(found, _Claims)
            _check_names(claims)
        except UNREADABLE as error:
            raise _unacceptable() from error
        self._verified[token] = claims
        while len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)
        return claims


def bearer(request: HTTPConnection) -> str | None:
    """The token of the Authorization header. Raises Unauthenticated if that is another scheme."""
    header = request.headers.get("authorization")
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise _unacceptable("The Authorization header must read: Bearer <token>.")
    return token.strip()


def same_origin(request: HTTPConnection) -> bool:
    """Whether a browser says that one of our own pages sent this."""
    try:
        origin = urlsplit(request.headers.get("origin", "")).netloc
    except ValueError:  # no address at all, for example http://[
        return False
    return origin == request.headers.get("host", "") != ""


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
