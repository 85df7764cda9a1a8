"""The hub of all open streams. It encodes each event once and conflates events for slow clients.

The head and the first block of a stream pass through all middleware. Then the outermost one,
`StreamMiddleware`, which has the server's own `send`, hands the stream over to the hub. The hub
calls that `send` directly, since waking a task per client costs more than encoding."""

import types
from collections.abc import AsyncIterator, Coroutine, Generator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from functools import partial
from random import Random
from typing import Any

import anyio
import structlog
from sse_starlette.sse import AppStatus
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from connectors.base import Clock
from service.model import Sync
from service.wire import serialize

SILENCE = timedelta(seconds=15)
"""Time without an event after which a comment keeps the connection open."""
TICK = 1.0
LIFETIME = timedelta(minutes=10)
RETRY = 3000
"""Milliseconds after which a client reconnects."""
EVICTED_RETRY = 60_000
SLOT = "service.stream"
"""The ASGI extension through which an endpoint hands a stream over."""

log = structlog.get_logger()

AppStatus.enable_automatic_graceful_drain = False  # `Server` ends the streams at shutdown


class Stream:
    """One open response. It holds at most two unsent events per sync: the newest terminal one, and
    the newest one after a resume."""

    __slots__ = (
        "busy",
        "closing",
        "deadline",
        "ended",
        "final_block",
        "pending",
        "quiet_since",
        "removed",
        "send",
        "sync_id",
        "user",
        "versions",
    )

    def __init__(self, user: str, sync_id: str | None, deadline: datetime, now: datetime) -> None:
        self.user = user
        #: The sync to follow; None for all syncs of the user.
        self.sync_id = sync_id
        #: When the stream must end.
        self.deadline = deadline
        #: The server's own `send`, after the handover.
        self.send: Send | None = None
        #: Whether a `send` is waiting for the client to read.
        self.busy = False
        #: Whether the stream is about to end. Further events are ignored.
        self.closing = False
        #: Whether the end of the response was sent.
        self.ended = False
        #: Whether the client has disconnected. Nothing more is sent.
        self.removed = False
        self.final_block = b""
        #: Unsent events by sync ID and whether the sync was live.
        self.pending: dict[tuple[str, bool], tuple[Sync, Message]] = {}
        #: The newest version that was sent, by sync ID.
        self.versions: dict[str, int] = {}
        self.quiet_since = now


class Hub:
    """All open streams. Sends each change of a sync to the streams that follow the sync."""

    def __init__(self, clock: Clock, encoder: serialize.Encoder, max_per_user: int) -> None:
        self._clock = clock
        self._encoder = encoder
        self._max_per_user = max_per_user
        self._random = Random()  # noqa: S311 - jitter, not secrecy
        self._by_sync: dict[str, dict[Stream, None]] = {}
        self._by_user: dict[str, dict[Stream, None]] = {}
        self._closing = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Run the timer of all streams while open."""
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(self._tick)
            yield
            group.cancel_scope.cancel()

    @property
    def count(self) -> int:
        """The number of open streams."""
        return sum(len(streams) for streams in self._by_user.values())

    # Lifecycle ----------------------------------------------------------------------------------

    def add(self, user: str, sync_id: str | None, until: datetime | None) -> Stream:
        """Subscribe. Call this before reading the current state, so that no change is lost."""
        now = self._clock.now()
        deadline = now + LIFETIME * self._random.uniform(0.9, 1.1)
        stream = Stream(user, sync_id, min(deadline, until) if until else deadline, now)
        streams = self._by_user.setdefault(user, {})
        if len(streams) >= self._max_per_user:
            self._evict(next(iter(streams)))
        self._by_user.setdefault(user, {})[stream] = None
        if sync_id:
            self._by_sync.setdefault(sync_id, {})[stream] = None
        return stream

    def remove(self, stream: Stream) -> None:
        """Remove a stream whose client has disconnected or whose `send` failed."""
        stream.removed = True
        # `send` and the server refer to each other. Such a cycle delays freeing the memory.
        stream.send = None
        stream.pending.clear()
        stream.final_block = b""
        self._unlist(stream)

    def _unlist(self, stream: Stream) -> None:
        """Exclude a stream from events, comments and the count. Its end can still be sent."""
        _discard(self._by_user, stream.user, stream)
        if stream.sync_id:
            _discard(self._by_sync, stream.sync_id, stream)

    async def serve(self, stream: Stream, receive: Receive, send: Send) -> None:
        """Serve a stream from the handover until its client or the hub ends it."""
        if stream.removed:
            return
        try:
            stream.send = send
            stream.quiet_since = self._clock.now()
            self._flush(stream)
            if self._closing:
                self._end(stream, self._retry_block())
            if stream.closing:
                self._finish(stream)
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self.remove(stream)

    # Events -------------------------------------------------------------------------------------

    def deliver(self, sync: Sync) -> None:
        """Send a change to the streams that follow the sync, encoded once."""
        if streams := self._by_sync.get(sync.id):
            message = self.message(sync, with_id=True)
            for stream in tuple(streams):
                self._offer(stream, sync, message)
        following_all = [s for s in self._by_user.get(sync.user, ()) if s.sync_id is None]
        if following_all:
            message = self.message(sync, with_id=False)
            for stream in following_all:
                self._offer(stream, sync, message)

    def message(self, sync: Sync, with_id: bool) -> Message:
        return _message(serialize.event(sync, self._encoder.status(sync), with_id))

    def mark_sent(self, stream: Stream, sync: Sync) -> None:
        """Skip this version and older ones: the first block contains it."""
        stream.versions[sync.id] = sync.version

    def _offer(self, stream: Stream, sync: Sync, message: Message) -> None:
        if stream.closing or stream.removed or stream.versions.get(sync.id, 0) >= sync.version:
            return
        if stream.send is None or stream.busy:
            _conflate(stream, sync, message)
            return
        stream.versions[sync.id] = sync.version
        self._send(stream, message)
        if stream.sync_id and not sync.live:
            self._end(stream)

    def _flush(self, stream: Stream) -> None:
        while stream.pending and stream.send and not stream.busy:
            self._offer(stream, *stream.pending.pop(next(iter(stream.pending))))

    def _send(self, stream: Stream, message: Message) -> None:
        """Run the server's `send` without a task. It suspends only if the client reads too slowly.
        Then a task completes it, and events are conflated until then."""
        if stream.send is None:
            return
        stream.quiet_since = self._clock.now()
        sending: Coroutine[Any, Any, None] = stream.send(message)  # type: ignore[assignment]
        try:
            yielded = sending.send(None)
        except StopIteration:
            return
        except Exception as error:
            log.warning("stream_broken", reason=repr(error))
            self.remove(stream)
            return
        stream.busy = True
        self._group.start_soon(self._complete, stream, sending, yielded)

    async def _complete(
        self, stream: Stream, sending: Coroutine[Any, Any, None], yielded: Any
    ) -> None:
        try:
            await _continue(sending, yielded)
        except Exception as error:
            log.warning("stream_broken", reason=repr(error))
            self.remove(stream)
            return
        stream.busy = False
        if stream.removed:
            return  # `send` returned because the client has disconnected
        if stream.closing:
            self._finish(stream)
        else:
            self._flush(stream)

    def _end(self, stream: Stream, final_block: bytes = b"") -> None:
        """End the response after any `send` in progress."""
        if stream.closing or stream.removed:
            return
        stream.closing = True
        stream.final_block = final_block
        self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        """Send the final block and the end once the client can receive them."""
        if stream.send is None or stream.busy or stream.ended:
            return
        stream.ended = True
        self._send(stream, _message(stream.final_block, more=False))

    def _evict(self, stream: Stream) -> None:
        """Evict with an event: an EventSource does not reconnect after a status other than 200."""
        text = '{"reason":"too many streams of this user"}'
        self._end(stream, serialize.block(event="evicted", data=text, retry=EVICTED_RETRY))
        self._unlist(stream)

    # Time ---------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(TICK)
            now = self._clock.now()
            for stream in self._streams():
                if stream.send is None or stream.closing:
                    continue
                # A clock that was set back must not extend a stream or delay a comment.
                stream.deadline = min(stream.deadline, now + LIFETIME * 1.1)
                stream.quiet_since = min(stream.quiet_since, now)
                if now >= stream.deadline:
                    self._end(stream)  # slow or not: nothing is sent after its credential expires
                elif not stream.busy and now - stream.quiet_since >= SILENCE:
                    self._send(stream, _COMMENT)

    async def close(self, seconds: float) -> None:
        """End every stream within that time. A random `retry` spreads the reconnects."""
        self._closing = True
        streams = self._streams()
        for number, stream in enumerate(streams):
            self._end(stream, self._retry_block())
            if number % 50 == 49:
                await anyio.sleep(seconds * 50 / len(streams))

    def _streams(self) -> list[Stream]:
        return [stream for streams in self._by_user.values() for stream in streams]

    def _retry_block(self) -> bytes:
        return serialize.block(retry=self._random.randint(RETRY // 3, RETRY * 2))


class StreamMiddleware:
    """The outermost middleware: it has the server's own `send` and hands streams to the hub."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        slot: list[Stream] = []
        scope["extensions"] = {**scope.get("extensions", {}), SLOT: slot}
        await self._app(scope, receive, send)
        if slot:
            await self._hub.serve(slot[0], receive, send)


def _discard(streams: dict[str, dict[Stream, None]], key: str, stream: Stream) -> None:
    if key in streams:
        streams[key].pop(stream, None)
        if not streams[key]:
            del streams[key]


def _conflate(stream: Stream, sync: Sync, message: Message) -> None:
    """Store the newest unsent event. A later resume never replaces a terminal event."""
    if not sync.live:
        stream.pending.pop((sync.id, True), None)
    stream.pending[sync.id, sync.live] = (sync, message)


def _message(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


@types.coroutine
def _continue(sending: Coroutine[Any, Any, None], yielded: Any) -> Generator[Any, Any, None]:
    """Await a coroutine whose first step has already run."""
    while True:
        try:
            value = yield yielded
        except BaseException as error:
            step = partial(sending.throw, error)
        else:
            step = partial(sending.send, value)
        try:
            yielded = step()
        except StopIteration:
            return


_COMMENT = _message(b":\n\n")
