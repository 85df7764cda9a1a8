"""The consent page, on which a seller authorizes an application."""

from html import escape
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.state import Sandbox

PATH = "/apps/authorize/consent"
CONFIRM_PATH = "/apps/authorize/consent/agreed"

_LIFETIME = 5 * 60
_PARAMETERS = ("application_id", "state", "redirect_uri", "seller")
_PAGE = """<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8"><title>Authorize an application</title><link rel="icon" href="data:,">
</head>
<body>
<h1>Authorize an application</h1>
<p>{application} requests access to the seller {seller} of this sandbox.</p>
<form method="get" action="{action}">
{fields}
<button type="submit">Confirm</button>
</form>
</body>
</html>
"""
_FIELD = '<input type="hidden" name="{}" value="{}">'


async def ask(sandbox: Sandbox, request: Request) -> Response:
    """Show the consent page, which has one button."""
    params = {name: request.query_params.get(name, "") for name in _PARAMETERS}
    identity = _seller(sandbox, params["seller"])
    if message := _problem(params, identity):
        return HTMLResponse(f"<!DOCTYPE html><title>Error</title><p>{escape(message)}</p>", 400)
    page = _PAGE.format(
        application=escape(params["application_id"]),
        seller=identity.name if identity else "",
        action=CONFIRM_PATH,
        fields="\n".join(_FIELD.format(name, escape(value)) for name, value in params.items()),
    )
    return HTMLResponse(page, headers={"Referrer-Policy": "no-referrer"})


async def confirm(sandbox: Sandbox, request: Request) -> Response:
    """Redirect to the application with a consent code."""
    params = {name: request.query_params.get(name, "") for name in _PARAMETERS}
    identity = _seller(sandbox, params["seller"])
    if identity is None or _problem(params, identity):
        return HTMLResponse("<!DOCTYPE html><title>Error</title><p>Bad request</p>", 400)
    sandbox.tokens.register_code(identity.code, sandbox.now() + sandbox.lifetime(_LIFETIME))
    result = {
        "state": params["state"],
        "selling_partner_id": identity.partner_id,
        "spapi_oauth_code": identity.code,
    }
    return RedirectResponse(_with_parameters(params["redirect_uri"], result), 302)


def _seller(sandbox: Sandbox, name: str) -> Identity | None:
    """The consenting seller: `seller=SEED[-ORDERS]`, by default the sandbox's own."""
    if not name:
        return Identity(sandbox.settings.seed, sandbox.settings.orders)
    return Identity.of_name(name, sandbox.settings.orders)


def _problem(params: dict[str, str], identity: Identity | None) -> str:
    if not params["application_id"]:
        return "MD1000: the application does not exist"
    if urlsplit(params["redirect_uri"]).scheme not in ("http", "https"):
        return "MD5101: the redirect_uri is missing or invalid"
    return "" if identity else "The seller does not exist"


def _with_parameters(url: str, more: dict[str, str]) -> str:
    """The URL with additional query parameters."""
    parts = urlsplit(url)
    pairs = [*parse_qsl(parts.query, keep_blank_values=True), *more.items()]
    return urlunsplit(parts._replace(query=urlencode(pairs)))
