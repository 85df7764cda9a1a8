"""Live readers of the feeds. Without changes, a reader costs no query: a change of a user's sync
wakes the readers of this user."""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import datetime, timedelta

import anyio
import structlog

from connectors.base import Clock
from service.model import Sync
from service.store.changes import Position
from service.streams.formats import BLOCKS
from service.streams.hub import Hub, Stream

EVERYBODY = "*"
"""Stands for all users: a reader of their changes polls every LOOK seconds."""
LOOK = 2.0
AGAIN = (0.05, 0.2, 0.5, 1.0, 2.0)
"""Seconds after which a woken reader that found nothing polls again: the rows of a transaction are
read once all older ones have ended."""
SSE_LIFETIME = timedelta(seconds=60)
"""The lifetime of an event stream of a feed."""
REST = 0.02
"""Seconds between two rounds of reads. Changes are collected meanwhile."""

Read = Callable[[Position], Awaitable[tuple[bytes, Position, bool]]]
"""Reads after a position. Returns the bytes to send (may be empty), the new position, and whether
it is the end."""

log = structlog.get_logger()


class FeedStream(Stream):
    """An event stream of a feed."""

    __slots__ = ("looks", "position", "read", "scope", "stale")

    def __init__(
        self, user: str, scope: str, position: Position, read: Read, now: datetime
    ) -> None:
        super().__init__(user, "", now + SSE_LIFETIME, now, BLOCKS)  # follows no sync
        #: The user whose changes it follows, or EVERYBODY.
        self.scope = scope
        self.position = position
        self.read = read
        #: Whether there may be something to read.
        self.stale = False
        #: How many polls have found nothing since it was woken.
        self.looks = 0


class Feeds:
    """The live readers of this process."""

    def __init__(self, hub: Hub, clock: Clock) -> None:
        self._hub = hub
        self._clock = clock
        #: The long-polls that wait for a user's next change.
        self._waiting: dict[str, dict[anyio.Event, None]] = {}
        self._streams: dict[str, dict[FeedStream, None]] = {}
        self._work = anyio.Event()
        #: Whether the service stops: readers no longer wait.
        self.closing = False
        hub.on_close(self._close)

    def now(self) -> datetime:
        return self._clock.now()

    def users(self) -> frozenset[str]:
        """The users with a live reader."""
        return frozenset({*self._waiting, *self._streams} - {EVERYBODY})

    def heard(self, sync: Sync) -> None:
        """Wake the readers of the user of a sync that has changed."""
        self.wake(sync.user)

    def wake(self, of: str) -> None:
        """Wake the readers of a user who has something new to read."""
        for user in (of, EVERYBODY):
            self._wake(user)

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Serve the event streams while open."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._pump)
            group.start_soon(self._look_for_everybody)
            yield
            group.cancel_scope.cancel()

    def _wake(self, user: str) -> None:
        for event in self._waiting.pop(user, ()):
            event.set()
        for stream in self._streams.get(user, ()):
            stream.stale, stream.looks = True, 0
            self._work.set()

    # Long-polls ---------------------------------------------------------------------------------

    @contextmanager
    def next_change(self, user: str) -> Iterator[anyio.Event]:
        """Yields an event that is set at the next change of the user. Open this before reading, so
        that no change is missed."""
        event = anyio.Event()
        if self.closing:
            event.set()
        self._waiting.setdefault(user, {})[event] = None
        try:
            yield event
        finally:
            others = self._waiting.get(user, {})
            others.pop(event, None)
            if not others:
                self._waiting.pop(user, None)

    # Event streams ------------------------------------------------------------------------------

    def follow(self, stream: FeedStream, until: datetime | None) -> None:
        """Send the stream its changes from the next one on, until `until` at the latest."""
        self._hub.subscribe(stream, until)
        self._streams.setdefault(stream.scope, {})[stream] = None
        self._work.set()  # also forgets the streams that have ended

    def continue_from(self, stream: FeedStream, position: Position, ended: bool) -> None:
        """Send the changes after the first block; `ended` if there are none."""
        stream.position = position
        if not ended:
            stream.stale = True
            self._work.set()

    def _close(self) -> None:
        self.closing = True
        for events in self._waiting.values():
            for event in events:
                event.set()

    async def _look_for_everybody(self) -> None:
        while True:
            await self._clock.sleep(LOOK)
            self._wake(EVERYBODY)

    async def _pump(self) -> None:
        while True:
            await self._work.wait()
            self._work = anyio.Event()
            await anyio.sleep(await self._serve_all())

    async def _serve_all(self) -> float:
        """Serve the streams that may have something to read. A method of its own, so that no
        variable keeps a closed stream. Returns the seconds until the next poll."""
        pause = REST
        for stream in [one for of_user in self._streams.values() for one in of_user]:
            if stream.removed or stream.closing:
                self._forget(stream)
            elif stream.stale:
                pause = max(pause, await self._serve(stream))
        return pause

    async def _serve(self, stream: FeedStream) -> float:
        """Send the new changes. Returns the seconds until the next poll."""
        if stream.send is None or stream.busy:  # not handed over yet, or its client is slow
            self._work.set()
            return AGAIN[1]
        try:
            body, stream.position, ended = await stream.read(stream.position)
        except Exception as error:
            log.warning("feed_not_read", reason=str(error))
            self._work.set()
            return AGAIN[-1]
        if body:
            stream.looks = 0
            self._hub.push(stream, {"type": "http.response.body", "body": body, "more_body": True})
        if not ended:
            self._work.set()
            return 0.0
        if body or stream.looks == len(AGAIN):
            stream.stale = False
            return 0.0
        stream.looks += 1
        self._work.set()
        return AGAIN[stream.looks - 1]

    def _forget(self, stream: FeedStream) -> None:
        of_user = self._streams.get(stream.scope, {})
        of_user.pop(stream, None)
        if not of_user:
            self._streams.pop(stream.scope, None)
