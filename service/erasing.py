"""Erases the records of a forgotten connection from every table and from the database files."""

import anyio
import structlog

from connectors.base import Clock
from service.registry import Registry
from service.store.audit import AuditStore
from service.store.connections import ConnectionStore, StoredConnection
from service.store.engine import Unavailable
from service.store.syncs import SyncStore

#: Seconds between two attempts of an erasure that could not be completed.
EVERY = 20.0
#: Rows deleted in one write: other writes must not wait for long.
ERASED_AT_ONCE = 500
SYNCS_AT_ONCE = 100

log = structlog.get_logger()


class Erasing:
    """Runs one erasure at a time. `run` continues an interrupted one, also after a restart."""

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
        self._lock = anyio.Lock()
        #: Whether the files may contain deleted data, also from an earlier process.
        self._traces = True

    async def run(self) -> None:
        """Run until cancelled."""
        while True:
            try:
                for connection in await self._connections.erasing():
                    await self.finish(connection.id)
                if self._traces:
                    await self.clean()
            except Unavailable:
                pass  # try again in the next round
            except Exception:
                log.exception("erasing_failed")
            await self._clock.sleep(EVERY)

    async def under_way(self, user: str, connection_id: str) -> bool:
        """Whether the erasure was requested and is not complete yet."""
        return any(
            (connection.user, connection.id) == (user, connection_id)
            for connection in await self._connections.erasing()
        )

    async def finish(self, connection_id: str) -> bool:
        """Complete an erasure. Returns False while another program reads the files."""
        async with self._lock:
            for connection in await self._connections.erasing():
                if connection.id != connection_id:
                    continue
                await self._erase_rows(connection)
                if not await self._wipe(thoroughly=True):
                    log.warning("erasing_held_back", connection_id=connection_id)
                    return False
                await self._connections.erased(connection_id)
                log.info("connection_erased", connection_id=connection_id)
        return True

    async def clean(self) -> None:
        """Remove recently deleted or overwritten data, such as credentials, from the files."""
        self._traces = True
        self._traces = not await self._wipe()

    async def _wipe(self, thoroughly: bool = False) -> bool:
        try:
            return await self._store.wipe(thoroughly)
        except Unavailable:
            return False

    async def _erase_rows(self, connection: StoredConnection) -> None:
        """Delete the rows in portions, so that an interrupted erasure can continue anywhere."""
        while await self._connections.erase_some(connection.id, ERASED_AT_ONCE):
            pass
        while await self._audit.redact(connection.user, connection.id, ERASED_AT_ONCE):
            pass
        filters, before = {"connection_id": connection.id}, "sync_~"
        while True:
            syncs, _ = await self._store.history(connection.user, filters, SYNCS_AT_ONCE, before)
            for sync in syncs:
                while await self._store.prune_items(sync.id, ERASED_AT_ONCE):
                    pass
                await self._registry.redact(sync)
            if len(syncs) < SYNCS_AT_ONCE:
                return
            before = syncs[-1].id
