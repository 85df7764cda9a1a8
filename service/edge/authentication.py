"""Authentication middleware: every private path requires an identity."""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.edge.authenticator import Authenticator
from service.edge.rates import Rates
from service.errors import ServiceError
from service.wire import responses
from service.wire.contract import requires_identity

IDENTITY = "service.identity"
"""The key of the caller's identity in the scope of a request."""


class AuthenticationMiddleware:
    """Identifies the caller of each request to a private path, and applies the rate limit."""

    def __init__(self, app: ASGIApp, auth: Authenticator, rates: Rates) -> None:
        self._app = app
        self._auth = auth
        self._rates = rates

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or not requires_identity(scope["path"]):
            await self._app(scope, receive, send)
            return
        try:
            identity = await self._auth.identify(HTTPConnection(scope))
            if self._rates.limited:
                send = self._with_limit(identity.actor.user, send)
                self._rates.count(identity.actor.user)
        except ServiceError as error:
            await responses.problem(error)(scope, receive, send)
            return
        scope[IDENTITY] = identity
        await self._app(scope, receive, send)

    def _with_limit(self, user: str, send: Send) -> Send:
        """`send` that adds the limit of the user as it is when the response starts."""

        async def send_with_limit(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *self._rates.headers(user)]
            await send(message)

        return send_with_limit
