"""The door: nobody gets any further without saying who he is, whatever an endpoint may forget."""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from service.edge.authenticator import Authenticator
from service.edge.rates import Rates
from service.errors import ServiceError
from service.wire import responses

PRIVATE = ("/api/", "/ws/")
IDENTITY = "service.identity"
"""Where in the scope of a request it says who asks."""


class Door:
    """Asks once for each request, and counts it; what must be waited for, is waited for here."""

    def __init__(self, app: ASGIApp, auth: Authenticator, rates: Rates) -> None:
        self._app = app
        self._auth = auth
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not scope["path"].startswith(PRIVATE):
            await self._app(scope, receive, send)
            return
        try:
            found = await self._auth.identify(HTTPConnection(scope))
            self._rates.count(found.actor.user)
        except ServiceError as error:
            await responses.problem(error)(scope, receive, send)
            return
        scope[IDENTITY] = found
        await self._app(scope, receive, send)
