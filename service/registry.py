"""The one door to every sync: start, cancel, resume, get; take and record for the pipeline.

It is the truth about live syncs, in memory, mirrored to `sync_progress` by guarded writes. The
order of a change is store, memory, bus: nobody hears of what a poll does not yet show."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

import anyio
import msgspec
import structlog

from connectors.base import Clock
from service.errors import (
    AlreadyFinished,
    AlreadyRunning,
    Invalid,
    KeyReused,
    LostConnection,
    NotConnected,
    NotFound,
    Overtaken,
    PlanLimit,
    SyncAlreadyRunning,
    TooManySyncs,
)
from service.events.bus import EventBus
from service.links import sync_links
from service.model import Actor, Fault, Options, Status, Sync
from service.plans import Plan, Plans
from service.runner.runner import Runner
from service.sources import Sources
from service.starting import new_sync
from service.store.audit import moved, started
from service.store.connections import ConnectionStore, StoredConnection
from service.store.engine import Refused, Statement
from service.store.patience import retry_until_available
from service.store.records import RecordStore
from service.store.syncs import Key, SyncStore, revive, save

ENDED_IN_MEMORY = 1000
TRIES = 50
"""How often a change from outside may lose against the sync's own progress before it gives up."""

log = structlog.get_logger()


class StartRequest(msgspec.Struct, frozen=True):
    """What a start may ask for; everything may be left out. `by` is what starts it in place of the
    user: his schedule."""

    connection_id: str | None = None
    options: Options = Options()
    attach: bool = False
    key: Key | None = None
    by: str = ""


class Registry:
    """Every sync by its id, and the live one of each user."""

    def __init__(
        self,
        store: SyncStore,
        records: RecordStore,
        connections: ConnectionStore,
        bus: EventBus,
        runner: Runner,
        sources: Sources,
        clock: Clock,
        plans: Plans,
    ) -> None:
        self._store = store
        self._records = records
        self._connections = connections
        self._bus = bus
        self._runner = runner
        self._sources = sources
        self._clock = clock
        self._plans = plans
        self._live: dict[str, Sync] = {}
        self._live_of_user: dict[str, str] = {}
        self._ended: OrderedDict[str, Sync] = OrderedDict()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While it listens, what another process wrote becomes known here."""
        with self._bus.listen(self._remember):
            yield

    # For users --------------------------------------------------------------------------------

    async def start(self, actor: Actor, request: StartRequest) -> Sync:
        """A new sync, about to run. With `attach`, the one that is live already, if there is one;
        with a key that was used, the one that it meant.

        Raises NotConnected, LostConnection, SyncAlreadyRunning, TooManySyncs, PlanLimit, KeyReused
        or Invalid."""
        if same := await self._same_start(actor, request):
            return same
        if running := self.live_of(actor.user):
            return await self._attach(actor, running, request)
        connection = _usable(await self._connection(actor, request.connection_id))
        await self._check_day(actor)
        connector = self._sources.get(connection.connector)
        plan, landed = self._plans.of(actor.plan), await self._records.datasets(connection.id)
        now, last = self._clock.now(), await self._store.newest_id(actor.user)
        sync = new_sync(actor, connection, connector, request.options, plan, landed, now, last)
        begun = started(sync, actor, request.by)
        most = self._plans.most_of_tenant(actor.plan)
        try:
            with anyio.CancelScope(shield=True):
                if not await self._store.create(sync, most, request.key, begun):
                    await self._connection(actor, connection.id)  # forgotten meanwhile?
                    raise TooManySyncs(headers={"Retry-After": "60"})
                await self._tell(sync)
        except Refused:
            return await self._other(actor, request)
        self._runner.submit(sync)
        return sync

    async def get(self, actor: Actor, sync_id: str) -> Sync:
        """From memory, else from the store. Raises NotFound, also for somebody else's."""
        sync = await self.find(sync_id)
        if sync is None or sync.user != actor.user:
            raise NotFound(f"You have no sync {sync_id}. GET /api/sync/history lists them.")
        return sync

    async def current(self, actor: Actor) -> Sync:
        """The user's live sync, or the newest. Raises NotFound if there never was one."""
        sync = self.live_of(actor.user) or await self._store.newest_sync(actor.user)
        if sync is None:
            raise NotFound("You have not started a sync yet. POST /api/sync/start starts one.")
        return sync

    async def cancel(self, actor: Actor, sync_id: str) -> Sync:
        """Live becomes cancelled; cancelled stays as it is. Raises AlreadyFinished otherwise."""
        for _ in range(TRIES):
            sync = await self.get(actor, sync_id)
            if sync.status is Status.CANCELLED:
                return sync
            if not sync.live:
                text = f"This sync is {sync.status}; it cannot be cancelled."
                raise AlreadyFinished(text, more={"syncId": sync_id, "syncStatus": sync.status})
            try:
                cancelled = sync.cancelled(self._clock.now())
                await self._keep(save(cancelled), cancelled, moved(cancelled, actor))
            except Overtaken:
                continue
            return cancelled
        raise Overtaken

    async def resume(self, actor: Actor, sync_id: str) -> Sync:
        """Paused, failed or cancelled goes on from its checkpoints."""
        sync = await self.get(actor, sync_id)
        if sync.status in (Status.PENDING, Status.IN_PROGRESS):
            raise AlreadyRunning(more=sync_links(sync_id))
        if sync.status is Status.COMPLETE:
            raise AlreadyFinished(more={"syncId": sync_id, "syncStatus": sync.status})
        running = self.live_of(actor.user)
        if running and running.id != sync_id:
            raise _running(running)
        # Forgotten or lost: there is nothing to go on with.
        _usable(await self._connection(actor, sync.connection_id))
        self._remember(sync)
        resumed = sync.resumed(self._clock.now())
        most = self._plans.most_of_tenant(actor.plan)
        try:
            await self._keep(revive(resumed, most), resumed, moved(resumed, actor))
        except Refused:
            running = await self._store.live_sync(actor.user)
            raise (_running(running) if running else Overtaken()) from None
        except Overtaken:
            await self._connection(actor, sync.connection_id)
            kept = await self.get(actor, sync_id)
            if kept.status in (Status.PENDING, Status.IN_PROGRESS):  # by another resume
                raise AlreadyRunning(more=sync_links(sync_id)) from None
            if await self._store.live_of_tenant(sync.tenant) >= most:
                raise TooManySyncs(headers={"Retry-After": "60"}) from None
            raise
        self._runner.submit(resumed)
        return resumed

    def live_of(self, user: str) -> Sync | None:
        sync_id = self._live_of_user.get(user)
        return self._live.get(sync_id) if sync_id else None

    def all_of(self, user: str) -> list[Sync]:
        """The user's syncs that are in memory: the live one, and what ended lately."""
        live = self.live_of(user)
        ended = [sync for sync in self._ended.values() if sync.user == user]
        return [*ended, *([live] if live else [])]

    def plan_of(self, actor: Actor) -> Plan:
        """What the user's plan allows; the limit of the tenant is in it, whoever has set it."""
        most = self._plans.most_of_tenant(actor.plan)
        return msgspec.structs.replace(self._plans.of(actor.plan), concurrency=most)

    async def started_today(self, actor: Actor) -> int:
        """How many syncs the user has started since the day began in UTC."""
        today = _midnight(self._clock.now())
        return await self._store.started_between(actor.user, today, today + timedelta(days=1))

    # For the service itself -------------------------------------------------------------------

    async def take(self, sync_id: str) -> Sync:
        """Make a sync ours to run. Raises IllegalMove if it is none to run, Overtaken if another
        took it first."""
        sync = await retry_until_available(lambda: self.find(sync_id))
        if sync is None:
            raise NotFound
        taken = sync.taken(self._clock.now())
        await self.record(taken)
        return taken

    async def record(self, sync: Sync, *rest: Statement) -> None:
        """Keep a new version of a sync, and whatever belongs to it, then tell everybody. A database
        that is away is waited for.

        Raises Overtaken if somebody else made that version first; then nothing was kept."""
        move = [] if sync.status is Status.IN_PROGRESS else [moved(sync, None)]
        await retry_until_available(lambda: self._keep(save(sync), sync, *move, *rest))

    async def unfinished(self) -> list[Sync]:
        """What a process that is gone left running: to be submitted at the start."""
        found = await self._store.unfinished()
        for sync in found:
            self._remember(sync)
        return [sync for sync in found if sync.status is not Status.PAUSED]

    def runs(self, sync_id: str) -> bool:
        """Whether this process works on it."""
        return self._runner.runs(sync_id)

    def paused(self) -> list[Sync]:
        return [sync for sync in self._live.values() if sync.status is Status.PAUSED]

    async def expire(self, sync: Sync, text: str) -> None:
        """A sync that was paused for too long fails."""
        await self.record(sync.failed(Fault("paused_too_long", text), self._clock.now()))

    async def find(self, sync_id: str) -> Sync | None:
        if sync := self._live.get(sync_id) or self._ended.get(sync_id):
            return sync
        return await self._store.sync(sync_id)

    def forget(self, sync_id: str) -> None:
        """It is pruned from the store."""
        self._ended.pop(sync_id, None)

    async def redact(self, sync: Sync) -> None:
        """Take what its source said out of a sync that has ended: its data was erased."""
        redacted = sync.redacted()
        if redacted is not sync and await self._store.write(save(redacted)):
            self._remember(redacted)

    # Keeping ----------------------------------------------------------------------------------

    async def _keep(self, guard: Statement, sync: Sync, *rest: Statement) -> None:
        with anyio.CancelScope(shield=True):  # what was kept must also be told
            if not await self._store.write(guard, *rest):
                kept = await self._store.sync(sync.id)
                # It may be ours all the same: the database went away after it had kept it.
                if kept is None or _bytes(kept) != _bytes(sync):
                    if kept:
                        self._remember(kept)
                    raise Overtaken
            await self._tell(sync)

    async def _tell(self, sync: Sync) -> None:
        _log_move(self._live.get(sync.id) or self._ended.get(sync.id), sync)
        self._remember(sync)
        await self._bus.publish(sync)

    def _remember(self, sync: Sync) -> None:
        """Newer versions win, in whichever order they are heard."""
        known = self._live.get(sync.id) or self._ended.get(sync.id)
        if known and known.version >= sync.version:
            return
        if sync.live:
            self._ended.pop(sync.id, None)
            self._live[sync.id] = sync
            self._live_of_user[sync.user] = sync.id
            return
        self._live.pop(sync.id, None)
        if self._live_of_user.get(sync.user) == sync.id:
            del self._live_of_user[sync.user]
        self._ended[sync.id] = sync
        while len(self._ended) > ENDED_IN_MEMORY:
            self._ended.popitem(last=False)

    # Starting ---------------------------------------------------------------------------------

    async def _same_start(self, actor: Actor, request: StartRequest) -> Sync | None:
        """What the same key has started, or was attached to, within the last day."""
        if request.key is None:
            return None
        used = await self._store.used_key(actor.user, request.key.key, self._clock.now())
        if used is None:
            return None
        asked, sync_id = used
        if asked != request.key.request:
            raise KeyReused
        return await self.find(sync_id)

    async def _other(self, actor: Actor, request: StartRequest) -> Sync:
        """Another start of the user won the race."""
        running = self.live_of(actor.user) or await self._store.live_sync(actor.user)
        if running is None:
            if same := await self._same_start(actor, request):
                return same
            raise Overtaken("A sync ended just now. Start again.") from None
        self._remember(running)
        return await self._attach(actor, running, request)

    async def _attach(self, actor: Actor, running: Sync, request: StartRequest) -> Sync:
        """The sync that runs, if that will do. It may be what the same key has just started."""
        if same := await self._same_start(actor, request):
            return same
        if not request.attach:
            raise _running(running)
        if request.key and not await self._store.keep_key(running, request.key, self._clock.now()):
            return await self._same_start(actor, request) or running
        return running

    async def _connection(self, actor: Actor, wanted: str | None) -> StoredConnection:
        connections = await self._connections.of_user(actor.user)
        if wanted is not None:
            found = next((each for each in connections if each.id == wanted), None)
            if found is None:
                raise NotConnected(
                    f"You have no connection {wanted}. GET /api/connections lists yours; "
                    "POST /api/connections connects an account."
                )
            return found
        if not connections:
            raise NotConnected
        if len(connections) > 1:
            raise Invalid.field("connectionId", "You have several connections: say which one.")
        return connections[0]

    async def _check_day(self, actor: Actor) -> None:
        most = self._plans.of(actor.plan).syncs_per_day
        if most is None:
            return
        if await self.started_today(actor) >= most:
            now = self._clock.now()
            left = (_midnight(now) + timedelta(days=1) - now).total_seconds()
            raise PlanLimit(
                f"Your plan allows {most} syncs a day. The next can start tomorrow (UTC).",
                more={"limit": "syncsPerDay", "allowed": most},
                headers={"Retry-After": f"{left:.0f}"},
            )


def _midnight(now: datetime) -> datetime:
    return now.replace(hour=0, minute=0, second=0, microsecond=0)


def _running(running: Sync) -> SyncAlreadyRunning:
    more = sync_links(running.id)
    if running.status is not Status.PAUSED:
        return SyncAlreadyRunning(more=more)
    paused = {"syncStatus": running.status, "connectionId": running.connection_id}
    return SyncAlreadyRunning(running.standing, more={**more, **paused})


def _usable(connection: StoredConnection) -> StoredConnection:
    """Raises LostConnection: a sync of it would only pause."""
    if connection.refused is None:
        return connection
    text = (
        f"The connection is lost: {connection.refused} "
        f"Reconnect it: POST /api/connections/{connection.id}/reconnect."
    )
    raise LostConnection(text, more={"connectionId": connection.id})


def _log_move(before: Sync | None, sync: Sync) -> None:
    """One event for each move (see MOVES), wherever it was made; a takeover is one, too."""
    if before and before.status is sync.status and before.takeovers >= sync.takeovers:
        return
    told: dict[str, object] = {
        "from": before.status.value if before else "none",
        "to": sync.status.value,
        "sync_id": sync.id,
        "tenant": sync.tenant,
        "connection_id": sync.connection_id,
        "attempt": sync.attempt,
        "version": sync.version,
    }
    if sync.error:
        told |= {"code": sync.error.code, "reason": sync.error.message}
    alarming = sync.status in (Status.PAUSED, Status.FAILED)
    (log.warning if alarming else log.info)("sync_moved", **told)


def _bytes(sync: Sync) -> bytes:
    return msgspec.json.encode(sync)
