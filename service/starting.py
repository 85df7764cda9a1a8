"""Starts syncs within the limits of the user's plan."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec

from connectors.base import Clock, Window
from service.errors import KeyReused, Overtaken, PlanLimit, ServiceError, TooManySyncs
from service.model import Options, Sync, Trigger
from service.planning import check_not_lost, choose_connection, new_sync
from service.plans import Plan, Plans
from service.registry import Registry, already_running
from service.sources import Sources
from service.store.audit import started
from service.store.connections import ConnectionStore, Run, StoredConnection, replace_run_statement
from service.store.engine import Refused
from service.store.notifications import reads_notified
from service.store.records import RecordStore
from service.store.syncs import NO_LIMIT, Conditions, Key, SyncStore, midnight
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
    trigger: Trigger = Trigger.USER
    #: The run of the connection's schedule that starts this sync.
    run: Run | None = None


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
        live = await self._registry.live_of(actor.user)
        if live is None:
            connection = await self._connection(actor, request.connection_id)
            check_not_lost(connection)
            if request.trigger is not Trigger.NOTIFICATION:
                await self._check_daily_limit(actor)
            sync = await self._plan_sync(actor, request, connection)
            rest = [started(sync, actor)]
            rest += [replace_run_statement(connection.id, request.run)] if request.run else []
            rest += [reads_notified(sync)] if sync.options.records else []
            conditions = self._conditions(actor, request)
            try:
                if await self._registry.create(sync, conditions, request.key, *rest):
                    return sync
            except Refused:  # another start of this user was first
                live = await self._registry.live_of(actor.user)
            else:
                raise await self._why_not(actor, connection.id, request)
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

    def _conditions(self, actor: Actor, request: StartRequest) -> Conditions:
        a_day = self._plans.of(actor.plan).syncs_per_day
        if request.trigger is Trigger.NOTIFICATION:  # not started by the user, so not counted
            a_day = None
        return Conditions(
            live_of_tenant=self._plans.tenant_limit(actor.plan),
            started_today=NO_LIMIT if a_day is None else a_day,
            due=request.run.due if request.run else None,
        )

    async def _why_not(
        self, actor: Actor, connection_id: str, request: StartRequest
    ) -> ServiceError:
        """The error for the condition that did not hold when the sync was stored."""
        connection = await self._connection(actor, connection_id)  # raises if forgotten meanwhile
        if request.trigger is not Trigger.NOTIFICATION:
            await self._check_daily_limit(actor)
        schedule = connection.schedule
        if request.run and (schedule is None or schedule.next != request.run.due):
            return Overtaken("Another process has started this run of the schedule.")
        return TooManySyncs(headers={"Retry-After": "60"})

    async def windows(
        self, actor: Actor, connection: StoredConnection, options: Options
    ) -> Mapping[str, Window]:
        """The windows that a sync with these options would read, by dataset. Raises Invalid or
        PlanLimit."""
        sync = await self._plan_sync(actor, StartRequest(connection.id, options), connection)
        return {dataset.name: dataset.checkpoint.window for dataset in sync.read_datasets}

    def plan_of(self, actor: Actor) -> Plan:
        """The limits of the user's plan, with the default limit of the tenant filled in."""
        limit = self._plans.tenant_limit(actor.plan)
        return msgspec.structs.replace(self._plans.of(actor.plan), concurrency=limit)

    async def started_today(self, actor: Actor) -> int:
        """The number of syncs that the user has started since midnight in UTC."""
        today = midnight(self._clock.now())
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
        left = (midnight(now) + timedelta(days=1) - now).total_seconds()
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
        return new_sync(
            actor,
            connection,
            connector,
            request.options,
            plan,
            stored,
            now,
            newest,
            request.trigger,
        )
