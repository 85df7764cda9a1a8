"""The tokens (JWT, RFC 7519) that say who is asking: whose signature counts, what they must say."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from joserfc import jws, jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import GuestProtocol, Key, OctKey

from connectors.base import Clock
from service.edge.keys import ALGORITHMS, PublicKeys
from service.edge.token_claims import JWKS, Claims, read_claims, unacceptable
from service.settings import Settings

SECRET = "HS256"  # noqa: S105 - the algorithm of a shared secret
# Headers that we do not know are no reason to refuse (RFC 7515, section 4), critical ones are.
ACCEPTED = jws.JWSRegistry(algorithms=[SECRET, *ALGORITHMS.values()], strict_check_header=False)
REMEMBERED = 10_000
REMEMBERED_FOR = 60.0
"""Seconds after which a token is verified anew: its key may have been withdrawn."""
LONGEST = 8192
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


class _Verified(msgspec.Struct, frozen=True):
    claims: Claims
    at: float


class Tokens:
    """Reads tokens. Verified ones are remembered: verifying costs more than answering a poll."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._issuer = settings.auth_issuer
        self._audience = settings.auth_audience
        self._tenant_claim = settings.auth_tenant_claim
        self._secret = OctKey.import_key(settings.auth_secret) if settings.auth_secret else None
        self._public = PublicKeys(settings.auth_jwks) if settings.auth_jwks else None
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While open, the issuer's keys are kept fresh. Raises StartupError for a bad file."""
        if self._public is None:
            yield
            return
        async with self._public.open():
            yield

    async def read(self, token: str) -> Claims:
        """The claims of a good token. Raises Unauthenticated, or AuthUnavailable if it cannot be
        checked now."""
        claims = self._known(token) or await self._verify(token)
        if refusal := claims.refusal(self._now()):
            self._verified.pop(token, None)
            raise unacceptable(refusal)
        return claims

    def _known(self, token: str) -> Claims | None:
        known = self._verified.get(token)
        # Below 0 a clock was set back: that must not make a token's key good for longer.
        return known.claims if known and 0 <= self._now() - known.at < REMEMBERED_FOR else None

    async def _verify(self, token: str) -> Claims:
        self._verified.pop(token, None)
        if len(token) > LONGEST:
            raise unacceptable()
        try:
            await self._learn(token)
            found = jwt.decode(token, self._key, registry=ACCEPTED)
            prefix = self._prefix(found.header["alg"])
            claims = read_claims(found.claims, self._tenant_claim, prefix)
        except UNREADABLE as error:
            raise unacceptable() from error
        self._check_destination(claims)
        self._verified[token] = _Verified(claims, self._now())
        while len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)
        return claims

    async def _learn(self, token: str) -> None:
        """Wait for the key that a token names, if it must be asked for."""
        headers = jws.extract_compact(token.encode(), None, ACCEPTED).headers()
        ACCEPTED.check_header(headers)
        if self._public and headers["alg"] in ALGORITHMS.values():
            await self._public.learn(headers["alg"], headers.get("kid"))

    def _key(self, token: GuestProtocol) -> Key:
        """The algorithm decides whose key it is: a public one must never pass for a secret."""
        headers = token.headers()
        if headers["alg"] != SECRET and self._public:
            return self._public.find(headers["alg"], headers.get("kid"))
        if headers["alg"] == SECRET and self._secret:
            return self._secret
        raise InvalidKeyIdError

    def _prefix(self, algorithm: str) -> str:
        """Of two issuers each names its own users: no tenant of one is a tenant of the other."""
        both = self._secret is not None and self._public is not None
        return JWKS if both and algorithm != SECRET else ""

    def _check_destination(self, claims: Claims) -> None:
        """Of an issuer that serves many, only what is meant for us counts (section 4.1)."""
        named = claims.aud if isinstance(claims.aud, list) else [claims.aud]
        if self._issuer and claims.iss != self._issuer:
            raise unacceptable("The token comes from another issuer than this service trusts.")
        if self._audience and self._audience not in named:
            raise unacceptable("The token is meant for another service: see its `aud`.")

    def _now(self) -> float:
        return self._clock.now().timestamp()
