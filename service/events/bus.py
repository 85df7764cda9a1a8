"""The event bus in this process. An event is the sync as it now is; losing one never hurts."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

import structlog

from service.model import Sync

Listener = Callable[[Sync], None]

log = structlog.get_logger()


class EventBus:
    """Tells every listener of every change, in the order in which they were kept."""

    def __init__(self) -> None:
        self._listeners: list[Listener] = []

    async def publish(self, sync: Sync) -> None:
        """Called after the commit: no event tells of what was not kept."""
        self.deliver(sync)

    def deliver(self, sync: Sync) -> None:
        """Listeners do not wait: each takes note and returns."""
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
