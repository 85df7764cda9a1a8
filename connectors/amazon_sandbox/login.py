"""Login with Amazon: the token endpoint."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from connectors.amazon_sandbox.answers import reply
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.log import Entry
from connectors.amazon_sandbox.state import Sandbox

PATH = "/auth/o2/token"

_LIFE = 3_600
_SCOPES = (
    "sellingpartnerapi::notifications",
    "sellingpartnerapi::client_credential:rotation",
)
_NO_STORE = {"Cache-Control": "no-store", "Pragma": "no-cache"}


class LoginRefused(Exception):
    """An error of OAuth: its shape is not that of the API's."""

    def __init__(self, error: str, description: str, status: int = 400) -> None:
        super().__init__(description)
        self.error, self.description, self.status = error, description, status


async def log_in(sandbox: Sandbox, request: Request) -> Response:
    """Answer `POST /auth/o2/token`."""
    form: Mapping[str, str] = {}
    try:
        form = _read(request.headers.get("content-type", ""), await request.body())
        response = reply(_tokens(sandbox, form), headers=_NO_STORE)
    except LoginRefused as refused:
        body = {"error": refused.error, "error_description": refused.description}
        response = reply(body, refused.status, _NO_STORE)
    sandbox.log.append(_entry(sandbox, form, response.status_code))
    return response


def _read(content_type: str, body: bytes) -> Mapping[str, str]:
    """The fields, from a form (as documented) or JSON (as some clients send)."""
    if "json" not in content_type:
        return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    try:
        return msgspec.json.decode(body, type=dict[str, str])
    except (msgspec.DecodeError, UnicodeDecodeError):
        raise LoginRefused("invalid_request", "The request body is malformed") from None


def _tokens(sandbox: Sandbox, form: Mapping[str, str]) -> object:
    answer = _ANSWERS.get(_grant_type(form))
    if answer is None:
        wrong = "The authorization grant type is not supported"
        raise LoginRefused("unsupported_grant_type", wrong)
    _check_client(form)
    return answer(sandbox, form)


def _of_refresh_token(sandbox: Sandbox, form: Mapping[str, str]) -> object:
    token = form.get("refresh_token", "")
    if not token or "scope" in form:
        wrong = "a refresh_token without a scope is needed"
        raise LoginRefused("invalid_request", f"The request is malformed : {wrong}")
    identity = Identity.of_token(token, sandbox.settings.orders)
    return _granted(sandbox, form, identity, token, "refresh_token")


def _of_code(sandbox: Sandbox, form: Mapping[str, str]) -> object:
    """The code of a consent; its refresh token is good for ever."""
    code = form.get("code", "")
    if not code:
        raise LoginRefused("invalid_request", "The request is malformed : a code is needed")
    identity = Identity.of_code(code, sandbox.settings.orders)
    good = sandbox.grants.redeem(code, sandbox.now())
    if identity and good:
        sandbox.grants.restore(identity)
    token = "Atzr|" + code
    return _granted(sandbox, form, identity if good else None, token, "code")


def _granted(
    sandbox: Sandbox, form: Mapping[str, str], identity: Identity | None, token: str, what: str
) -> object:
    life = int(sandbox.life(_LIFE))
    expires = sandbox.now() + life
    access = identity and sandbox.grants.issue(identity, form["client_id"], expires)
    if not access:
        wrong = f"The request has an invalid grant parameter : {what}"
        raise LoginRefused("invalid_grant", f"{wrong}. User may have revoked the permission.")
    return {
        "access_token": access,
        "token_type": "bearer",
        "expires_in": life,
        "refresh_token": token,
    }


def _of_client(sandbox: Sandbox, form: Mapping[str, str]) -> object:
    """For what no seller has to allow."""
    if form.get("scope") not in _SCOPES or "refresh_token" in form:
        raise LoginRefused("invalid_scope", "The requested scope is invalid")
    life = int(sandbox.life(_LIFE))
    access = sandbox.grants.issue_grantless(form["client_id"], sandbox.now() + life)
    return {
        "access_token": access,
        "token_type": "bearer",
        "expires_in": life,
        "scope": form["scope"],
    }


_ANSWERS = {
    "refresh_token": _of_refresh_token,
    "authorization_code": _of_code,
    "client_credentials": _of_client,
}


def _grant_type(form: Mapping[str, str]) -> str:
    grant_type = form.get("grant_type")
    if not grant_type:
        wrong = "The request is missing a required parameter : grant_type"
        raise LoginRefused("invalid_request", wrong)
    return grant_type


def _check_client(form: Mapping[str, str]) -> None:
    """Any client is known here, unless it says itself that its secret is wrong."""
    secret = form.get("client_secret", "")
    if not form.get("client_id") or not secret or secret.startswith("wrong-"):
        raise LoginRefused("invalid_client", "Client authentication failed", 401)


def _entry(sandbox: Sandbox, form: Mapping[str, str], status: int) -> Entry:
    """For the log: who, but never a token or a secret."""
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
