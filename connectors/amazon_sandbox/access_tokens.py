"""Access tokens: the seller and application each one belongs to, and when it expires."""

import secrets
from collections import OrderedDict

import msgspec

from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.responses import denied


class Grant(msgspec.Struct, frozen=True):
    """An application's permission to act for a seller."""

    identity: Identity
    client_id: str
    #: Seconds since 1970.
    expires: float
    #: Whether it belongs to the application alone; `identity` is then `NO_SELLER`.
    grantless: bool = False


NO_SELLER = Identity(0, 0)


class TokenStore:
    """The newest `maximum` access tokens, consent codes, and the sellers that revoked consent."""

    def __init__(self, maximum: int = 100_000) -> None:
        self._maximum = maximum
        self._grants: OrderedDict[str, Grant] = OrderedDict()
        self._revoked: set[Identity] = set()
        self._codes: dict[str, float] = {}

    def issue(self, identity: Identity, client_id: str, expires: float) -> str | None:
        """A new access token, or None if the seller has revoked consent."""
        if identity in self._revoked:
            return None
        return self._add(Grant(identity, client_id, expires))

    def issue_grantless(self, client_id: str, expires: float) -> str:
        """A new access token of the application itself."""
        return self._add(Grant(NO_SELLER, client_id, expires, grantless=True))

    def issue_restricted(self, grant: Grant, expires: float) -> str:
        """A token for the same seller that also gives access to buyers' personal data."""
        token = f"Atz.sprdt|{secrets.token_urlsafe(48)}"
        self._grants[token] = Grant(grant.identity, grant.client_id, expires)
        return token

    def register_code(self, code: str, expires: float) -> None:
        """Allow the consent code to be redeemed once, until it expires."""
        self._codes[code] = expires

    def redeem(self, code: str, now: float) -> bool:
        """Whether the code is valid. Unregistered codes are valid, because tests invent codes."""
        if code not in self._codes:
            return True
        valid = now < self._codes[code]
        self._codes[code] = 0.0
        return valid

    def _add(self, grant: Grant) -> str:
        token = f"Atza|{secrets.token_urlsafe(48)}"
        self._grants[token] = grant
        if len(self._grants) > self._maximum:
            self._grants.popitem(last=False)
        return token

    def find(self, token: str | None, now: float) -> Grant:
        """The token's grant. As with Amazon, only `details` distinguishes an expired token from an
        invalid one."""
        if not token:
            raise denied("Access token is missing in the request header.")
        grant = self._grants.get(token)
        if grant is None:
            raise denied("The access token you provided is revoked, malformed or invalid.")
        if now >= grant.expires:
            raise denied("The access token you provided has expired.")
        return grant

    def expire(self, token: str) -> None:
        self._grants[token] = msgspec.structs.replace(self._grants[token], expires=0.0)

    def expire_all(self) -> None:
        for token in self._grants:
            self.expire(token)

    def restore(self, identity: Identity) -> None:
        """Undo a revocation: the seller has consented again."""
        self._revoked.discard(identity)

    def revoke(self, identity: Identity) -> None:
        """Invalidate the seller's refresh token and the access tokens issued from it."""
        self._revoked.add(identity)
        self._grants = OrderedDict(
            (token, grant) for token, grant in self._grants.items() if grant.identity != identity
        )
