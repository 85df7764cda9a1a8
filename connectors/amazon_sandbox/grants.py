"""Access tokens: whom they speak for, and until when."""

import secrets
from collections import OrderedDict

import msgspec

from connectors.amazon_sandbox.answers import denied
from connectors.amazon_sandbox.generator.identity import Identity


class Grant(msgspec.Struct, frozen=True):
    """An application may act for a seller until `expires` (seconds since 1970).

    A `grantless` one speaks for no seller (`NOBODY`), only for the application.
    """

    identity: Identity
    client_id: str
    expires: float
    grantless: bool = False


NOBODY = Identity(0, 0)


class Grants:
    """The access tokens handed out, the newest `most` of them, and the sellers that revoked."""

    def __init__(self, most: int = 100_000) -> None:
        self._most = most
        self._grants: OrderedDict[str, Grant] = OrderedDict()
        self._revoked: set[Identity] = set()
        self._codes: dict[str, float] = {}

    def issue(self, identity: Identity, client_id: str, expires: float) -> str | None:
        """A new access token; None if the seller has revoked his consent."""
        if identity in self._revoked:
            return None
        return self._keep(Grant(identity, client_id, expires))

    def issue_grantless(self, client_id: str, expires: float) -> str:
        """An access token of the application itself."""
        return self._keep(Grant(NOBODY, client_id, expires, grantless=True))

    def promise(self, code: str, expires: float) -> None:
        """A code was handed out: it can be redeemed once, until then."""
        self._codes[code] = expires

    def redeem(self, code: str, now: float) -> bool:
        """Whether the code is still good. One that was never handed out, but made up, is."""
        if code not in self._codes:
            return True
        good = now < self._codes[code]
        self._codes[code] = 0.0
        return good

    def _keep(self, grant: Grant) -> str:
        token = f"Atza|{secrets.token_urlsafe(48)}"
        self._grants[token] = grant
        if len(self._grants) > self._most:
            self._grants.popitem(last=False)
        return token

    def give_restricted(self, grant: Grant, expires: float) -> str:
        """A token for the same seller that may also see who the buyers are."""
        token = f"Atz.sprdt|{secrets.token_urlsafe(48)}"
        self._grants[token] = Grant(grant.identity, grant.client_id, expires)
        return token

    def find(self, token: str | None, now: float) -> Grant:
        """What the token grants. An expired one says so: a client can tell it from a bad one."""
        if not token:
            raise denied("Access token is missing in the request header.")
        grant = self._grants.get(token)
        if grant is None:
            raise denied("The access token you provided is revoked, malformed or invalid.")
        if now >= grant.expires:
            raise denied("The access token you provided has expired.")
        return grant

    def expire(self, token: str) -> None:
        """This one dies now."""
        self._grants[token] = msgspec.structs.replace(self._grants[token], expires=0.0)

    def expire_all(self) -> None:
        for token in self._grants:
            self.expire(token)

    def restore(self, identity: Identity) -> None:
        """The seller has consented again."""
        self._revoked.discard(identity)

    def revoke(self, identity: Identity) -> None:
        """The seller's refresh token is no longer good, nor what was made from it."""
        self._revoked.add(identity)
        kept = ((token, grant) for token, grant in self._grants.items())
        self._grants = OrderedDict((t, grant) for t, grant in kept if grant.identity != identity)
