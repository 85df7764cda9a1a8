"""Checks of polls against the database, so that no process shows an older version of a sync than
another did.

One read serves all polls that wait for it; those that arrive meanwhile share the next one. It
returns only syncs whose stored version is not the one in memory."""

from collections.abc import Awaitable, Callable, Mapping

import anyio

from service.model import Sync

SILENT = 2.0
"""If a read fails after more seconds than this, the database does not respond."""

Changes = Callable[[Mapping[str, int]], Awaitable[Mapping[str, Sync | None]]]
"""Takes syncs with their known versions. Returns those stored with another version; None for a sync
that does not exist."""


class _Batch:
    """The polls that share one read."""

    def __init__(self) -> None:
        #: The newest version that a poll knows, by sync.
        self.known: dict[str, int] = {}
        self.done = anyio.Event()
        self.changes: Mapping[str, Sync | None] = {}
        self.error: Exception | None = None

    def add(self, sync_id: str, version: int) -> None:
        self.known[sync_id] = max(version, self.known.get(sync_id, 0))


class Newest:
    """Reads changes in batches, one batch at a time."""

    def __init__(self, read: Changes) -> None:
        self._read_changes = read
        self._lock = anyio.Lock()
        self._next: _Batch | None = None
        #: The error of the last read if the database did not respond to it.
        self._silence: Exception | None = None

    async def changes(self, sync_id: str, version: int) -> Mapping[str, Sync | None]:
        """The changed syncs, as stored after this call began: this one if it has changed, and
        others. If this one is missing, its version is still the known one, or one that memory has
        learned meanwhile. Raises Unavailable, at once while a database that did not respond is read
        again."""
        if self._silence is not None and self._lock.locked():
            raise self._silence
        if self._next is None:
            batch = self._next = _Batch()
            batch.add(sync_id, version)
            with anyio.CancelScope(shield=True):  # others wait for this read
                await self._read(batch)
        else:
            batch = self._next
            batch.add(sync_id, version)
            await batch.done.wait()
        if batch.error:
            raise batch.error
        return batch.changes

    async def _read(self, batch: _Batch) -> None:
        async with self._lock:
            self._next = None
            began = anyio.current_time()
            try:
                batch.changes = await self._read_changes(batch.known)
                self._silence = None
            except Exception as error:
                batch.error = error
                self._silence = error if anyio.current_time() - began > SILENT else None
            finally:
                batch.done.set()
