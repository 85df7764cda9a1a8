"""Login with Amazon: the token endpoint."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.log import Entry
from connectors.amazon_sandbox.responses import json_response
from connectors.amazon_sandbox.state import Sandbox

PATH = "/auth/o2/token"

_LIFETIME = 3_600
_SCOPES = (
    "sellingpartnerapi::notifications",
    "sellingpartnerapi::client_credential:rotation",
)
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class LoginError(Exception):
    """An error in OAuth's shape, which differs from the API's."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


async def log_in(sandbox: Sandbox, request: Request) -> Response:
    form: Mapping[str, str] = {}
    try:
        form = _read(request.headers.get("content-type", ""), await request.body())
        response = json_response(_tokens(sandbox, form), headers=_NO_STORE)
    except LoginError as error:
        body = {"error": error.error, "error_description": error.description}
        response = json_response(body, error.status, _NO_STORE)
    sandbox.log.append(_entry(sandbox, form, response.status_code))
    return response


def _read(content_type: str, body: bytes) -> Mapping[str, str]:
    """The fields of a form (as documented) or of JSON (as some clients send)."""
    if "json" not in content_type:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    try:
        return msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise LoginError("invalid_request", "The request body is malformed") from None


def _tokens(sandbox: Sandbox, form: Mapping[str, str]) -> object:
    issue = _GRANT_TYPES.get(_grant_type(form))
    if issue is None:
        message = "The authorization grant type is not supported"
        raise LoginError("unsupported_grant_type", message)
    _check_client(form)
    return issue(sandbox, form)


def _from_refresh_token(sandbox: Sandbox, form: Mapping[str, str]) -> object:
    token = form.get("refresh_token", "")
    if not token or "scope" in form:
        message = "a refresh_token without a scope is needed"
        raise LoginError("invalid_request", f"The request is malformed : {message}")
    identity = Identity.of_token(token, sandbox.settings.orders)
    return _granted(sandbox, form, identity, token, "refresh_token")


def _from_code(sandbox: Sandbox, form: Mapping[str, str]) -> object:
    """Redeem a consent code for a refresh token, which never expires."""
    code = form.get("code", "")
    if not code:
        raise LoginError("invalid_request", "The request is malformed : a code is needed")
    identity = Identity.of_code(code, sandbox.settings.orders)
    valid = sandbox.tokens.redeem(code, sandbox.now())
    if identity and valid:
        sandbox.tokens.restore(identity)
    token = "Atzr|" + code
    return _granted(sandbox, form, identity if valid else None, token, "code")


def _granted(
    sandbox: Sandbox, form: Mapping[str, str], identity: Identity | None, token: str, parameter: str
) -> object:
    lifetime = int(sandbox.lifetime(_LIFETIME))
    expires = sandbox.now() + lifetime
    access = identity and sandbox.tokens.issue(identity, form["client_id"], expires)
    if not access:
        message = f"The request has an invalid grant parameter : {parameter}"
        raise LoginError("invalid_grant", f"{message}. User may have revoked the permission.")
    return {
        "access_token": access,
        "token_type": "bearer",
        "expires_in": lifetime,
        "refresh_token": token,
    }


def _from_client(sandbox: Sandbox, form: Mapping[str, str]) -> object:
    """A grantless token, which needs no seller's consent."""
    if form.get("scope") not in _SCOPES or "refresh_token" in form:
        raise LoginError("invalid_scope", "The requested scope is invalid")
    lifetime = int(sandbox.lifetime(_LIFETIME))
    access = sandbox.tokens.issue_grantless(form["client_id"], sandbox.now() + lifetime)
    return {
        "access_token": access,
        "token_type": "bearer",
        "expires_in": lifetime,
        "scope": form["scope"],
    }


_GRANT_TYPES = {
    "refresh_token": _from_refresh_token,
    "authorization_code": _from_code,
    "client_credentials": _from_client,
}


def _grant_type(form: Mapping[str, str]) -> str:
    grant_type = form.get("grant_type")
    if not grant_type:
        message = "The request is missing a required parameter : grant_type"
        raise LoginError("invalid_request", message)
    return grant_type


def _check_client(form: Mapping[str, str]) -> None:
    """Accept any client whose secret does not start with `wrong-`."""
    secret = form.get("client_secret", "")
    if not form.get("client_id") or not secret or secret.startswith("wrong-"):
        raise LoginError("invalid_client", "Client authentication failed", 401)


def _entry(sandbox: Sandbox, form: Mapping[str, str], status: int) -> Entry:
    """The log entry, without tokens and secrets."""
    size = sandbox.settings.orders
    identity = Identity.of_token(form.get("refresh_token", ""), size)
    identity = identity or Identity.of_code(form.get("code", ""), size)
    return Entry(
        at=sandbox.clock.now(),
        method="POST",
        path=PATH,
        operation="token",
        seller=identity.name if identity else None,
        status=status,
        parameters={name: form[name] for name in ("grant_type", "client_id") if name in form},
    )
