"""The event bus of a process that shares its database with others.

Changes of other processes are read from the database every CATCH_UP seconds, for the syncs that are
followed or run here. A read returns only syncs that have changed, so it costs little. With Redis
(`service.events.redis`), changes arrive at once. The reads continue, since Redis may lose some."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager

import anyio
import anyio.abc
import structlog

from service.events.bus import EventBus, Interest
from service.model import Sync

CATCH_UP = 2.0
"""Seconds between two reads: the longest delay of an event without Redis."""

log = structlog.get_logger()

Changes = Callable[[Mapping[str, int]], Awaitable[Mapping[str, Sync | None]]]
"""Takes syncs with their known versions. Returns those stored with another version; None for a sync
that does not exist."""
OfUsers = Callable[[Sequence[str]], Awaitable[Sequence[str]]]
"""Returns the ids of the syncs of these users that are live or have ended recently."""


class SharedEventBus(EventBus):
    """Delivers the changes of this process at once, and the changes of others after a read."""

    def __init__(self, changes: Changes, of_users: OfUsers) -> None:
        super().__init__()
        self._changes = changes
        self._of_users = of_users
        self._interest: Callable[[], Interest] = lambda: Interest(frozenset(), frozenset())

    @asynccontextmanager
    async def open(self, interest: Callable[[], Interest]) -> AsyncIterator[None]:
        """Deliver the changes of other processes while open."""
        self._interest = interest
        async with anyio.create_task_group() as group:
            self._start(group)
            try:
                yield
            finally:
                group.cancel_scope.cancel()

    def _start(self, group: anyio.abc.TaskGroup) -> None:
        group.start_soon(self._catch_up_often)

    async def _catch_up_often(self) -> None:
        while True:
            await anyio.sleep(CATCH_UP)
            await self.catch_up()

    async def catch_up(self) -> None:
        """Deliver the changes. A failed read is repeated after the next pause."""
        interest = self._interest()
        ids = set(interest.syncs)
        try:
            if interest.users:
                ids.update(await self._of_users(sorted(interest.users)))
            if ids:
                known = {sync_id: self._versions.get(sync_id, 0) for sync_id in ids}
                for sync in (await self._changes(known)).values():
                    if sync:
                        self.deliver(sync)
        except Exception as error:
            log.warning("changes_not_read", reason=str(error))
