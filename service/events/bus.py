"""The event bus of this process. An event is the whole sync, so a lost event does no harm."""

from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Set
from contextlib import asynccontextmanager, contextmanager

import msgspec
import structlog

from service.model import Sync

Listener = Callable[[Sync], None]


class Interest(msgspec.Struct, frozen=True):
    """The syncs whose changes matter in this process."""

    #: Ids of syncs that are followed or run here.
    syncs: Set[str]
    #: Users of whom all syncs are followed here.
    users: Set[str]


REMEMBERED = 10_000
"""Syncs whose newest delivered version is known."""

log = structlog.get_logger()


class EventBus:
    """Calls every listener for every change, in the order in which changes were stored."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []
        #: The newest delivered version of the last syncs, by id.
        self._versions: OrderedDict[str, int] = OrderedDict()

    async def publish(self, sync: Sync) -> None:
        """Publish a stored change. Call this after the commit."""
        self.deliver(sync)

    def deliver(self, sync: Sync) -> None:
        """Call the listeners one after the other, unless this or a newer version was delivered
        before. A listener must not block."""
        if self._versions.get(sync.id, 0) >= sync.version:
            return
        self._versions[sync.id] = sync.version
        self._versions.move_to_end(sync.id)
        if len(self._versions) > REMEMBERED:
            self._versions.popitem(last=False)
        for listener in tuple(self._listeners):
            try:
                listener(sync)
            except Exception:
                log.exception("listener_failed", sync_id=sync.id)

    @asynccontextmanager
    async def open(self, interest: Callable[[], Interest]) -> AsyncIterator[None]:
        """Do nothing: all changes are made in this process."""
        yield

    @contextmanager
    def listen(self, listener: Listener) -> Iterator[None]:
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)
