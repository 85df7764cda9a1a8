"""Where the parts meet: opened in order, closed in reverse. It alone knows the backends in use."""

from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from http import HTTPStatus
from typing import Any, cast

import anyio
import structlog
from cryptography.fernet import MultiFernet
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp

import connectors
from connectors.base import Clock, SystemClock
from service.api.parts import Parts
from service.api.routes import routes
from service.connections import Connections
from service.consents import Consents
from service.credentials import read_keys
from service.edge.authentication import Door
from service.edge.authenticator import Authenticator
from service.edge.cors import Cors
from service.edge.headers import Guard
from service.edge.proxies import TrustedProxies
from service.edge.rates import Rates
from service.erasing import Erasing
from service.errors import MethodNotAllowed, NotFound, ServiceError, StoreUnavailable
from service.events.bus import EventBus
from service.housekeeping import Housekeeping
from service.pipeline import Pipeline
from service.plans import Plans, read_plans
from service.registry import Registry
from service.runner.runner import Runner
from service.settings import Settings
from service.sources import Sources, open_sources
from service.store.audit import AuditStore
from service.store.claims import ClaimStore
from service.store.connections import ConnectionStore
from service.store.engine import Engine, Unavailable
from service.store.migrations import migrate
from service.store.patience import PatientEngine
from service.store.place import only_process
from service.store.records import RecordStore
from service.store.sqlite import SqliteEngine
from service.store.syncs import SyncStore
from service.streams.hub import HandOver, Hub
from service.wire import responses, serialize

log = structlog.get_logger()


def create_app(parts: Parts, settings: Settings) -> ASGIApp:
    """The ASGI application over parts that are open."""
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Door, auth=parts.auth, rates=parts.rates)],
        exception_handlers={
            ServiceError: _service_error,
            Unavailable: _unavailable,
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
        engine = await stack.enter_async_context(_database(settings))
        sources = await stack.enter_async_context(
            open_sources(connectors.names(), connectors.find, settings.environ, clock)
        )
        store, stored, records = SyncStore(engine), ConnectionStore(engine), RecordStore(engine)
        audit = AuditStore(engine)
        await audit.go_on()
        bus, runner = EventBus(), Runner(settings.max_running_syncs)
        plans = Plans(read_plans(settings.plans), settings.max_syncs_per_tenant)
        registry = Registry(store, records, stored, bus, runner, sources, clock, plans)
        connections = Connections(stored, sources, keys, clock)
        pipeline = _pipeline(PatientEngine(engine), registry, sources, keys, clock, settings)
        housekeeping = _housekeeping(registry, connections, store, clock, settings)
        encoder = serialize.Encoder()
        hub = Hub(clock, encoder, settings.max_streams_per_user)
        await stack.enter_async_context(hub.open())
        for listen in (registry.listening(), bus.listen(pipeline.hear), bus.listen(hub.deliver)):
            stack.enter_context(listen)
        await stack.enter_async_context(runner.open(pipeline.run))
        for sync in await registry.unfinished():
            runner.submit(sync)
            log.info("sync_taken_up", sync_id=sync.id)
        erasing = Erasing(store, stored, audit, registry, clock)
        await stack.enter_async_context(_going_on(housekeeping.run))
        await stack.enter_async_context(_going_on(erasing.run))
        yield Parts(
            registry=registry,
            connections=connections,
            consents=Consents(stored, connections, sources, clock),
            store=store,
            records=records,
            recoveries=ClaimStore(engine),
            audit=audit,
            sources=sources,
            hub=hub,
            encoder=encoder,
            auth=auth,
            rates=Rates(settings.max_requests_per_minute, clock),
            clock=clock,
            erasing=erasing,
        )


@asynccontextmanager
async def _database(settings: Settings) -> AsyncIterator[Engine]:
    """Ours alone, and of the newest schema."""
    with only_process(settings.database_path) as place:
        await anyio.to_thread.run_sync(migrate, f"sqlite:///{place.path}")
        engine = await SqliteEngine.open(place.path, place)
        try:
            yield engine
        finally:
            await engine.close()


def _pipeline(
    patient: Engine,
    registry: Registry,
    sources: Sources,
    keys: MultiFernet,
    clock: Clock,
    settings: Settings,
) -> Pipeline:
    """Running syncs have time, so their engine waits for a database that is away."""
    return Pipeline(
        registry,
        Connections(ConnectionStore(patient), sources, keys, clock),
        RecordStore(patient),
        ClaimStore(patient),
        sources,
        clock,
        timeout=settings.sync_timeout,
        stall_timeout=settings.stall_timeout,
        patience=settings.source_patience,
        items=settings.history_items,
    )


def _housekeeping(
    registry: Registry, connections: Connections, store: SyncStore, clock: Clock, settings: Settings
) -> Housekeeping:
    return Housekeeping(
        registry,
        connections,
        store,
        clock,
        retention=timedelta(days=settings.retention_days),
        audit_retention=timedelta(days=settings.audit_retention_days),
    )


def bring_up_to_date(settings: Settings) -> str:
    """The newest schema, which the database then has. No service may run meanwhile."""
    with only_process(settings.database_path) as place:
        return migrate(f"sqlite:///{place.path}")


async def rotate(settings: Settings) -> int:
    """Encrypt all credentials with the newest key; how many. No service may run meanwhile."""
    keys = read_keys(settings.secrets_keys)
    async with _database(settings) as engine:
        connections = Connections(ConnectionStore(engine), Sources({}), keys, SystemClock())
        return await connections.rotate_keys()


@asynccontextmanager
async def _going_on(run: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    """While open, it runs."""
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        yield
        group.cancel_scope.cancel()


async def _service_error(_: Request, error: Exception) -> Response:
    return responses.problem(cast(ServiceError, error))


async def _unavailable(_: Request, error: Exception) -> Response:
    if not cast(Unavailable, error).logged:
        log.error("database_away", reason=str(error))
    return responses.problem(StoreUnavailable(headers={"Retry-After": "5"}))


async def _http_error(request: Request, error: Exception) -> Response:
    """What the router refuses, in the same shape as everything else."""
    error = cast(HTTPException, error)
    if error.status_code == 404:
        return responses.problem(NotFound(f"There is nothing at {request.url.path}."))
    if error.status_code == 405:
        return responses.problem(MethodNotAllowed(headers=error.headers))
    other = type(
        "HTTPError",
        (ServiceError,),
        {
            "status": error.status_code,
            "code": HTTPStatus(error.status_code).name.lower(),
            "title": HTTPStatus(error.status_code).phrase,
        },
    )
    return responses.problem(other(error.detail, headers=error.headers))


async def _unexpected(_: Request, error: Exception) -> Response:
    """A fault of ours. The log has the trace; the answer does not. The server hangs up after it:
    said beforehand, no next request gets lost on the way."""
    text = "The service failed. Try again; its log says what happened."
    return responses.problem(ServiceError(text, headers={"Connection": "close"}))
