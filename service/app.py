"""Assembles the service: opens its parts in order and closes them in reverse order.

Only this module knows which backends are in use."""

from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import timedelta
from functools import partial
from http import HTTPStatus
from typing import Any, cast

import anyio
from cryptography.fernet import MultiFernet
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute
from starlette.types import ASGIApp

import connectors
from connectors.base import Clock, SystemClock
from service.api.parts import Parts
from service.api.routes import routes
from service.backends import (
    Backends,
    open_backends,
    open_database,
    require_scale,
    wait_for_database,
)
from service.connections import Connections
from service.consents import Consents
from service.credentials import read_keys
from service.edge.authentication import AuthenticationMiddleware
from service.edge.authenticator import Authenticator
from service.edge.cors import ApiCors
from service.edge.headers import SecurityHeaders
from service.edge.proxies import TrustedProxies
from service.edge.rates import Rates
from service.edge.request_ids import RequestIds
from service.erasing import Erasing
from service.errors import MethodNotAllowed, NotFound, ServiceError, StartupError
from service.events.bus import Interest
from service.hooks.dispatching import MAX_AT_ONCE, Dispatcher
from service.hooks.sending import WebhookSender
from service.hooks.webhooks import Webhooks
from service.housekeeping import Housekeeping
from service.loop_lag import watch_loop
from service.metrics import Metrics
from service.nodes import Nodes
from service.notices import Notices
from service.notifications import Notifications
from service.operations import Operations
from service.pipeline.pacing import Pacer
from service.pipeline.pipeline import Pipeline
from service.pipeline.resources import Resources
from service.plans import Plans, read_plans
from service.registry import Registry
from service.settings import POSTGRES, Settings
from service.sources import Sources, open_sources
from service.starting import Starter
from service.store.activity import ActivityStore
from service.store.audit import AuditStore
from service.store.changes import ChangeStore
from service.store.chores import ChoreStore
from service.store.claims import ClaimStore
from service.store.completeness import CompletenessStore
from service.store.connections import ConnectionStore
from service.store.consents import ConsentStore
from service.store.deliveries import DeliveryStore
from service.store.dimensions import DimensionStore
from service.store.engine import Unavailable
from service.store.migrations import migrate
from service.store.nodes import NodeStore
from service.store.notifications import NotificationStore
from service.store.operations import OperationsStore
from service.store.patience import PatientEngine
from service.store.place import lock_database
from service.store.records import RecordStore
from service.store.relay import RelayStore
from service.store.removals import RemovalStore
from service.store.syncs import SyncStore
from service.store.webhooks import WebhookStore
from service.streams.downloads import Downloads
from service.streams.feeds import Feeds
from service.streams.hub import Hub, StreamMiddleware
from service.wire import responses, serialize

# The application --------------------------------------------------------------------------------


def create_app(
    parts: Parts, settings: Settings, served: Sequence[BaseRoute] | None = None
) -> ASGIApp:
    """The ASGI application that serves these parts: everything, or some routes."""
    starlette = Starlette(
        routes=routes if served is None else served,
        middleware=[Middleware(AuthenticationMiddleware, auth=parts.auth, rates=parts.rates)],
        exception_handlers={
            ServiceError: _service_error,
            Unavailable: _unavailable,
            HTTPException: _http_error,
            Exception: _unexpected,
        },
    )
    starlette.router.redirect_slashes = False  # a path with an extra slash is a 404
    starlette.state.parts = parts
    # These wrap Starlette, so that they also apply to its response to unexpected errors.
    app: ASGIApp = starlette
    if settings.origins:
        app = ApiCors(app, settings.origins)
    app = SecurityHeaders(app, settings.demo)
    if settings.proxies:
        app = TrustedProxies(app, settings.proxies)
    return StreamMiddleware(RequestIds(app), parts.hub)


async def _service_error(_: Request, error: Exception) -> Response:
    return responses.problem(cast(ServiceError, error))


async def _unavailable(_: Request, error: Exception) -> Response:
    return responses.unavailable(cast(Unavailable, error))


async def _http_error(request: Request, error: Exception) -> Response:
    """Turn an error of the router into a problem response."""
    error = cast(HTTPException, error)
    if error.status_code == 404:
        detail = f"Nothing exists at {request.url.path}. Check the path."
        return responses.problem(NotFound(detail))
    if error.status_code == 405:
        return responses.problem(MethodNotAllowed(headers=error.headers))
    kind = type(
        "HTTPError",
        (ServiceError,),
        {
            "status": error.status_code,
            "code": HTTPStatus(error.status_code).name.lower(),
            "title": HTTPStatus(error.status_code).phrase,
        },
    )
    return responses.problem(kind(error.detail, headers=error.headers))


async def _unexpected(_: Request, error: Exception) -> Response:
    """Handle an unexpected error. Only the log contains the traceback. The response announces that
    the server closes the connection, so that no client sends another request on it."""
    text = "The service failed. Try again; the cause is in its log."
    return responses.problem(ServiceError(text, headers={"Connection": "close"}))


# The parts --------------------------------------------------------------------------------------


@asynccontextmanager
async def open_parts(settings: Settings, clock: Clock) -> AsyncIterator[Parts]:
    """Open every part and continue unfinished syncs; close everything in reverse order."""
    keys = read_keys(settings.secrets_keys)
    auth, metrics = Authenticator(settings, clock), Metrics()
    offered = connectors.offered(settings.wanted, settings.demo)
    async with (
        auth.open(),
        open_backends(settings, metrics) as backends,
        open_sources(offered, connectors.find, settings.environ, clock) as sources,
    ):
        metrics.expect(sources.datasets_by_name)
        changes = ChangeStore(backends.engine, dialect(settings))
        epoch = await changes.epoch(clock.now())
        parts = _assemble(settings, clock, keys, auth, backends, sources, changes, epoch, metrics)
        pipeline = _pipeline(settings, keys, backends, parts)
        await parts.audit.continue_ids()
        async with _running(settings, backends, parts, pipeline):
            yield parts


def dialect(settings: Settings) -> str:
    return "postgresql" if settings.postgres else "sqlite"


def _assemble(
    settings: Settings,
    clock: Clock,
    keys: MultiFernet,
    auth: Authenticator,
    backends: Backends,
    sources: Sources,
    changes: ChangeStore,
    epoch: int,
    metrics: Metrics,
) -> Parts:
    engine, bus, runner = backends.engine, backends.bus, backends.runner
    store, stored, records = SyncStore(engine), ConnectionStore(engine), RecordStore(engine)
    audit, encoder = AuditStore(engine), serialize.Encoder()
    plans = Plans(read_plans(settings.plans), settings.max_syncs_per_tenant)
    registry = Registry(store, stored, bus, runner, clock, plans, metrics, backends.newest)
    connections = Connections(stored, sources, keys, clock)
    hub = Hub(clock, encoder, settings.max_streams_per_user)
    announced = NodeStore(engine) if backends.newest else None
    nodes = Nodes(settings.role, runner, lambda: hub.count, announced)
    starter = Starter(registry, store, records, stored, sources, clock, plans)
    secret, notified = settings.notifications_secret, NotificationStore(engine)
    return Parts(
        registry=registry,
        starter=starter,
        connections=connections,
        consents=Consents(ConsentStore(engine), connections, sources, clock),
        store=store,
        records=records,
        activity=ActivityStore(engine),
        recoveries=ClaimStore(engine),
        removals=RemovalStore(engine),
        completeness=CompletenessStore(engine),
        dimensions=DimensionStore(engine),
        audit=audit,
        sources=sources,
        hub=hub,
        feeds=Feeds(hub, clock),
        changes=changes,
        epoch=epoch,
        relay=RelayStore(engine),
        downloads=Downloads(),
        encoder=encoder,
        auth=auth,
        rates=Rates(settings.max_requests_per_minute, clock),
        clock=clock,
        erasing=Erasing(store, stored, audit, registry, clock),
        notifications=Notifications(secret, notified, stored, starter, sources, clock),
        webhooks=Webhooks(
            WebhookStore(engine, dialect(settings)),
            DeliveryStore(engine),
            changes,
            epoch,
            keys,
            clock,
            bool(settings.webhooks_private),
        ),
        metrics=metrics,
        operations=Operations(
            OperationsStore(engine, dialect(settings)),
            runner,
            nodes,
            clock,
            lambda: DeliveryStore(engine).lag(clock.now()),
        ),
        nodes=nodes,
        data_folder=None if settings.postgres else settings.database_path.parent,
        metrics_token=settings.metrics_token,
    )


def _dispatcher(settings: Settings, backends: Backends, parts: Parts) -> Dispatcher:
    """The dispatcher that sends events to webhooks."""
    return Dispatcher(
        parts.webhooks,
        WebhookStore(backends.engine, dialect(settings)),
        DeliveryStore(backends.engine),
        parts.changes,
        parts.epoch,
        WebhookSender(bool(settings.webhooks_private), MAX_AT_ONCE),
        parts.clock,
        settings.webhook_waits,
    )


def _pipeline(settings: Settings, keys: MultiFernet, backends: Backends, parts: Parts) -> Pipeline:
    """The pipeline of running syncs. Its engine waits while the database is unavailable."""
    patient = PatientEngine(backends.engine)
    resources = Resources(
        registry=parts.registry,
        connections=Connections(ConnectionStore(patient), parts.sources, keys, parts.clock),
        records=RecordStore(patient),
        claims=ClaimStore(patient),
        removals=RemovalStore(patient),
        completeness=CompletenessStore(patient),
        dimensions=DimensionStore(patient),
        sources=parts.sources,
        clock=parts.clock,
        pacer=Pacer(parts.clock),
        timeout=settings.sync_timeout,
        stall_timeout=timedelta(seconds=settings.stall_timeout),
        patience=settings.source_patience,
        items=settings.history_items,
        metrics=parts.metrics,
    )
    return Pipeline(resources)


@asynccontextmanager
async def _running(
    settings: Settings, backends: Backends, parts: Parts, pipeline: Pipeline
) -> AsyncIterator[None]:
    """Run streams, syncs and background tasks while open."""
    bus, runner, hub = backends.bus, backends.runner, parts.hub
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(hub.open())
        stack.enter_context(parts.registry.listening())
        stack.enter_context(bus.listen(pipeline.on_change))
        stack.enter_context(bus.listen(hub.deliver))
        await stack.enter_async_context(parts.feeds.open())
        stack.enter_context(bus.listen(parts.feeds.heard))
        await stack.enter_async_context(bus.open(lambda: _interest(parts, pipeline)))
        await stack.enter_async_context(runner.open(pipeline.run))
        housekeeping = Housekeeping(
            parts.starter,
            parts.registry,
            parts.connections,
            parts.store,
            parts.changes,
            parts.notifications,
            ChoreStore(backends.engine),
            backends.runner,
            _notices(settings, backends, parts),
            parts.clock,
            retention=timedelta(days=settings.retention_days),
            audit_retention=timedelta(days=settings.audit_retention_days),
            changes_kept=timedelta(days=settings.changes_days),
        )
        await stack.enter_async_context(_in_background(housekeeping.run))
        if backends.newest:  # another process may die while it runs syncs
            await stack.enter_async_context(_in_background(housekeeping.rescue_often))
        await stack.enter_async_context(_in_background(parts.nodes.run))
        await stack.enter_async_context(_in_background(parts.erasing.run))
        if settings.publish_records:
            await stack.enter_async_context(_publishing(settings, backends, parts))
        if settings.role != "web":
            await stack.enter_async_context(_delivering(settings, backends, parts))
        await stack.enter_async_context(_in_background(partial(watch_loop, parts.metrics)))
        yield


@asynccontextmanager
async def _publishing(settings: Settings, backends: Backends, parts: Parts) -> AsyncIterator[None]:
    """Publish changed records to streams of Redis while open."""
    from service.publishing import Relay

    relay = Relay(
        settings.redis_url,
        settings.redis_prefix,
        settings.stream_length,
        parts.changes,
        parts.relay,
        parts.epoch,
        parts.clock,
        alone=not settings.postgres,
    )
    with backends.bus.listen(relay.heard):
        async with _in_background(relay.run):
            yield


def _notices(settings: Settings, backends: Backends, parts: Parts) -> Notices:
    after = timedelta(seconds=settings.stale_after)
    return Notices(backends.engine, parts.clock, after, parts.feeds.wake)


@asynccontextmanager
async def _delivering(settings: Settings, backends: Backends, parts: Parts) -> AsyncIterator[None]:
    """Send events to webhooks while open."""
    dispatcher = _dispatcher(settings, backends, parts)
    parts.webhooks.wake = dispatcher.wake
    alone = not settings.postgres
    with backends.bus.listen(dispatcher.heard):
        async with _in_background(lambda: dispatcher.run(alone)):
            yield


def _interest(parts: Parts, pipeline: Pipeline) -> Interest:
    """The syncs that are followed or run in this process."""
    hub, feeds = parts.hub, parts.feeds
    return Interest(hub.syncs() | pipeline.syncs(), hub.users() | feeds.users())


@asynccontextmanager
async def _in_background(run: Callable[[], Coroutine[Any, Any, None]]) -> AsyncIterator[None]:
    async with anyio.create_task_group() as group:
        group.start_soon(run)
        yield
        group.cancel_scope.cancel()


# Maintenance ------------------------------------------------------------------------------------


def migrate_database(settings: Settings) -> str:
    """Migrate to the newest schema; returns its name. Raises StartupError while a service runs."""
    if settings.postgres:
        anyio.run(wait_for_database, settings)
        return migrate(settings.database_url)
    with lock_database(settings.database_path) as place:
        return migrate(f"sqlite:///{place.path}")


def move_database(settings: Settings, url: str, say: Callable[[str], None]) -> None:
    """Copy the SQLite database of the settings into the empty PostgreSQL database at `url`, and
    report the progress. Raises StartupError, also while a service runs."""
    if settings.postgres:
        raise StartupError("DATABASE_URL must be the SQLite database to move: sqlite:///path.")
    if not url.startswith(POSTGRES):
        raise StartupError("--to must be postgresql://user@host:port/database.")
    require_scale()
    from service.moving.move import move

    move(settings.database_path, url, say)


async def rotate_credentials(settings: Settings) -> int:
    """Encrypt all credentials with the newest key; returns how many. Raises StartupError while a
    service runs."""
    keys = read_keys(settings.secrets_keys)
    async with open_database(settings) as engine:
        clock = SystemClock()
        connections = Connections(ConnectionStore(engine), Sources({}), keys, clock)
        count = await connections.rotate_keys()
        name = dialect(settings)
        store, changes = WebhookStore(engine, name), ChangeStore(engine, name)
        webhooks = Webhooks(store, DeliveryStore(engine), changes, 0, keys, clock, private=False)
        return count + await webhooks.rotate_keys()
