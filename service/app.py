"""Where the parts meet: opened in order, closed in reverse. It alone knows the backends in use."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from http import HTTPStatus
from typing import cast

import anyio
import structlog
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

import connectors
from connectors.base import Clock
from service.api import wire
from service.api.auth import Authenticator
from service.api.cors import Cors
from service.api.door import Door
from service.api.guard import Guard
from service.api.hub import HandOver, Hub
from service.api.parts import Parts
from service.api.proxies import TrustedProxies
from service.api.routes import routes
from service.connections import Connections, read_keys
from service.errors import MethodNotAllowed, NotFound, ServiceError
from service.events.bus import EventBus
from service.pipeline import Pipeline
from service.registry import Registry
from service.runner.runner import Runner
from service.settings import Settings
from service.sources import open_sources
from service.store.migrations import migrate
from service.store.recoveries import Recoveries
from service.store.sqlite import SqliteEngine, only_process
from service.store.store import Store

log = structlog.get_logger()


def create_app(parts: Parts, settings: Settings) -> ASGIApp:
    """The ASGI application over parts that are open."""
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Door, auth=parts.auth)],
        exception_handlers={
            ServiceError: _service_error,
            HTTPException: _http_error,
            Exception: _unexpected,
        },
    )
    app.router.redirect_slashes = False  # such an address is a 404, not a guess
    app.state.parts = parts
    # Around Starlette, so that its own answer to a fault of ours goes through them, too.
    around: ASGIApp = app
    if settings.origins:
        around = Cors(around, settings.origins)
    around = Guard(around, settings.demo)
    if settings.proxies:
        around = TrustedProxies(around, settings.proxies)
    return HandOver(around, parts.hub)


@asynccontextmanager
async def open_parts(settings: Settings, clock: Clock) -> AsyncIterator[Parts]:
    """Everything that runs, opened in order and closed in reverse; then unfinished syncs go on."""
    keys = read_keys(settings.secrets_keys)
    async with AsyncExitStack() as stack:
        auth = Authenticator(settings, clock)
        await stack.enter_async_context(auth.open())
        stack.enter_context(only_process(settings.database_path))
        await anyio.to_thread.run_sync(migrate, f"sqlite:///{settings.database_path}")
        engine = await SqliteEngine.open(settings.database_path)
        stack.push_async_callback(engine.close)
        store, recoveries = Store(engine), Recoveries(engine)
        sources = await stack.enter_async_context(
            open_sources(connectors.names(), connectors.find, settings.environ, clock)
        )
        bus, runner = EventBus(), Runner(settings.max_running_syncs)
        registry = Registry(store, bus, runner, sources, clock, settings.max_syncs_per_tenant)
        connections = Connections(store, sources, keys, clock)
        pipeline = Pipeline(
            registry, connections, store, recoveries, sources, clock, settings.sync_timeout
        )
        encoder = wire.Encoder()
        hub = Hub(clock, encoder, settings.max_streams_per_user)
        await stack.enter_async_context(hub.open())
        for listen in (registry.listening(), bus.listen(pipeline.hear), bus.listen(hub.deliver)):
            stack.enter_context(listen)
        await stack.enter_async_context(runner.open(pipeline.run))
        for sync in await registry.unfinished():
            runner.submit(sync.id)
            log.info("sync_taken_up", sync_id=sync.id)
        yield Parts(registry, connections, store, recoveries, sources, hub, encoder, auth, clock)


async def _service_error(_: Request, error: Exception) -> Response:
    return wire.problem(cast(ServiceError, error))


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router refuses, in the same shape as everything else."""
    error = cast(HTTPException, error)
    if error.status_code == 404:
        return wire.problem(NotFound(f"There is nothing at {request.url.path}."))
    if error.status_code == 405:
        return wire.problem(MethodNotAllowed(headers=error.headers))
    other = type(
        "HTTPError",
        (ServiceError,),
        {
            "status": error.status_code,
            "code": HTTPStatus(error.status_code).name.lower(),
            "title": HTTPStatus(error.status_code).phrase,
        },
    )
    return wire.problem(other(error.detail, headers=error.headers))


async def _unexpected(_: Request, error: Exception) -> Response:
    """A fault of ours. The log has the trace; the answer does not. The server hangs up after it:
    said beforehand, no next request gets lost on the way."""
    text = "The service failed. Try again; its log says what happened."
    return wire.problem(ServiceError(text, headers={"Connection": "close"}))
