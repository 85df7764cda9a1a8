"""Chooses the backends: SQLite alone in this process, or PostgreSQL and Redis with many processes.

DATABASE_URL chooses the database and the runner, REDIS_URL the server that carries events between
processes. Drivers of a cluster are imported only if one of these URLs needs them."""

from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime, timedelta
from importlib.util import find_spec

import anyio
import msgspec
import structlog

from service.check import Check, Level, require, worst
from service.errors import StartupError
from service.events.bus import EventBus
from service.metrics import Metrics
from service.newest import Newest
from service.runner.base import Runner
from service.runner.runner import LocalRunner
from service.settings import Settings
from service.store.engine import Engine, Unavailable
from service.store.migrations import migrate
from service.store.place import lock_database
from service.store.sqlite import SqliteEngine
from service.store.syncs import SyncStore

PATIENCE = 60.0
"""Seconds for which a starting process waits for the database and its schema."""
LONGEST_PAUSE = 5.0
RECENT = timedelta(minutes=2)
"""How long ended syncs are still read for streams of all syncs: longer than clocks differ."""
SCALE = ("asyncpg", "psycopg", "procrastinate", "redis")
"""The packages of the `scale` extra."""

log = structlog.get_logger()


class Backends(msgspec.Struct, frozen=True):
    """The parts that differ between deployments."""

    engine: Engine
    bus: EventBus
    runner: Runner
    #: None if no other process changes syncs.
    newest: Newest | None = None


@asynccontextmanager
async def open_backends(
    settings: Settings, metrics: Metrics | None = None
) -> AsyncIterator[Backends]:
    """Open the database, the event bus and the runner that the settings name."""
    if settings.postgres:
        require_scale()
        async with _open_cluster(settings, metrics) as backends:
            yield backends
        return
    if settings.redis_url:
        require_scale()
        await _require_redis(settings)
    async with open_database(settings, metrics) as engine:
        runner = LocalRunner(settings.max_running_syncs, SyncStore(engine).unfinished)
        yield Backends(engine, EventBus(), runner)


@asynccontextmanager
async def open_database(
    settings: Settings, metrics: Metrics | None = None
) -> AsyncIterator[Engine]:
    """Open the database with the newest schema. SQLite is locked for this process and migrated."""
    async with AsyncExitStack() as stack:
        if settings.postgres:
            engine: Engine = await _open_postgres(settings, metrics)
        else:
            place = stack.enter_context(lock_database(settings.database_path))
            await anyio.to_thread.run_sync(migrate, f"sqlite:///{place.path}")
            engine = await SqliteEngine.open(place.path, place, metrics)
        stack.push_async_callback(engine.close)
        yield engine


# A cluster --------------------------------------------------------------------------------------


def require_scale() -> None:
    """Raises StartupError if a package of the `scale` extra is missing."""
    if missing := [name for name in SCALE if find_spec(name) is None]:
        raise StartupError(
            f"PostgreSQL and Redis need {', '.join(missing)}. "
            "Install the extra: pip install 'seller-sync[scale]'."
        )


async def _open_postgres(settings: Settings, metrics: Metrics | None) -> Engine:
    """Wait until the database answers and has the newest schema. Raises StartupError."""
    from service.store.postgres import PostgresEngine

    await _wait_for_server(settings)
    try:
        url, pool = settings.database_url, settings.database_pool
        return await PostgresEngine.open(url, pool, metrics)
    except Unavailable as error:
        raise StartupError(str(error)) from error


async def wait_for_database(settings: Settings) -> None:
    """Wait until PostgreSQL can be used, whatever its schema is. Raises StartupError."""
    require_scale()
    await _wait_for_server(settings, migrated=False)


async def _wait_for_server(settings: Settings, migrated: bool = True) -> None:
    """Wait until the server can be used. Raises StartupError, at once if waiting does not help."""
    from service.checks.postgres import check_server

    ends, pause = anyio.current_time() + PATIENCE, 0.2
    while True:
        checks = await check_server(
            settings.database_url, settings.database_pool, migrated=migrated
        )
        found = worst(checks)
        if found is None:
            log_warnings(checks)
            return
        if not found.passing or anyio.current_time() + pause > ends:
            raise StartupError(found.sentence)
        log.warning("waiting_for_database", reason=found.sentence)
        await anyio.sleep(pause)
        pause = min(pause * 2, LONGEST_PAUSE)


def log_warnings(checks: Iterable[Check]) -> None:
    """Log the warnings, which do not keep a process from starting."""
    for found in checks:
        if found.level is not Level.OK:
            log.warning(f"{found.name}_{found.level}", reason=found.sentence)


@asynccontextmanager
async def _open_cluster(settings: Settings, metrics: Metrics | None) -> AsyncIterator[Backends]:
    from service.runner.procrastinate import ProcrastinateRunner

    async with open_database(settings, metrics) as engine:
        store = SyncStore(engine)
        at_once = 0 if settings.role == "web" else settings.max_running_syncs
        runner = ProcrastinateRunner(settings.database_url, engine, at_once)
        bus = await _cluster_bus(settings, engine, store)
        yield Backends(engine, bus, runner, Newest(store.changes))


async def _cluster_bus(settings: Settings, engine: Engine, store: SyncStore) -> EventBus:
    from service.events.shared import SharedEventBus

    async def of_users(users: Sequence[str]) -> Sequence[str]:
        return await store.of_users(users, datetime.now(UTC) - RECENT)

    if settings.redis_url:
        from service.checks.postgres import database_id
        from service.events.redis import RedisEventBus

        database = await database_id(engine)
        await _require_redis(settings, database)
        url, prefix = settings.redis_url, settings.redis_prefix
        return RedisEventBus(url, prefix, database, store.changes, of_users)
    log.warning("events_by_polling", why="REDIS_URL is not set: events are up to 2 s late")
    return SharedEventBus(store.changes, of_users)


async def _require_redis(settings: Settings, database: str | None = None) -> None:
    """Raises StartupError for a server that will never be usable. `database` is the id of this
    service's database. While Redis is unavailable, events are late, and changed records wait."""
    from service.checks.redis import check_redis

    checks = await check_redis(settings.redis_url, settings.redis_prefix, database)
    require(check for check in checks if not check.passing)
    log_warnings(checks)
