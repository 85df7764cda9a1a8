"""Login with Amazon: the token endpoint."""

from collections.abc import Mapping
from urllib.parse import parse_qsl

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from connectors.amazon.sandbox.answers import reply
from connectors.amazon.sandbox.generator.identity import Identity
from connectors.amazon.sandbox.log import Entry
from connectors.amazon.sandbox.state import Sandbox

PATH = "/auth/o2/token"

_LIFE = 3_600
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
    _check_grant_type(form)
    _check_client(form)
    token = form.get("refresh_token", "")
    if not token or "scope" in form:
        wrong = "a refresh_token without a scope is needed"
        raise LoginRefused("invalid_request", f"The request is malformed : {wrong}")
    life = int(sandbox.life(_LIFE))
    identity = Identity.of_token(token, sandbox.settings.orders)
    expires = sandbox.now() + life
    access = identity and sandbox.grants.issue(identity, form["client_id"], expires)
    if not access:
        wrong = "The request has an invalid grant parameter : refresh_token"
        raise LoginRefused("invalid_grant", f"{wrong}. User may have revoked the permission.")
    return {
        "access_token": access,
        "token_type": "bearer",
        "expires_in": life,
        "refresh_token": token,
    }


def _check_grant_type(form: Mapping[str, str]) -> None:
    grant_type = form.get("grant_type")
    if not grant_type:
        wrong = "The request is missing a required parameter : grant_type"
        raise LoginRefused("invalid_request", wrong)
    if grant_type != "refresh_token":
        wrong = "The authorization grant type is not supported"
        raise LoginRefused("unsupported_grant_type", wrong)


def _check_client(form: Mapping[str, str]) -> None:
    """Any client is known here, unless it says itself that its secret is wrong."""
    secret = form.get("client_secret", "")
    if not form.get("client_id") or not secret or secret.startswith("wrong-"):
        raise LoginRefused("invalid_client", "Client authentication failed", 401)


def _entry(sandbox: Sandbox, form: Mapping[str, str], status: int) -> Entry:
    """For the log: who, but never a token or a secret."""
    identity = Identity.of_token(form.get("refresh_token", ""), sandbox.settings.orders)
    return Entry(
        at=sandbox.clock.now(),
        method="POST",
        path=PATH,
        operation="token",
        seller=identity.name if identity else None,
        status=status,
        parameters={name: form[name] for name in ("grant_type", "client_id") if name in form},
    )
