"""The session cookie: a Bearer token that a browser carries by itself, for EventSource."""

from starlette.requests import Request
from starlette.responses import Response

from service.api.parts import identity, parts
from service.edge.authenticator import CHALLENGE, COOKIE, bearer
from service.errors import Unauthenticated


async def begin(request: Request) -> Response:
    """Put the Bearer token into a cookie that scripts cannot read, for EventSource."""
    who = identity(request)
    token = bearer(request)
    if not token or who.until is None:
        raise Unauthenticated(
            "Send the token as `Authorization: Bearer <token>`.", headers=CHALLENGE
        )
    life = int((who.until - parts(request).clock.now()).total_seconds())
    response = Response(status_code=204)
    response.set_cookie(
        COOKIE, token, max_age=max(life, 0), httponly=True, secure=True, samesite="lax", path="/"
    )
    return response


async def end(_: Request) -> Response:
    """Clear the cookie."""
    response = Response(status_code=204)
    response.delete_cookie(COOKIE, httponly=True, secure=True, samesite="lax", path="/")
    return response
