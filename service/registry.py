"""The live syncs, in memory and mirrored to the store: get, cancel, resume, take, record.

Every change goes to the store first (a guarded write), then to memory, then to the bus: an event
never shows more than a poll."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakValueDictionary

import anyio
import msgspec
import structlog

from connectors.base import Clock
from service.errors import (
    AlreadyFinished,
    AlreadyRunning,
    NotFound,
    Overtaken,
    SyncAlreadyRunning,
    TooManySyncs,
)
from service.events.bus import EventBus
from service.links import sync_links
from service.metrics import Metrics
from service.model import Fault, Status, Sync
from service.newest import Newest
from service.planning import check_not_lost, choose_connection
from service.plans import Plans
from service.runner.base import Runner
from service.store.audit import moved
from service.store.changes import sync_event_statement
from service.store.connections import ConnectionStore, StoredConnection
from service.store.engine import Refused, Statement, Unavailable
from service.store.patience import retry_until_available
from service.store.syncs import Conditions, Key, SyncStore, revive, save
from service.users import Actor

#: Ended syncs that stay in memory, for polls and streams that follow a sync to its end.
ENDED_IN_MEMORY = 1000
#: Live syncs that stay in memory. In a cluster, the end of a sync of another process may be missed.
LIVE_IN_MEMORY = 10_000
#: Attempts of a cancel before it gives up because the sync changes at the same time.
TRIES = 50

log = structlog.get_logger()


class Registry:
    """The syncs, by their ids."""

    def __init__(
        self,
        store: SyncStore,
        connections: ConnectionStore,
        bus: EventBus,
        runner: Runner,
        clock: Clock,
        plans: Plans,
        metrics: Metrics,
        newest: Newest | None = None,
    ) -> None:
        """`newest` checks versions that another process may have replaced; None if there is no
        other process."""
        self._store = store
        self._connections = connections
        self._bus = bus
        self._runner = runner
        self._clock = clock
        self._plans = plans
        self._newest = newest
        self._metrics = metrics
        self._live: OrderedDict[str, Sync] = OrderedDict()
        self._ended: OrderedDict[str, Sync] = OrderedDict()
        #: One lock for each sync that is being changed here, kept only while it is used.
        self._locks: WeakValueDictionary[str, anyio.Lock] = WeakValueDictionary()

    @contextmanager
    def listening(self) -> Iterator[None]:
        """While open, keep changes from other processes in memory."""
        with self._bus.listen(self._remember):
            yield

    # For users --------------------------------------------------------------------------------

    async def get(self, actor: Actor, sync_id: str) -> Sync:
        """A sync of this user. Raises NotFound, also for the syncs of other users."""
        sync = await self.find(sync_id)
        if sync is None or sync.user != actor.user:
            raise _not_found(sync_id)
        return sync

    async def current(self, actor: Actor) -> Sync:
        """The user's live sync, or else the newest. Raises NotFound for a user without syncs."""
        sync = await self.live_of(actor.user) or await self._store.newest_sync(actor.user)
        if sync is None:
            raise NotFound("You have not started a sync yet. POST /api/sync/start starts one.")
        return sync

    async def cancel(self, actor: Actor, sync_id: str) -> Sync:
        """Cancel a live sync. A cancelled one is returned unchanged; any other ended one raises
        AlreadyFinished."""
        for _ in range(TRIES):
            try:
                async with self._lock(sync_id):
                    return await self._cancel(actor, sync_id)
            except Overtaken:
                if self._newest is not None:
                    # A process that writes all the time may win every race: stop it. If this
                    # process dies before it has cancelled, another one continues the sync.
                    await self._store.interrupt(sync_id)
        raise Overtaken

    async def _cancel(self, actor: Actor, sync_id: str) -> Sync:
        sync = await self._stored(actor, sync_id)
        if sync.status is Status.CANCELLED:
            return sync
        if not sync.live:
            text = f"This sync is {sync.status}; it cannot be cancelled."
            raise AlreadyFinished(text, more={"syncId": sync_id, "syncStatus": sync.status})
        cancelled = sync.cancelled(self._clock.now())
        rest = moved(cancelled, actor), sync_event_statement(cancelled)
        await self._keep(save(cancelled), cancelled, *rest)
        return cancelled

    async def resume(self, actor: Actor, sync_id: str) -> Sync:
        """Continue a paused, failed or cancelled sync from its checkpoints."""
        sync = await self._stored(actor, sync_id)
        if sync.status in (Status.PENDING, Status.IN_PROGRESS):
            raise AlreadyRunning(more=sync_links(sync_id))
        if sync.status is Status.COMPLETE:
            raise AlreadyFinished(more={"syncId": sync_id, "syncStatus": sync.status})
        live = await self.live_of(actor.user)
        if live and live.id != sync_id:
            raise already_running(live)
        check_not_lost(await self._connection(actor, sync))
        resumed = sync.resumed(self._clock.now())
        limit = self._plans.tenant_limit(actor.plan)
        try:
            rest = [moved(resumed, actor), sync_event_statement(resumed)]
            rest += self._runner.job(resumed)
            await self._keep(revive(resumed, limit), resumed, *rest)
        except Refused:
            live = await self._store.live_sync(actor.user)
            raise (already_running(live) if live else Overtaken()) from None
        except Overtaken:
            await self._connection(actor, sync)  # raises if forgotten meanwhile
            latest = await self._stored(actor, sync_id)
            if latest.status in (Status.PENDING, Status.IN_PROGRESS):  # by another resume
                raise AlreadyRunning(more=sync_links(sync_id)) from None
            if await self._store.live_of_tenant(sync.tenant) >= limit:
                raise TooManySyncs(headers={"Retry-After": "60"}) from None
            raise
        self._runner.submit(resumed)
        return resumed

    async def live_of(self, user: str) -> Sync | None:
        """The user's live sync, from the store."""
        live = await self._store.live_sync(user)
        if live:
            self._remember(live)
        return live

    # For the service itself -------------------------------------------------------------------

    async def create(
        self, sync: Sync, conditions: Conditions, key: Key | None, *rest: Statement
    ) -> bool:
        """Store, publish and submit a new sync. Returns False if a condition does not hold or its
        connection was forgotten. Raises Refused if its user has a live or a newer sync, or has used
        the key."""
        rest = (*rest, sync_event_statement(sync), *self._runner.job(sync))
        with anyio.CancelScope(shield=True):  # what is stored must also be published
            if not await self._store.create(sync, conditions, key, *rest):
                return False
            await self._publish(sync)
        self._runner.submit(sync)
        return True

    async def take(self, sync_id: str) -> Sync:
        """Claim a sync to run it in this process. Raises IllegalMove if the sync must not run, and
        Overtaken if another process claimed it first."""
        sync = await retry_until_available(lambda: self._store.sync(sync_id))
        if sync is None:
            raise NotFound
        self._remember(sync)
        taken = sync.taken(self._clock.now())
        await self.record(taken)
        return taken

    async def record(self, sync: Sync, *rest: Statement) -> None:
        """Store a new version of a sync together with `rest`, then publish it. Waits while the
        database is unavailable.

        Raises Overtaken, and stores nothing, if another change made that version first."""
        in_progress = sync.status is Status.IN_PROGRESS
        move = [] if in_progress else [moved(sync, None), sync_event_statement(sync)]

        async def keep() -> None:
            async with self._lock(sync.id):
                await self._keep(save(sync), sync, *move, *rest)

        await retry_until_available(keep)

    def is_newest(self, sync: Sync) -> bool:
        """Whether no later version is known here."""
        known = self._known(sync.id)
        return known is None or known.version <= sync.version

    def runs(self, sync_id: str) -> bool:
        """Whether this process is running the sync."""
        return self._runner.runs(sync_id)

    async def expire(self, sync: Sync, text: str) -> None:
        """Fail a sync that was paused for too long."""
        await self.record(sync.failed(Fault("paused_too_long", text), self._clock.now()))

    async def find(self, sync_id: str) -> Sync | None:
        """A sync of any user, from memory or else from the store; never older than what any process
        has shown before."""
        if "\0" in sync_id:  # PostgreSQL would refuse it, with all polls that share the read
            return None
        known = self._known(sync_id)
        if self._newest is None:
            return known or self._cached(await self._store.sync(sync_id))
        try:
            changes = await self._newest.changes(sync_id, known.version if known else 0)
        except Unavailable:
            if known is None:
                raise
            return known  # no process can change it now
        if sync_id not in changes:
            return self._known(sync_id) or known
        stored = changes[sync_id]
        if known and stored:
            self._remember(stored)  # also its end: otherwise it would stay among the live syncs
        return self._cached(stored)

    def _known(self, sync_id: str) -> Sync | None:
        return self._live.get(sync_id) or self._ended.get(sync_id)

    def _cached(self, stored: Sync | None) -> Sync | None:
        """The sync, which stays in memory while it is live."""
        if stored and stored.live:
            self._remember(stored)
        return stored

    def forget(self, sync_id: str) -> None:
        """Remove from memory a sync that was deleted from the store."""
        self._ended.pop(sync_id, None)

    async def redact(self, sync: Sync) -> None:
        """Remove texts and cursors of the source from an ended sync whose data was erased."""
        redacted = sync.redacted()
        if redacted is not sync and await self._store.write(save(redacted)):
            self._remember(redacted)

    async def _stored(self, actor: Actor, sync_id: str) -> Sync:
        """A sync of this user as it is stored, before a status change. Raises NotFound."""
        sync = await self._store.sync(sync_id)
        if sync is not None:
            self._remember(sync)
        if sync is None or sync.user != actor.user:
            raise _not_found(sync_id)
        return sync

    async def _connection(self, actor: Actor, sync: Sync) -> StoredConnection:
        """The connection of a sync. Raises NotConnected if it was forgotten."""
        return choose_connection(await self._connections.of_user(actor.user), sync.connection_id)

    # Storing ----------------------------------------------------------------------------------

    def _lock(self, sync_id: str) -> anyio.Lock:
        """Changes of a sync in this process take turns: otherwise a sync that writes page after
        page could win every race against its cancel."""
        return self._locks.setdefault(sync_id, anyio.Lock())

    async def _keep(self, guard: Statement, sync: Sync, *rest: Statement) -> None:
        with anyio.CancelScope(shield=True):  # what is stored must also be published
            if not await self._store.write(guard, *rest):
                stored = await self._store.sync(sync.id)
                # It may be our own write, if the database became unavailable after the commit.
                if _bytes(stored) != _bytes(sync):
                    if stored:
                        self._remember(stored)
                    raise Overtaken
            await self._publish(sync)

    async def _publish(self, sync: Sync) -> None:
        before = self._known(sync.id)
        _log_move(before, sync)
        self._metrics.changed(before, sync)
        self._remember(sync)
        await self._bus.publish(sync)

    def _remember(self, sync: Sync) -> None:
        """Keep the newest version, even if versions arrive out of order."""
        before = self._known(sync.id)
        if before and before.version >= sync.version:
            return
        if sync.live:
            self._ended.pop(sync.id, None)
            self._live[sync.id] = sync
            self._live.move_to_end(sync.id)
            if len(self._live) > LIVE_IN_MEMORY:
                self._live.popitem(last=False)
            return
        self._live.pop(sync.id, None)
        self._ended[sync.id] = sync
        while len(self._ended) > ENDED_IN_MEMORY:
            self._ended.popitem(last=False)


def _not_found(sync_id: str) -> NotFound:
    return NotFound(f"You have no sync {sync_id}. GET /api/sync/history lists them.")


def already_running(live: Sync) -> SyncAlreadyRunning:
    """The error of a start while a sync is live: which sync, and what to do."""
    more = sync_links(live.id)
    if live.status is not Status.PAUSED:
        return SyncAlreadyRunning(more=more)
    paused = {"syncStatus": live.status, "connectionId": live.connection_id}
    return SyncAlreadyRunning(live.pause_notice, more={**more, **paused})


def _log_move(before: Sync | None, sync: Sync) -> None:
    """Log each status change (see MOVES) once, whichever process made it. A takeover counts as
    one."""
    if before and before.status is sync.status and before.takeovers >= sync.takeovers:
        return
    fields: dict[str, object] = {
        "from": before.status.value if before else "none",
        "to": sync.status.value,
        "sync_id": sync.id,
        "tenant": sync.tenant,
        "connection_id": sync.connection_id,
        "attempt": sync.attempt,
        "version": sync.version,
    }
    if sync.error:
        fields |= {"code": sync.error.code, "reason": sync.error.message}
    alarming = sync.status in (Status.PAUSED, Status.FAILED)
    (log.warning if alarming else log.info)("sync_moved", **fields)


def _bytes(sync: Sync | None) -> bytes:
    return msgspec.json.encode(sync)
