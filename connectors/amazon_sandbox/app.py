"""The sandbox as an ASGI application, with its route table."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.amazon_sandbox import consent, control, documents
from connectors.amazon_sandbox.dispatch import handle_call, handle_unknown_path
from connectors.amazon_sandbox.login import PATH, log_in
from connectors.amazon_sandbox.operations import OPERATIONS, ApiOperation
from connectors.amazon_sandbox.settings import Settings
from connectors.amazon_sandbox.state import Sandbox
from connectors.base import Clock, SystemClock

Handler = Callable[[Sandbox, Request], Awaitable[Response]]

_ALL_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def create_app(settings: Settings, clock: Clock | None = None) -> Starlette:
    """An independent Selling Partner API. Two apps share no state."""
    sandbox = Sandbox(settings, clock or SystemClock())

    def route(path: str, handler: Handler, *methods: str) -> Route:
        async def endpoint(request: Request) -> Response:
            return await handler(sandbox, request)

        return Route(path, endpoint, methods=methods)

    return Starlette(
        routes=[
            route(PATH, log_in, "POST"),
            route(documents.PATH, documents.download, "GET"),
            route(consent.PATH, consent.ask, "GET"),
            route(consent.CONFIRM_PATH, consent.confirm, "GET"),
            *(
                route(operation.path, _handler(operation), operation.method)
                for operation in OPERATIONS
            ),
            route("/_sandbox/sellers/{name}", control.show_seller, "GET"),
            route("/_sandbox/log", control.show_log, "GET"),
            route("/_sandbox/expire", control.expire, "POST"),
            route("/_sandbox/revoke", control.revoke, "POST"),
            route("/_sandbox/faults", control.set_faults, "POST"),
            route("/_sandbox/reset", control.reset, "POST"),
            route("/_sandbox/reimburse", control.reimburse, "POST"),
            route("/{path:path}", handle_unknown_path, *_ALL_METHODS),
        ]
    )


def _handler(operation: ApiOperation) -> Handler:
    async def handler(sandbox: Sandbox, request: Request) -> Response:
        return await handle_call(sandbox, operation, request)

    return handler
