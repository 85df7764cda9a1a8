"""The claims of a token (RFC 7519, section 4): the user, and the period of validity."""

import unicodedata
from collections.abc import Mapping
from typing import Any

import msgspec

from service.errors import Unauthenticated

LEEWAY = 60.0
"""Seconds by which the clocks of the issuer and of this service may differ."""
MAX_NAME = 200
OPERATOR = "operator"
JWKS_PREFIX = "jwks:"
"""Prefix of the tenants of AUTH_JWKS where both issuers are set. No token may name such a
tenant itself: otherwise an issuer that is added later could share tenants with the first."""
UNPRINTABLE = frozenset({"Cc", "Cs", "Zl", "Zp"})
"""Unicode categories: control characters, surrogates, line and paragraph separators."""


class Claims(msgspec.Struct, frozen=True):
    """The claims that the service reads. Times are seconds since 1970."""

    sub: str
    tenant: str
    plan: str
    #: OPERATOR or empty: other roles are ignored.
    role: str
    exp: float
    nbf: float = 0
    iat: float = 0
    iss: Any = None
    aud: Any = None

    def refusal(self, now: float) -> str | None:
        """The reason why the token is not valid at that time; None if it is valid. NaN is also
        refused."""
        if not now < self.exp + LEEWAY:
            return "The token has expired. Get a new one."
        if not self.nbf - LEEWAY <= now:
            return "The token is not valid yet. Check its `nbf` and the issuer's clock."
        if not self.iat - LEEWAY <= now:
            return "The token was issued in the future. Check its `iat` and the issuer's clock."
        return None

    def until(self, now: float) -> float:
        """The time when a stream that was opened with the token must end: `exp`, or the end of the
        leeway if `exp` has passed, so that a client in the leeway does not reconnect in a loop."""
        return self.exp if now < self.exp else self.exp + LEEWAY


class _Registered(msgspec.Struct, frozen=True):
    """The claims about validity, issuer and audience."""

    exp: float
    nbf: float = 0
    iat: float = 0
    iss: Any = None
    aud: Any = None


def read_claims(payload: Mapping[str, Any], tenant_claim: str, prefix: str = "") -> Claims:
    """The claims of a verified token. `prefix` is put before the tenant's name.

    Raises Unauthenticated, which names the invalid claim."""
    sub = _name("sub", payload.get("sub", ""))
    tenant = _name(tenant_claim, _find(payload, tenant_claim, default=sub))
    if tenant.startswith(JWKS_PREFIX):
        raise invalid_token(
            f"The tenant of the token must not start with `{JWKS_PREFIX}`. Change its "
            f"`{tenant_claim}`, or its `sub` if that is missing."
        )
    plan = payload.get("plan", "")
    try:
        registered = msgspec.convert(payload, _Registered)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`$.", "`")
        raise invalid_token(f"The token has a claim that is not valid: {reason}.") from error
    return Claims(
        sub=sub,
        tenant=f"{prefix}{tenant}",
        plan=plan if plan == "" else _name("plan", plan),
        role=OPERATOR if payload.get("role") == OPERATOR else "",
        **msgspec.structs.asdict(registered),
    )


def invalid_token(detail: str = "The token is not valid. Get a new one.") -> Unauthenticated:
    challenge = 'Bearer error="invalid_token"'
    return Unauthenticated(detail, headers={"WWW-Authenticate": challenge})


def _find(payload: Mapping[str, Any], claim: str, default: str) -> Any:
    """A claim by its exact name, otherwise by its dotted path into nested objects."""
    if claim in payload:
        return payload[claim]
    value: Any = payload
    for part in claim.split("."):
        if not isinstance(value, Mapping) or part not in value:
            return default
        value = value[part]
    return value


def _name(claim: str, value: Any) -> str:
    """A name that is safe as a database key, in a log line and in a table cell."""
    text = value if isinstance(value, str) else ""
    if not 0 < len(text) <= MAX_NAME or UNPRINTABLE & {*map(unicodedata.category, text)}:
        raise invalid_token(
            f"The token's `{claim}` must be text of 1 to {MAX_NAME} characters, without "
            "control characters or line separators."
        )
    return text
