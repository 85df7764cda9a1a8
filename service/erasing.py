"""What was landed of a forgotten connection goes, out of every table and out of the files."""

import anyio
import structlog

from connectors.base import Clock
from service.registry import Registry
from service.store.audit import AuditStore
from service.store.connections import ConnectionStore, StoredConnection
from service.store.engine import Unavailable
from service.store.syncs import SyncStore

EVERY = 20.0
"""Seconds between two tries of what could not be done."""
AT_ONCE = 500
"""Rows deleted in one write: others must not wait for long."""
SYNCS_AT_ONCE = 100

log = structlog.get_logger()


class Erasing:
    """One erasure at a time. What is broken off goes on in `run`, also after a restart."""

    def __init__(
        self,
        store: SyncStore,
        connections: ConnectionStore,
        audit: AuditStore,
        registry: Registry,
        clock: Clock,
    ) -> None:
        self._store = store
        self._connections = connections
        self._audit = audit
        self._registry = registry
        self._clock = clock
        self._turn = anyio.Lock()
        self._traces = True  # what a process before this one has left

    async def run(self) -> None:
        """For ever; cancel it to end it."""
        while True:
            try:
                for connection in await self._connections.erasing():
                    await self.finish(connection.id)
                if self._traces:
                    await self.clean()
            except Unavailable:
                pass  # the next round is soon enough
            except Exception:
                log.exception("erasing_failed")
            await self._clock.sleep(EVERY)

    async def under_way(self, user: str, connection_id: str) -> bool:
        """Whether it is asked for and not yet done."""
        return any(
            (each.user, each.id) == (user, connection_id)
            for each in await self._connections.erasing()
        )

    async def finish(self, connection_id: str) -> bool:
        """Erase to the end. False if another program that reads the files holds it back."""
        async with self._turn:
            found = [each for each in await self._connections.erasing() if each.id == connection_id]
            for connection in found:
                await self._rows(connection)
                if not await self._wiped(thoroughly=True):
                    log.warning("erasing_held_back", connection_id=connection_id)
                    return False
                await self._connections.erased(connection_id)
                log.info("connection_erased", connection_id=connection_id)
        return True

    async def clean(self) -> None:
        """What was overwritten or deleted lately, credentials say, is in no file any more."""
        self._traces = True
        self._traces = not await self._wiped()

    async def _wiped(self, thoroughly: bool = False) -> bool:
        try:
            return await self._store.wipe(thoroughly)
        except Unavailable:
            return False

    async def _rows(self, connection: StoredConnection) -> None:
        """In slices; each is as good as the last, whoever broke it off."""
        while await self._connections.erase_some(connection.id, AT_ONCE):
            pass
        while await self._audit.redact(connection.user, connection.id, AT_ONCE):
            pass
        filters, before = {"connection_id": connection.id}, "sync_~"
        while True:
            syncs, _ = await self._store.history(connection.user, filters, SYNCS_AT_ONCE, before)
            for sync in syncs:
                while await self._store.prune_items(sync.id, AT_ONCE):
                    pass
                await self._registry.redact(sync)
            if len(syncs) < SYNCS_AT_ONCE:
                return
            before = syncs[-1].id
