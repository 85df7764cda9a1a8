"""The one door to every sync: start, cancel, resume, get; take and record for the pipeline.

It is the truth about live syncs, in memory, mirrored to `sync_progress` by guarded writes. The
order of a change is store, memory, bus: nobody hears of what a poll does not yet show."""

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime

import anyio
import msgspec
import structlog
from uuid_utils import uuid7

from connectors.base import Clock, Connector, Window
from service.errors import (
    AlreadyFinished,
    AlreadyRunning,
    Invalid,
    NotConnected,
    NotFound,
    Overtaken,
    SyncAlreadyRunning,
    TooManySyncs,
)
from service.events.bus import EventBus
from service.model import CLAIMS, Actor, Checkpoint, DatasetProgress, Status, Sync
from service.runner.runner import Runner
from service.sources import Sources
from service.store.engine import Refused, Statement
from service.store.store import Store, StoredConnection, save

ENDED_IN_MEMORY = 1000
TRIES = 50
"""How often a change from outside may lose against the sync's own progress before it gives up."""

log = structlog.get_logger()


class StartRequest(msgspec.Struct, frozen=True):
    """What a start may ask for; everything may be left out."""

    connection_id: str | None = None
    datasets: Sequence[str] | None = None
    since: datetime | None = None
    until: datetime | None = None
    attach: bool = False

    @property
    def options(self) -> dict[str, object]:
        """As it is shown in the status."""
        given = {"datasets": self.datasets, "since": self.since, "until": self.until}
        return {name: value for name, value in given.items() if value is not None}


class Registry:
    """Every sync by its id, and the live one of each user."""

    def __init__(
        self,
        store: Store,
        bus: EventBus,
        runner: Runner,
        sources: Sources,
        clock: Clock,
        most_of_tenant: int,
    ) -> None:
        self._store = store
        self._bus = bus
        self._runner = runner
        self._sources = sources
        self._clock = clock
        self._most_of_tenant = most_of_tenant
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
        """A new sync, about to run. With `attach`, the one that is live already, if there is one.

        Raises NotConnected, SyncAlreadyRunning, TooManySyncs or Invalid."""
        if running := self.live_of(actor.user):
            return _attach(running, request)
        connection = await self._connection(actor, request.connection_id)
        sync = self._new(actor, connection, request)
        try:
            with anyio.CancelScope(shield=True):
                if not await self._store.create(sync, self._most_of_tenant):
                    raise TooManySyncs(headers={"Retry-After": "60"})
                await self._tell(sync)
        except Refused:
            running = self.live_of(actor.user) or await self._store.live_sync(actor.user)
            if running is None:
                raise Overtaken("A sync ended just now. Start again.") from None
            self._remember(running)
            return _attach(running, request)
        self._runner.submit(sync.id)
        log.info("sync_started", sync_id=sync.id, connector=sync.connector)
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
                raise AlreadyFinished(f"This sync is {sync.status}; it cannot be cancelled.")
            try:
                cancelled = sync.cancelled(self._clock.now())
                await self.record(cancelled)
            except Overtaken:
                continue
            log.info("sync_cancelled", sync_id=sync_id)
            return cancelled
        raise Overtaken

    async def resume(self, actor: Actor, sync_id: str) -> Sync:
        """Paused, failed or cancelled goes on from its checkpoints."""
        sync = await self.get(actor, sync_id)
        if sync.status in (Status.PENDING, Status.IN_PROGRESS):
            raise AlreadyRunning
        if sync.status is Status.COMPLETE:
            raise AlreadyFinished
        running = self.live_of(actor.user)
        if running and running.id != sync_id:
            raise _running(running)
        await self._connection(actor, sync.connection_id)  # forgotten: there is nothing to go on
        resumed = sync.resumed(self._clock.now())
        try:
            await self.record(resumed)
        except Refused:
            running = await self._store.live_sync(actor.user)
            raise (_running(running) if running else Overtaken()) from None
        self._runner.submit(sync_id)
        log.info("sync_resumed", sync_id=sync_id, attempt=resumed.attempt)
        return resumed

    def live_of(self, user: str) -> Sync | None:
        sync_id = self._live_of_user.get(user)
        return self._live.get(sync_id) if sync_id else None

    def all_of(self, user: str) -> list[Sync]:
        """The user's syncs that are in memory: the live one, and what ended lately."""
        live = self.live_of(user)
        ended = [sync for sync in self._ended.values() if sync.user == user]
        return [*ended, *([live] if live else [])]

    # For the pipeline ---------------------------------------------------------------------------

    async def take(self, sync_id: str) -> Sync:
        """Make a sync ours to run. Raises IllegalMove if it is none to run, Overtaken if another
        took it first."""
        sync = await self.find(sync_id)
        if sync is None:
            raise NotFound
        taken = sync.taken(self._clock.now())
        await self.record(taken)
        return taken

    async def record(self, sync: Sync, *rest: Statement) -> None:
        """Keep a new version of a sync, and whatever belongs to it, then tell everybody.

        Raises Overtaken if somebody else made that version first; then nothing was kept."""
        with anyio.CancelScope(shield=True):  # what was kept must also be told
            if not await self._store.write(save(sync), *rest):
                await self._catch_up(sync.id)
                raise Overtaken
            await self._tell(sync)

    async def unfinished(self) -> list[Sync]:
        """What a process that is gone left running: to be submitted at the start."""
        found = await self._store.unfinished()
        for sync in found:
            self._remember(sync)
        return [sync for sync in found if sync.status is not Status.PAUSED]

    async def find(self, sync_id: str) -> Sync | None:
        if sync := self._live.get(sync_id) or self._ended.get(sync_id):
            return sync
        return await self._store.sync(sync_id)

    # Inside -------------------------------------------------------------------------------------

    async def _tell(self, sync: Sync) -> None:
        self._remember(sync)
        await self._bus.publish(sync)

    async def _catch_up(self, sync_id: str) -> None:
        if kept := await self._store.sync(sync_id):
            self._remember(kept)

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

    async def _connection(self, actor: Actor, wanted: str | None) -> StoredConnection:
        connections = await self._store.connections(actor.user)
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

    def _new(self, actor: Actor, connection: StoredConnection, request: StartRequest) -> Sync:
        now = self._clock.now()
        connector = self._sources.get(connection.connector)
        return Sync(
            id=f"sync_{uuid7().hex}",
            user=actor.user,
            tenant=actor.tenant,
            connector=connection.connector,
            connection_id=connection.id,
            started_at=now,
            updated_at=now,
            options=request.options,
            datasets=_datasets(connector, request, now),
        )


def _datasets(
    connector: Connector, request: StartRequest, now: datetime
) -> tuple[DatasetProgress, ...]:
    """What to read, each in a window that is computed once and stays."""
    names = [each.name for each in connector.datasets]
    wanted = names if request.datasets is None else request.datasets
    unknown = [name for name in wanted if name not in names]
    if unknown or not wanted:
        raise Invalid.field("datasets", f"Choose at least one of: {', '.join(names)}.")
    datasets = []
    for each in connector.datasets:
        if each.name not in wanted:
            continue
        newest = now - each.lag
        until = min(request.until or newest, newest)
        since = request.since or (until - each.reach if each.reach else until)
        if each.reach and since >= until:
            raise Invalid.field("since", f"Must be before until ({until:%Y-%m-%dT%H:%M:%SZ}).")
        checkpoint = Checkpoint(Window(since, until))
        datasets.append(DatasetProgress(each.name, each.label, checkpoint))
    return (*datasets, DatasetProgress(CLAIMS, "claims", Checkpoint(Window(now, now))))


def _attach(running: Sync, request: StartRequest) -> Sync:
    if request.attach:
        return running
    raise _running(running)


def _running(running: Sync) -> SyncAlreadyRunning:
    return SyncAlreadyRunning(more=addresses(running.id))


def addresses(sync_id: str) -> Mapping[str, str]:
    """The id of a sync and where to look at it and to follow it."""
    return {
        "syncId": sync_id,
        "statusUrl": f"/api/sync/status/{sync_id}",
        "streamUrl": f"/api/sse/sync-progress/{sync_id}",
    }
