"""The hub of all open streams. It encodes each event once and conflates events for slow clients.

A stream is a response of Server-Sent Events or a WebSocket, depending on its format. The
head and the first block of a stream pass through all middleware. Then the outermost one,
`StreamMiddleware`, which has the server's own `send`, hands the stream over to the hub. The hub
calls that `send` directly, since waking a task per client costs more than encoding."""

import types
from collections import Counter
from collections.abc import AsyncIterator, Callable, Coroutine, Generator, Sequence
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
from service.streams.formats import BLOCKS, End, Format
from service.streams.waiting import Waiters
from service.wire.serialize import Encoder

SILENCE = timedelta(seconds=15)
"""Time without an event after which a comment or a ping keeps the connection open."""
TICK = 1.0
LIFETIME = timedelta(minutes=10)
GONE = "client_gone"
"""The end reason of a stream that its client closed."""
SLOT = "service.stream"
"""The ASGI extension through which an endpoint hands a stream over."""
SERVER_NEEDS = ("type", "method", "http_version")
"""The keys that uvicorn and `service.edge` read in the scope of a request after its response has
begun."""

log = structlog.get_logger()

AppStatus.enable_automatic_graceful_drain = False  # `Server` ends the streams at shutdown


class Stream:
    """One open response or WebSocket. It holds at most two unsent events per sync: the newest
    terminal one, and the newest one after a resume."""

    __slots__ = (
        "busy",
        "closing",
        "deadline",
        "ended",
        "final",
        "format",
        "pending",
        "quiet_since",
        "removed",
        "send",
        "sync_id",
        "user",
        "versions",
    )

    def __init__(
        self, user: str, sync_id: str | None, deadline: datetime, now: datetime, format: Format
    ) -> None:
        self.user = user
        #: The format of its messages.
        self.format = format
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
        #: The last message, once the reason for the end is known.
        self.final: Message | None = None
        #: Unsent events by sync ID and whether the sync was live.
        self.pending: dict[tuple[str, bool], tuple[Sync, Message]] = {}
        #: The newest version that was sent, by sync ID.
        self.versions: dict[str, int] = {}
        self.quiet_since = now


class Hub:
    """All open streams. Sends each change of a sync to the streams that follow the sync, and ends
    the requests that wait for it."""

    def __init__(self, clock: Clock, encoder: Encoder, max_per_user: int) -> None:
        self._clock = clock
        self._encoder = encoder
        self._max_per_user = max_per_user
        #: The requests that wait for a change; as many of each user as streams.
        self.waiters = Waiters(max_per_user)
        self._random = Random()  # noqa: S311 - jitter, not secrecy
        self._by_sync: dict[str, dict[Stream, None]] = {}
        self._by_user: dict[str, dict[Stream, None]] = {}
        #: The number of ended streams by reason, and of events that were replaced by newer ones
        #: before they were sent.
        self.ended: Counter[str] = Counter()
        self.conflated = 0
        self._closing = False
        self._on_close: list[Callable[[], None]] = []

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

    def add(
        self, user: str, sync_id: str | None, until: datetime | None, format: Format = BLOCKS
    ) -> Stream:
        """Subscribe. Call this before reading the current state, so that no change is lost."""
        now = self._clock.now()
        stream = Stream(user, sync_id, now + LIFETIME, now, format)
        self.subscribe(stream, until)
        if sync_id:
            self._by_sync.setdefault(sync_id, {})[stream] = None
        return stream

    def subscribe(self, stream: Stream, until: datetime | None) -> None:
        """Add a stream, which ends at about its deadline, and not after `until`."""
        now = self._clock.now()
        stream.deadline = now + (stream.deadline - now) * self._random.uniform(0.9, 1.1)
        if until:
            stream.deadline = min(stream.deadline, until)
        streams = self._by_user.setdefault(stream.user, {})
        if len(streams) >= self._max_per_user:
            oldest = next(iter(streams))
            self._end(oldest, End.EVICTED)
            self._unlist(oldest)
        self._by_user.setdefault(stream.user, {})[stream] = None

    def remove(self, stream: Stream) -> None:
        """Remove a stream whose client has disconnected or whose `send` failed."""
        if not (stream.removed or stream.closing):
            self.ended[GONE] += 1
        stream.removed = True
        # `send` and the server refer to each other. Such a cycle delays freeing the memory.
        stream.send = None
        stream.pending.clear()
        stream.final = None
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
                self._end(stream, End.SHUTDOWN)
            if stream.closing:
                self._finish(stream)
            while not (await receive())["type"].endswith(".disconnect"):
                pass
        finally:
            self.remove(stream)

    # Events -------------------------------------------------------------------------------------

    def deliver(self, sync: Sync) -> None:
        """Send a change to the streams that follow the sync, encoded once, and to the requests that
        wait for it."""
        self.waiters.deliver(sync)
        self._deliver(sync, tuple(self._by_sync.get(sync.id, ())), with_id=True)
        following_all = [s for s in self._by_user.get(sync.user, ()) if s.sync_id is None]
        self._deliver(sync, following_all, with_id=False)

    def _deliver(self, sync: Sync, streams: Sequence[Stream], with_id: bool) -> None:
        messages: dict[Format, Message] = {}
        for stream in streams:
            if (message := messages.get(stream.format)) is None:
                message = messages[stream.format] = self.message(sync, with_id, stream.format)
            self._offer(stream, sync, message)

    def syncs(self) -> frozenset[str]:
        """The ids of the syncs that streams or waiting requests follow."""
        return frozenset(self._by_sync) | self.waiters.syncs()

    def users(self) -> frozenset[str]:
        """The users with a stream of all their syncs."""
        followed = self._by_user.items()
        return frozenset(
            user for user, streams in followed if any(one.sync_id is None for one in streams)
        )

    def message(self, sync: Sync, with_id: bool, format: Format = BLOCKS) -> Message:
        return format.event(sync, self._encoder.status(sync), with_id)

    def mark_sent(self, stream: Stream, sync: Sync) -> None:
        """Skip this version and older ones: the first block contains it."""
        stream.versions[sync.id] = sync.version

    def push(self, stream: Stream, message: Message) -> None:
        """Send a message on a stream that is not busy."""
        self._send(stream, message)

    def _offer(self, stream: Stream, sync: Sync, message: Message) -> None:
        if stream.closing or stream.removed or stream.versions.get(sync.id, 0) >= sync.version:
            return
        if stream.send is None or stream.busy:
            self.conflated += _conflate(stream, sync, message)
            return
        stream.versions[sync.id] = sync.version
        self._send(stream, message)
        if stream.sync_id and not sync.live:
            self._end(stream, End.ENDED)

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

    def _end(self, stream: Stream, reason: End) -> None:
        """End the stream after any `send` in progress."""
        if stream.closing or stream.removed:
            return
        stream.closing = True
        self.ended[reason.name.lower()] += 1
        stream.final = stream.format.end(reason)
        self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        """Send the last message once the client can receive it."""
        if stream.send is None or stream.busy or stream.ended or stream.final is None:
            return
        stream.ended = True
        self._send(stream, stream.final)

    # Time ---------------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await self._clock.sleep(TICK)
            self._check(self._clock.now())

    def _check(self, now: datetime) -> None:
        """End the streams whose time is over, and keep silent ones open. A method of its own, so
        that no variable keeps a closed stream until the next tick."""
        for stream in self._streams():
            if stream.send is None or stream.closing:
                continue
            # A clock that was set back must not extend a stream or delay a comment.
            stream.deadline = min(stream.deadline, now + LIFETIME * 1.1)
            stream.quiet_since = min(stream.quiet_since, now)
            if now >= stream.deadline:
                # Slow or not: nothing is sent after its credential expires.
                self._end(stream, End.EXPIRED)
            elif not stream.busy and now - stream.quiet_since >= SILENCE:
                self._send(stream, stream.format.idle)

    def on_close(self, call: Callable[[], None]) -> None:
        """Call this when streams begin to end."""
        self._on_close.append(call)

    async def close(self, seconds: float) -> None:
        """End every stream within that time, evenly spread, and waiting requests at once."""
        self._closing = True
        for call in self._on_close:
            call()
        self.waiters.close()
        streams = self._streams()
        for number, stream in enumerate(streams):
            self._end(stream, End.SHUTDOWN)
            if number % 50 == 49:
                await anyio.sleep(seconds * 50 / len(streams))

    def _streams(self) -> list[Stream]:
        return [stream for streams in self._by_user.values() for stream in streams]


class StreamMiddleware:
    """The outermost middleware: it has the server's own `send` and hands streams to the hub."""

    def __init__(self, app: ASGIApp, hub: Hub) -> None:
        self._app = app
        self._hub = hub

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        slot: list[Stream] = []
        scope["extensions"] = {**scope.get("extensions", {}), SLOT: slot}
        await self._app(scope, receive, send)
        if slot:
            _forget_request(scope)
            await self._hub.serve(slot[0], receive, send)


def _forget_request(scope: Scope) -> None:
    """Remove all of a request except what the server needs to finish its response: otherwise an
    idle stream would hold its routes, identity and parameters, 1 KB."""
    kept = {name: scope[name] for name in SERVER_NEEDS if name in scope}
    scope.clear()
    scope.update(kept)


def _discard(streams: dict[str, dict[Stream, None]], key: str, stream: Stream) -> None:
    if key in streams:
        streams[key].pop(stream, None)
        if not streams[key]:
            del streams[key]


def _conflate(stream: Stream, sync: Sync, message: Message) -> int:
    """Store the newest unsent event; returns how many it replaces. A later resume never replaces a
    terminal event."""
    before = len(stream.pending)
    if not sync.live:
        stream.pending.pop((sync.id, True), None)
    stream.pending[sync.id, sync.live] = (sync, message)
    return before + 1 - len(stream.pending)


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
