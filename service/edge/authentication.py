"""Authentication middleware: every private path requires an identity."""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from service.edge.authenticator import Authenticator
from service.edge.rates import Rates
from service.errors import ServiceError
from service.wire import responses

PRIVATE = "/api/"
IDENTITY = "service.identity"
"""The key of the caller's identity in the scope of a request."""


class AuthenticationMiddleware:
    """Identifies the caller of each request to a private path, and applies the rate limit."""

    def __init__(self, app: ASGIApp, auth: Authenticator, rates: Rates) -> None:
        self._app = app
        self._auth = auth
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not scope["path"].startswith(PRIVATE):
            await self._app(scope, receive, send)
            return
        try:
            identity = await self._auth.identify(HTTPConnection(scope))
            self._rates.count(identity.actor.user)
        except ServiceError as error:
            await responses.problem(error)(scope, receive, send)
            return
        scope[IDENTITY] = identity
        await self._app(scope, receive, send)
