"""The session cookie: a Bearer token that the browser sends, for EventSource."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import identity, parts
from service.edge.authenticator import CHALLENGE, COOKIE, bearer
from service.errors import Unauthenticated


async def begin(request: Request) -> Response:
    """Store the Bearer token in a session cookie, which scripts cannot read."""
    caller = identity(request)
    token = bearer(request)
    if not token or caller.until is None:
        raise Unauthenticated(
            "Send the token as `Authorization: Bearer <token>`.", headers=CHALLENGE
        )
    seconds = int((caller.until - parts(request).clock.now()).total_seconds())
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE, token, max_age=max(seconds, 0), httponly=True, secure=True, samesite="lax", path="/"
    )
    return response


async def end(_: Request) -> Response:
    """Delete the session cookie."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, secure=True, samesite="lax", path="/")
    return response
