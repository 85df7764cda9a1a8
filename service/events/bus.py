"""The event bus of this process. An event is the whole sync, so a lost event does no harm."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from service.model import Sync

Listener = Callable[[Sync], None]

log = structlog.get_logger()


class EventBus:
    """Calls every listener for every change, in the order in which changes were stored."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    async def publish(self, sync: Sync) -> None:
        """Publish a stored change. Call this after the commit."""
        self.deliver(sync)

    def deliver(self, sync: Sync) -> None:
        """Call the listeners one after the other. A listener must not block."""
        for listener in tuple(self._listeners):
            try:
                listener(sync)
            except Exception:
                log.exception("listener_failed", sync_id=sync.id)

    @contextmanager
    def listen(self, listener: Listener) -> Iterator[None]:
        self._listeners.append(listener)
        try:
            yield
        finally:
            self._listeners.remove(listener)
