"""Verifies tokens (JWT, RFC 7519): signature, issuer, audience and times."""

from collections import OrderedDict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import msgspec
from joserfc import jws, jwt
from joserfc.errors import InvalidKeyIdError, JoseError
from joserfc.jwk import GuestProtocol, Key, OctKey

from connectors.base import Clock
from service.edge.keys import ALGORITHMS, PublicKeys
from service.edge.token_claims import JWKS_PREFIX, Claims, invalid_token, read_claims
from service.settings import Settings

SHARED_SECRET = "HS256"  # noqa: S105 - the name of an algorithm, not a secret
# Unknown headers are ignored (RFC 7515, section 4); unknown critical ones are refused.
ACCEPTED = jws.JWSRegistry(
    algorithms=[SHARED_SECRET, *ALGORITHMS.values()], strict_check_header=False
)
CACHE_SIZE = 10_000
CACHE_SECONDS = 60.0
"""Seconds after which a token is verified again: its key may have been withdrawn."""
MAX_TOKEN = 8192
# A token is parsed before its signature is verified. JSON that breaks the parser (deep nesting,
# huge numbers) is treated like a wrong signature.
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
    #: The time when the signature was verified, in seconds since 1970.
    at: float


class Tokens:
    """Verifies and reads tokens. Verified tokens are cached, since verifying takes longer than
    answering a poll."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._clock = clock
        self._issuer = settings.auth_issuer
        self._audience = settings.auth_audience
        self._tenant_claim = settings.auth_tenant_claim
        self._secret = OctKey.import_key(settings.auth_secret) if settings.auth_secret else None
        self._public = PublicKeys(settings.auth_jwks, clock) if settings.auth_jwks else None
        self._verified: OrderedDict[str, _Verified] = OrderedDict()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Refresh the issuer's keys while open. Raises StartupError for an invalid key file."""
        if self._public is None:
            yield
            return
        async with self._public.open():
            yield

    async def read(self, token: str) -> Claims:
        """The claims of a valid token. Raises Unauthenticated, or AuthUnavailable if the key cannot
        be fetched now."""
        claims = self._cached(token) or await self._verify(token)
        if refusal := claims.refusal(self._now()):
            self._verified.pop(token, None)
            raise invalid_token(refusal)
        return claims

    def _cached(self, token: str) -> Claims | None:
        entry = self._verified.get(token)
        # A negative age means that the clock was set back, which must not extend the use of a key.
        return entry.claims if entry and 0 <= self._now() - entry.at < CACHE_SECONDS else None

    async def _verify(self, token: str) -> Claims:
        self._verified.pop(token, None)
        if len(token) > MAX_TOKEN:
            raise invalid_token()
        try:
            await self._fetch_key(token)
            decoded = jwt.decode(token, self._key, registry=ACCEPTED)
            prefix = self._tenant_prefix(decoded.header["alg"])
            claims = read_claims(decoded.claims, self._tenant_claim, prefix)
        except UNREADABLE as error:
            raise invalid_token() from error
        self._check_issuer_and_audience(claims)
        self._verified[token] = _Verified(claims, self._now())
        while len(self._verified) > CACHE_SIZE:
            self._verified.popitem(last=False)
        return claims

    async def _fetch_key(self, token: str) -> None:
        """Fetch the key that the token names, if it is unknown."""
        headers = jws.extract_compact(token.encode(), None, ACCEPTED).headers()
        ACCEPTED.check_header(headers)
        if self._public and headers["alg"] in ALGORITHMS.values():
            await self._public.fetch_missing(headers["alg"], headers.get("kid"))

    def _key(self, token: GuestProtocol) -> Key:
        """The key of a token. Its algorithm selects the kind of key: a public key must never be
        used as a secret."""
        headers = token.headers()
        if headers["alg"] != SHARED_SECRET and self._public:
            return self._public.find(headers["alg"], headers.get("kid"))
        if headers["alg"] == SHARED_SECRET and self._secret:
            return self._secret
        raise InvalidKeyIdError

    def _tenant_prefix(self, algorithm: str) -> str:
        """The prefix of the tenants of an issuer: two issuers may use the same tenant name."""
        both = self._secret is not None and self._public is not None
        return JWKS_PREFIX if both and algorithm != SHARED_SECRET else ""

    def _check_issuer_and_audience(self, claims: Claims) -> None:
        """Refuse tokens of other issuers and for other services (RFC 7519, section 4.1)."""
        audiences = claims.aud if isinstance(claims.aud, list) else [claims.aud]
        if self._issuer and claims.iss != self._issuer:
            raise invalid_token("The token's `iss` is not the issuer that this service trusts.")
        if self._audience and self._audience not in audiences:
            raise invalid_token("The token is for another service. Check its `aud`.")

    def _now(self) -> float:
        return self._clock.now().timestamp()
