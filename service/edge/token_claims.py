"""The claims of a token (RFC 7519, section 4): who a user is, and from when to when it is good."""

import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec

from service.errors import Unauthenticated

LEEWAY = 60.0
"""Seconds by which the clocks of an issuer and of this service may differ."""
LONGEST_NAME = 200
OPERATOR = "operator"
JWKS = "jwks:"
"""Where both issuers are set, the tenants of AUTH_JWKS begin so. No token may name such a tenant
itself, whatever is set: else setting the second issuer later could give one the other's tenants."""
UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Categories of Unicode: control characters, half characters, line and paragraph separators."""


class Claims(msgspec.Struct, frozen=True):
    """Who a token is for. Times are seconds since 1970. `role` is OPERATOR or nothing: other roles
    are not ours."""

    sub: str
    tenant: str
    plan: str
    role: str
    exp: float
    nbf: float = 0
    iat: float = 0
    iss: Any = None
    aud: Any = None

    def refusal(self, now: float) -> str | None:
        """Why the token is not good at that time; None if it is. NaN is refused, too."""
        if not now < self.exp + LEEWAY:
            return "The token has expired. Get a new one."
        if not self.nbf - LEEWAY <= now:
            return "The token is not valid yet: see its `nbf` and the clock of its issuer."
        if not self.iat - LEEWAY <= now:
            return "The token was issued in the future: see its `iat` and the clock of its issuer."
        return None

    def until(self, now: float) -> float:
        """When what is opened with the token must end: at `exp`; once that is over, with the
        leeway, so that a stream that comes back does not end at once, again and again."""
        return self.exp if now < self.exp else self.exp + LEEWAY


class _Registered(msgspec.Struct, frozen=True):
    """The registered claims that are not names."""

    exp: float
    nbf: float = 0
    iat: float = 0
    iss: Any = None
    aud: Any = None


def read_claims(said: Mapping[str, Any], tenant_claim: str, prefix: str = "") -> Claims:
    """What a verified token says. `prefix` begins the names of its issuer's tenants.

    Raises Unauthenticated naming the claim that cannot be used."""
    sub = _name("sub", said.get("sub", ""))
    tenant = _name(tenant_claim, _find(said, tenant_claim, otherwise=sub))
    if tenant.startswith(JWKS):
        raise unacceptable(
            f"The tenant of the token must not begin with `{JWKS}`: see its `{tenant_claim}`, or "
            "its `sub` if that is missing."
        )
    plan = said.get("plan", "")
    try:
        rest = msgspec.convert(said, _Registered)
    except msgspec.ValidationError as error:
        words = str(error).replace("`$.", "`")
        raise unacceptable(f"The token's claims cannot be used: {words}.") from error
    return Claims(
        sub=sub,
        tenant=f"{prefix}{tenant}",
        plan=plan if plan == "" else _name("plan", plan),
        role=OPERATOR if said.get("role") == OPERATOR else "",
        **msgspec.structs.asdict(rest),
    )


def unacceptable(detail: str = "The token is not acceptable. Get a new one.") -> Unauthenticated:
    challenge = 'Bearer error="invalid_token"'
    return Unauthenticated(detail, headers={"WWW-Authenticate": challenge})


def _find(said: Mapping[str, Any], claim: str, otherwise: str) -> Any:
    """A claim of that very name; else the dots in it lead into nested objects."""
    if claim in said:
        return said[claim]
    found: Any = said
    for part in claim.split("."):
        if not isinstance(found, Mapping) or part not in found:
            return otherwise
        found = found[part]
    return found


def _name(claim: str, value: Any) -> str:
    """A name that can be a key, a line of a log and a cell of a table."""
    text = value if isinstance(value, str) else ""
    if not 0 < len(text) <= LONGEST_NAME or UNPRINTABLE & {*map(unicodedata.category, text)}:
        raise unacceptable(
            f"The token's `{claim}` must be text of 1 to {LONGEST_NAME} characters, without "
            "control characters or line separators."
        )
    return text
