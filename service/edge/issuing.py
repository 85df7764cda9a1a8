"""Issues tokens (JWT, RFC 7519), for tests and for operators; others come from an issuer."""

import re
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import OctKey

from service.edge.token_claims import OPERATOR, read_claims
from service.edge.tokens import SHARED_SECRET
from service.errors import ServiceError, StartupError
from service.settings import Settings

LONGEST = timedelta(days=366)
_UNITS = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def issue(
    settings: Settings, user: str, tenant: str, role: str, plan: str, life: str, now: datetime
) -> str:
    """A token of a user that is valid from now for `life`, like `8h`. Without a tenant, the tenant
    is the user. Raises StartupError, which names the correction."""
    if not settings.auth_secret:
        raise StartupError(
            "AUTH_SECRET is not set, so this service accepts no tokens that it could sign. Get one "
            "from the issuer of AUTH_JWKS; in demo mode no token is needed."
        )
    claims: dict[str, Any] = {
        "sub": user,
        "iat": int(now.timestamp()),
        "exp": int((now + _duration(life)).timestamp()),
    }
    claims |= {"role": OPERATOR} if role else {}
    claims |= {"plan": plan} if plan else {}
    claims |= {"iss": settings.auth_issuer} if settings.auth_issuer else {}
    claims |= {"aud": settings.auth_audience} if settings.auth_audience else {}
    if tenant:
        _put(claims, settings.auth_tenant_claim.split("."), tenant)
    try:
        read_claims(claims, settings.auth_tenant_claim)  # refuses what the service would refuse
    except ServiceError as error:
        raise StartupError(error.detail) from error
    key = OctKey.import_key(settings.auth_secret)
    return jwt.encode({"alg": SHARED_SECRET, "typ": "JWT"}, claims, key)


def _put(claims: dict[str, Any], path: list[str], tenant: str) -> None:
    *outer, name = path
    for each in outer:
        claims = claims.setdefault(each, {})
    claims[name] = tenant


def _duration(text: str) -> timedelta:
    found = re.fullmatch(r"(\d{1,9})([smhd])", text)
    life = timedelta(**{_UNITS[found[2]]: int(found[1])}) if found else timedelta(0)
    if not timedelta(0) < life <= LONGEST:
        raise StartupError(
            f"{text} is not a valid --ttl. Give a number and a unit, at most {LONGEST.days}d: "
            "90s, 30m, 8h or 7d."
        )
    return life
