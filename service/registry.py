"""The live syncs, in memory and mirrored to the store: get, cancel, resume, take, record.

Every change goes to the store first (a guarded write), then to memory, then to the bus: no event
shows more than a poll."""

from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager

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
from service.model import Fault, Status, Sync
from service.planning import check_not_lost, choose_connection
from service.plans import Plans
from service.runner.runner import Runner
from service.store.audit import moved
from service.store.connections import ConnectionStore, StoredConnection
from service.store.engine import Refused, Statement
from service.store.patience import retry_until_available
from service.store.syncs import Key, SyncStore, revive, save
from service.users import Actor

#: Ended syncs that stay in memory, for polls and streams that follow a sync to its end.
ENDED_IN_MEMORY = 1000
#: Attempts of a cancel before it gives up because the sync changes at the same time.
TRIES = 50

log = structlog.get_logger()


class Registry:
    """Every sync by its id, and the live one of each user."""

    def __init__(
        self,
        store: SyncStore,
        connections: ConnectionStore,
        bus: EventBus,
        runner: Runner,
        clock: Clock,
        plans: Plans,
    ) -> None:
        self._store = store
        self._connections = connections
        self._bus = bus
        self._runner = runner
        self._clock = clock
        self._plans = plans
        self._live: dict[str, Sync] = {}
        self._live_of_user: dict[str, str] = {}
        self._ended: OrderedDict[str, Sync] = OrderedDict()

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
            raise NotFound(f"You have no sync {sync_id}. GET /api/sync/history lists them.")
        return sync

    async def current(self, actor: Actor) -> Sync:
        """The user's live sync, or else the newest. Raises NotFound for a user without syncs."""
        sync = self.live_of(actor.user) or await self._store.newest_sync(actor.user)
        if sync is None:
            raise NotFound("You have not started a sync yet. POST /api/sync/start starts one.")
        return sync

    async def cancel(self, actor: Actor, sync_id: str) -> Sync:
        """Cancel a live sync. A cancelled one is returned unchanged; any other ended one raises
        AlreadyFinished."""
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
        """Continue a paused, failed or cancelled sync from its checkpoints."""
        sync = await self.get(actor, sync_id)
        if sync.status in (Status.PENDING, Status.IN_PROGRESS):
            raise AlreadyRunning(more=sync_links(sync_id))
        if sync.status is Status.COMPLETE:
            raise AlreadyFinished(more={"syncId": sync_id, "syncStatus": sync.status})
        live = self.live_of(actor.user)
        if live and live.id != sync_id:
            raise already_running(live)
        check_not_lost(await self._connection(actor, sync))
        self._remember(sync)
        resumed = sync.resumed(self._clock.now())
        limit = self._plans.tenant_limit(actor.plan)
        try:
            await self._keep(revive(resumed, limit), resumed, moved(resumed, actor))
        except Refused:
            live = await self._store.live_sync(actor.user)
            raise (already_running(live) if live else Overtaken()) from None
        except Overtaken:
            await self._connection(actor, sync)  # raises if forgotten meanwhile
            latest = await self.get(actor, sync_id)
            if latest.status in (Status.PENDING, Status.IN_PROGRESS):  # by another resume
                raise AlreadyRunning(more=sync_links(sync_id)) from None
            if await self._store.live_of_tenant(sync.tenant) >= limit:
                raise TooManySyncs(headers={"Retry-After": "60"}) from None
            raise
        self._runner.submit(resumed)
        return resumed

    def live_of(self, user: str) -> Sync | None:
        sync_id = self._live_of_user.get(user)
        return self._live.get(sync_id) if sync_id else None

    def all_of(self, user: str) -> list[Sync]:
        """The user's syncs in memory: those that ended recently, and the live one."""
        live = self.live_of(user)
        ended = [sync for sync in self._ended.values() if sync.user == user]
        return [*ended, *([live] if live else [])]

    # For the service itself -------------------------------------------------------------------

    async def create(
        self, sync: Sync, tenant_limit: int, key: Key | None, *rest: Statement
    ) -> bool:
        """Store, publish and submit a new sync. False if its tenant has too many live syncs or its
        connection was forgotten; raises Refused if its user has a live or a newer sync, or has used
        the key."""
        with anyio.CancelScope(shield=True):  # what is stored must also be published
            if not await self._store.create(sync, tenant_limit, key, *rest):
                return False
            await self._publish(sync)
        self._runner.submit(sync)
        return True

    async def take(self, sync_id: str) -> Sync:
        """Claim a sync to run it in this process. Raises IllegalMove if the sync must not run, and
        Overtaken if another process claimed it first."""
        sync = await retry_until_available(lambda: self.find(sync_id))
        if sync is None:
            raise NotFound
        taken = sync.taken(self._clock.now())
        await self.record(taken)
        return taken

    async def record(self, sync: Sync, *rest: Statement) -> None:
        """Store a new version of a sync together with `rest`, then publish it. Waits while the
        database is unavailable.

        Raises Overtaken, and stores nothing, if another change made that version first."""
        move = [] if sync.status is Status.IN_PROGRESS else [moved(sync, None)]
        await retry_until_available(lambda: self._keep(save(sync), sync, *move, *rest))

    async def unfinished(self) -> list[Sync]:
        """The syncs that an earlier process left unfinished, to be submitted at startup. Paused
        syncs are remembered but not returned."""
        syncs = await self._store.unfinished()
        for sync in syncs:
            self._remember(sync)
        return [sync for sync in syncs if sync.status is not Status.PAUSED]

    def runs(self, sync_id: str) -> bool:
        """Whether this process is running the sync."""
        return self._runner.runs(sync_id)

    def paused(self) -> list[Sync]:
        return [sync for sync in self._live.values() if sync.status is Status.PAUSED]

    async def expire(self, sync: Sync, text: str) -> None:
        """Fail a sync that was paused for too long."""
        await self.record(sync.failed(Fault("paused_too_long", text), self._clock.now()))

    async def find(self, sync_id: str) -> Sync | None:
        """A sync of any user, from memory or else from the store."""
        if sync := self._live.get(sync_id) or self._ended.get(sync_id):
            return sync
        return await self._store.sync(sync_id)

    async def find_live(self, user: str) -> Sync | None:
        """The user's live sync, from memory or else from the store."""
        live = self.live_of(user) or await self._store.live_sync(user)
        if live:
            self._remember(live)
        return live

    def forget(self, sync_id: str) -> None:
        """Remove from memory a sync that was deleted from the store."""
        self._ended.pop(sync_id, None)

    async def redact(self, sync: Sync) -> None:
        """Remove texts and cursors of the source from an ended sync whose data was erased."""
        redacted = sync.redacted()
        if redacted is not sync and await self._store.write(save(redacted)):
            self._remember(redacted)

    async def _connection(self, actor: Actor, sync: Sync) -> StoredConnection:
        """The connection of a sync. Raises NotConnected if it was forgotten."""
        return choose_connection(await self._connections.of_user(actor.user), sync.connection_id)

    # Storing ----------------------------------------------------------------------------------

    async def _keep(self, guard: Statement, sync: Sync, *rest: Statement) -> None:
        with anyio.CancelScope(shield=True):  # what is stored must also be published
            if not await self._store.write(guard, *rest):
                stored = await self._store.sync(sync.id)
                # It may be our own write, if the database became unavailable after the commit.
                if stored is None or _bytes(stored) != _bytes(sync):
                    if stored:
                        self._remember(stored)
                    raise Overtaken
            await self._publish(sync)

    async def _publish(self, sync: Sync) -> None:
        _log_move(self._live.get(sync.id) or self._ended.get(sync.id), sync)
        self._remember(sync)
        await self._bus.publish(sync)

    def _remember(self, sync: Sync) -> None:
        """Keep the newest version, even if versions arrive out of order."""
        before = self._live.get(sync.id) or self._ended.get(sync.id)
        if before and before.version >= sync.version:
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


def already_running(live: Sync) -> SyncAlreadyRunning:
    """The error of a start while a sync is live: which sync, and what to do."""
    more = sync_links(live.id)
    if live.status is not Status.PAUSED:
        return SyncAlreadyRunning(more=more)
    paused = {"syncStatus": live.status, "connectionId": live.connection_id}
    return SyncAlreadyRunning(live.pause_notice, more={**more, **paused})


def _log_move(before: Sync | None, sync: Sync) -> None:
    """Log each move (see MOVES) once, wherever it was made. A takeover counts as a move."""
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


def _bytes(sync: Sync) -> bytes:
    return msgspec.json.encode(sync)
