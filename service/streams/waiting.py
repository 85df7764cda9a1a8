"""Requests that wait for a change of a sync.

A waiting request costs no task and no query: its own task waits for its client to disconnect, in a
scope that ends when the time is over or a change arrives."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio
from starlette.types import Receive

from service.model import Sync

Condition = Callable[[Sync], bool]


class Waiter:
    """One request that waits."""

    __slots__ = ("_condition", "_ended", "_scope", "sync", "sync_id", "user")

    def __init__(self, user: str, sync_id: str, condition: Condition) -> None:
        self.user = user
        self.sync_id = sync_id
        #: The newest delivered version that meets the condition.
        self.sync: Sync | None = None
        self._condition = condition
        self._ended = False
        self._scope: anyio.CancelScope | None = None

    async def wait(self, seconds: float, receive: Receive) -> None:
        """Wait until the condition is met, the time is over, the waiter is ended or the client has
        disconnected."""
        if self._ended:
            return
        with anyio.move_on_after(seconds) as self._scope:
            while (await receive())["type"] != "http.disconnect":
                pass

    def offer(self, sync: Sync) -> None:
        """End if this version meets the condition."""
        if self._condition(sync):
            self.sync = sync
            self.end()

    def end(self) -> None:
        """End as if the time were over."""
        self._ended = True
        if self._scope:
            self._scope.cancel()


class Waiters:
    """The waiting requests of this process."""

    def __init__(self, max_per_user: int) -> None:
        """A user has at most `max_per_user` waiters: a further one ends the oldest."""
        self._max_per_user = max_per_user
        self._by_sync: dict[str, dict[Waiter, None]] = {}
        self._by_user: dict[str, dict[Waiter, None]] = {}
        self._closing = False

    @property
    def count(self) -> int:
        """The number of waiting requests."""
        return sum(len(waiters) for waiters in self._by_user.values())

    @contextmanager
    def add(self, user: str, sync_id: str, condition: Condition) -> Iterator[Waiter]:
        """Subscribe while open. Read the current state inside, so that no change is missed."""
        waiters = self._by_user.setdefault(user, {})
        if len(waiters) >= self._max_per_user:
            oldest = next(iter(waiters))
            oldest.end()
            self._remove(oldest)
        waiter = Waiter(user, sync_id, condition)
        self._by_user.setdefault(user, {})[waiter] = None
        self._by_sync.setdefault(sync_id, {})[waiter] = None
        if self._closing:
            waiter.end()
        try:
            yield waiter
        finally:
            self._remove(waiter)

    def deliver(self, sync: Sync) -> None:
        """Offer a change to the requests that wait for one of this sync."""
        for waiter in self._by_sync.get(sync.id, ()):
            waiter.offer(sync)

    def syncs(self) -> frozenset[str]:
        """The ids of the syncs for whose changes requests wait."""
        return frozenset(self._by_sync)

    def close(self) -> None:
        """End every waiter at once, also those that are added later."""
        self._closing = True
        for waiters in self._by_user.values():
            for waiter in waiters:
                waiter.end()

    def _remove(self, waiter: Waiter) -> None:
        for index, key in ((self._by_sync, waiter.sync_id), (self._by_user, waiter.user)):
            if waiters := index.get(key):
                waiters.pop(waiter, None)
                if not waiters:
                    del index[key]
