"""Starts syncs within the limits of the user's plan."""

from datetime import datetime, timedelta

import msgspec

from connectors.base import Clock
from service.errors import KeyReused, Overtaken, PlanLimit, TooManySyncs
from service.model import Options, Sync
from service.planning import check_not_lost, choose_connection, new_sync
from service.plans import Plan, Plans
from service.registry import Registry, already_running
from service.sources import Sources
from service.store.audit import started
from service.store.connections import ConnectionStore, StoredConnection
from service.store.engine import Refused
from service.store.records import RecordStore
from service.store.syncs import Key, SyncStore
from service.users import Actor


class StartRequest(msgspec.Struct, frozen=True):
    """A request to start a sync."""

    #: None for the user's only connection.
    connection_id: str | None = None
    options: Options = Options()
    #: If the user has a live sync, return that instead of refusing the start.
    attach: bool = False
    #: The idempotency key.
    key: Key | None = None
    #: What starts the sync on behalf of the user: `schedule`, or empty.
    by: str = ""


class Starter:
    """Starts syncs."""

    def __init__(
        self,
        registry: Registry,
        store: SyncStore,
        records: RecordStore,
        connections: ConnectionStore,
        sources: Sources,
        clock: Clock,
        plans: Plans,
    ) -> None:
        self._registry = registry
        self._store = store
        self._records = records
        self._connections = connections
        self._sources = sources
        self._clock = clock
        self._plans = plans

    async def start(self, actor: Actor, request: StartRequest) -> Sync:
        """Start a sync. Returns the new sync; the sync that the idempotency key started; or, with
        `attach`, the user's live sync.

        A user has at most one live sync. Of two starts at once, a unique index of the store (on the
        user's live sync, and on the key) accepts one; the other is handled as a later start.

        Raises NotConnected, LostConnection, SyncAlreadyRunning, TooManySyncs, PlanLimit, KeyReused,
        Overtaken or Invalid."""
        if same := await self._started_with(request.key, actor):
            return same
        live = self._registry.live_of(actor.user)
        if live is None:
            connection = await self._connection(actor, request.connection_id)
            check_not_lost(connection)
            await self._check_daily_limit(actor)
            sync = await self._plan_sync(actor, request, connection)
            limit = self._plans.tenant_limit(actor.plan)
            note = started(sync, actor, request.by)
            try:
                if await self._registry.create(sync, limit, request.key, note):
                    return sync
            except Refused:  # another start of this user was first
                live = await self._registry.find_live(actor.user)
            else:
                await self._connection(actor, connection.id)  # raises if forgotten meanwhile
                raise TooManySyncs(headers={"Retry-After": "60"})
        # The same key may have started the live sync since the key was looked up.
        if same := await self._started_with(request.key, actor):
            return same
        if live is None:
            raise Overtaken("A sync ended just now. Start again.")
        if not request.attach:
            raise already_running(live)
        if request.key and not await self._store.keep_key(live, request.key, self._clock.now()):
            # The same request attached at the same time and stored the key first.
            return await self._started_with(request.key, actor) or live
        return live

    def plan_of(self, actor: Actor) -> Plan:
        """The limits of the user's plan, with the default limit of the tenant filled in."""
        limit = self._plans.tenant_limit(actor.plan)
        return msgspec.structs.replace(self._plans.of(actor.plan), concurrency=limit)

    async def started_today(self, actor: Actor) -> int:
        """The number of syncs that the user has started since midnight in UTC."""
        today = _midnight(self._clock.now())
        return await self._store.started_between(actor.user, today, today + timedelta(days=1))

    async def _started_with(self, key: Key | None, actor: Actor) -> Sync | None:
        """The sync that the key started, or was attached to, within the last day. Raises KeyReused
        if that request was different."""
        if key is None:
            return None
        used = await self._store.used_key(actor.user, key.key, self._clock.now())
        if used is None:
            return None
        request, sync_id = used
        if request != key.request:
            raise KeyReused
        return await self._registry.find(sync_id)

    async def _connection(self, actor: Actor, connection_id: str | None) -> StoredConnection:
        return choose_connection(await self._connections.of_user(actor.user), connection_id)

    async def _check_daily_limit(self, actor: Actor) -> None:
        limit = self._plans.of(actor.plan).syncs_per_day
        if limit is None or await self.started_today(actor) < limit:
            return
        now = self._clock.now()
        left = (_midnight(now) + timedelta(days=1) - now).total_seconds()
        raise PlanLimit(
            f"Your plan allows {limit} syncs a day. The next can start tomorrow (UTC).",
            more={"limit": "syncsPerDay", "allowed": limit},
            headers={"Retry-After": f"{left:.0f}"},
        )

    async def _plan_sync(
        self, actor: Actor, request: StartRequest, connection: StoredConnection
    ) -> Sync:
        connector = self._sources.get(connection.connector)
        plan, stored = self._plans.of(actor.plan), await self._records.datasets(connection.id)
        now, newest = self._clock.now(), await self._store.newest_id(actor.user)
        return new_sync(actor, connection, connector, request.options, plan, stored, now, newest)


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)
