"""A stand-in for the page on which a seller allows an application to act for him."""

from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.state import Sandbox

PATH = "/apps/authorize/consent"
AGREED = "/apps/authorize/consent/agreed"

_LIFE = 5 * 60
_ASKED = ("application_id", "state", "redirect_uri", "seller")
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>Authorise an application</title></head>
<body>
<h1>Authorise an application</h1>
<p>{application} asks to act for the seller {seller} of this sandbox.</p>
<form method="get" action="{action}">
{fields}
<button type="submit">Confirm</button>
</form>
</body>
</html>
"""
_FIELD = '<input type="hidden" name="{}" value="{}">'


async def ask(sandbox: Sandbox, request: Request) -> Response:
    """Answer `GET /apps/authorize/consent`: a page with one button."""
    asked = {name: request.query_params.get(name, "") for name in _ASKED}
    identity = _seller(sandbox, asked["seller"])
    if wrong := _wrong(asked, identity):
        return HTMLResponse(f"<!DOCTYPE html><title>Error</title><p>{escape(wrong)}</p>", 400)
    page = _PAGE.format(
        application=escape(asked["application_id"]),
        seller=identity.name if identity else "",
        action=AGREED,
        fields="\n".join(_FIELD.format(name, escape(value)) for name, value in asked.items()),
    )
    return HTMLResponse(page, headers={"Referrer-Policy": "no-referrer"})


async def agree(sandbox: Sandbox, request: Request) -> Response:
    """The button was pressed: back to the application, with a code."""
    asked = {name: request.query_params.get(name, "") for name in _ASKED}
    identity = _seller(sandbox, asked["seller"])
    if identity is None or _wrong(asked, identity):
        return HTMLResponse("<!DOCTYPE html><title>Error</title><p>Bad request</p>", 400)
    sandbox.grants.promise(identity.code, sandbox.now() + sandbox.life(_LIFE))
    answer = {
        "state": asked["state"],
        "selling_partner_id": identity.partner_id,
        "spapi_oauth_code": identity.code,
    }
    return RedirectResponse(_with(asked["redirect_uri"], answer), 302)


def _seller(sandbox: Sandbox, name: str) -> Identity | None:
    """Who consents: the sandbox's own seller, or `seller=SEED[-ORDERS]`."""
    if not name:
        return Identity(sandbox.settings.seed, sandbox.settings.orders)
    return Identity.of_name(name, sandbox.settings.orders)


def _wrong(asked: dict[str, str], identity: Identity | None) -> str:
    if not asked["application_id"]:
        return "MD1000: there is no such application"
    if urlsplit(asked["redirect_uri"]).scheme not in ("http", "https"):
        return "MD5101: the redirect_uri is missing or invalid"
    return "" if identity else "There is no such seller"


def _with(address: str, more: dict[str, str]) -> str:
    """The address with more parameters; those that it has stay."""
    parts = urlsplit(address)
    pairs = [*parse_qsl(parts.query, keep_blank_values=True), *more.items()]
    return urlunsplit(parts._replace(query=urlencode(pairs)))
