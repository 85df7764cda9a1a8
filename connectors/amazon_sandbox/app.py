"""The sandbox as an ASGI application: which path leads where."""

from collections.abc import Awaitable, Callable

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors.amazon_sandbox import consent, documents, doors
from connectors.amazon_sandbox.gate import misroute, perform
from connectors.amazon_sandbox.login import PATH, log_in
from connectors.amazon_sandbox.operations import OPERATIONS, Operation
from connectors.amazon_sandbox.settings import Settings
from connectors.amazon_sandbox.state import Sandbox
from connectors.base import Clock, SystemClock

Answer = Callable[[Sandbox, Request], Awaitable[Response]]

_EVERY_METHOD = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS")


def create_app(settings: Settings, clock: Clock | None = None) -> Starlette:
    """A Selling Partner API of its own: two apps share nothing."""
    sandbox = Sandbox(settings, clock or SystemClock())

    def route(path: str, answer: Answer, *methods: str) -> Route:
        async def endpoint(request: Request) -> Response:
            return await answer(sandbox, request)

        return Route(path, endpoint, methods=methods)

    return Starlette(
        routes=[
            route(PATH, log_in, "POST"),
            route(documents.PATH, documents.download, "GET"),
            route(consent.PATH, consent.ask, "GET"),
            route(consent.AGREED, consent.agree, "GET"),
            *(route(each.path, _performing(each), each.method) for each in OPERATIONS),
            route("/_sandbox/sellers/{name}", doors.show_seller, "GET"),
            route("/_sandbox/log", doors.show_log, "GET"),
            route("/_sandbox/expire", doors.expire, "POST"),
            route("/_sandbox/revoke", doors.revoke, "POST"),
            route("/_sandbox/faults", doors.set_faults, "POST"),
            route("/_sandbox/reset", doors.reset, "POST"),
            route("/_sandbox/reimburse", doors.reimburse, "POST"),
            route("/{path:path}", misroute, *_EVERY_METHOD),
        ]
    )


def _performing(operation: Operation) -> Answer:
    async def answer(sandbox: Sandbox, request: Request) -> Response:
        return await perform(sandbox, operation, request)

    return answer
