"""The hub of all streams: one task a stream, one encoding an event, one newest event a listener.

A stream's head and first block go through the whole stack of middleware; then the response is
handed over to the outermost one (`HandOver`), which keeps the server's own `send`. From there the
hub drives that `send` itself: waking a task for every client is what costs, not encoding."""

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

SILENCE = 15.0
"""Seconds without an event after which a comment keeps the way open."""
TICK = 1.0
LIFE = timedelta(minutes=10)
RETRY = 3000
EVICTED_RETRY = 60_000
SLOT = "service.stream"

log = structlog.get_logger()

AppStatus.enable_automatic_graceful_drain = False  # the server's shutdown is ours (__main__)


class Stream:
    """One open response. It keeps at most two unsent events a sync: the newest terminal one, and
    the newest that a resume brought after it."""

    __slots__ = (
        "busy",
        "closing",
        "deadline",
        "ended",
        "gone",
        "last_words",
        "pending",
        "quiet_since",
        "send",
        "sync_id",
        "user",
        "versions",
    )

    def __init__(self, user: str, sync_id: str | None, deadline: datetime) -> None:
        self.user = user
        self.sync_id = sync_id  # None: all syncs of the user
        self.deadline = deadline
        self.send: Send | None = None  # the server's own, once handed over
        self.busy = False
        self.closing = False  # it is to end
        self.ended = False  # and was told so
        self.gone = False  # removed: it takes nothing any more
        self.last_words = b""
        self.pending: dict[tuple[str, bool], tuple[Sync, Message]] = {}  # by sync and `live`
        self.versions: dict[str, int] = {}
        self.quiet_since = 0.0


class Hub:
    """Every open stream, and what each is to be told."""

    def __init__(self, clock: Clock, encoder: serialize.Encoder, most_of_user: int) -> None:
        self._clock = clock
        self._encoder = encoder
        self._most_of_user = most_of_user
        self._random = Random()  # noqa: S311 - jitter, not secrecy
        self._of_sync: dict[str, dict[Stream, None]] = {}
        self._of_user: dict[str, dict[Stream, None]] = {}
        self._closing = False

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """While open, one timer serves all streams."""
        async with anyio.create_task_group() as group:
            self._group = group
            group.start_soon(self._tick)
            yield
            group.cancel_scope.cancel()

    def __len__(self) -> int:
        return sum(len(streams) for streams in self._of_user.values())

    # A stream's life ----------------------------------------------------------------------------

    def add(self, user: str, sync_id: str | None, until: datetime | None) -> Stream:
        """Subscribe first, then read what is: so there is no gap."""
        life = LIFE * self._random.uniform(0.9, 1.1)
        deadline = self._clock.now() + life
        stream = Stream(user, sync_id, min(deadline, until) if until else deadline)
        streams = self._of_user.setdefault(user, {})
        if len(streams) >= self._most_of_user:
            self._evict(next(iter(streams)))
        self._of_user.setdefault(user, {})[stream] = None
        if sync_id:
            self._of_sync.setdefault(sync_id, {})[stream] = None
        return stream

    def remove(self, stream: Stream) -> None:
        """For good: its client has gone, or its `send` broke. It takes nothing any more."""
        stream.gone = True
        stream.send = None  # it leads back to the server: rings wait long for the collector
        stream.pending.clear()
        stream.last_words = b""
        self._unlist(stream)

    def _unlist(self, stream: Stream) -> None:
        """No event, comment or count concerns it any more; its own end still may."""
        _drop(self._of_user, stream.user, stream)
        if stream.sync_id:
            _drop(self._of_sync, stream.sync_id, stream)

    async def carry(self, stream: Stream, receive: Receive, send: Send) -> None:
        """From the hand-over on: nothing to do but to wait until the client or the hub ends it."""
        if stream.gone:
            return
        try:
            stream.send = send
            stream.quiet_since = anyio.current_time()
            self._flush(stream)
            if self._closing:
                self._end(stream, self._come_back())
            if stream.closing:
                self._finish(stream)
            while (await receive())["type"] != "http.disconnect":
                pass
        finally:
            self.remove(stream)

    # What it is told ----------------------------------------------------------------------------

    def deliver(self, sync: Sync) -> None:
        """A change was kept: tell those who listen. Encoded once, however many they are."""
        if streams := self._of_sync.get(sync.id):
            message = self.message(sync, with_id=True)
            for stream in tuple(streams):
                self._put(stream, sync, message)
        if everything := [s for s in self._of_user.get(sync.user, ()) if s.sync_id is None]:
            message = self.message(sync, with_id=False)
            for stream in everything:
                self._put(stream, sync, message)

    def message(self, sync: Sync, with_id: bool) -> Message:
        return _message(serialize.event(sync, self._encoder.status(sync), with_id))

    def told(self, stream: Stream, sync: Sync) -> None:
        """The first block held this version already."""
        stream.versions[sync.id] = sync.version

    def _put(self, stream: Stream, sync: Sync, message: Message) -> None:
        if stream.closing or stream.gone or stream.versions.get(sync.id, 0) >= sync.version:
            return
        if stream.send is None or stream.busy:
            _keep(stream, sync, message)
            return
        stream.versions[sync.id] = sync.version
        self._drive(stream, message)
        if stream.sync_id and not sync.live:
            self._end(stream)

    def _flush(self, stream: Stream) -> None:
        while stream.pending and stream.send and not stream.busy:
            self._put(stream, *stream.pending.pop(next(iter(stream.pending))))

    def _drive(self, stream: Stream, message: Message) -> None:
        """Run the server's send on the spot. It suspends only when the client reads too slowly;
        then a task finishes it, and meanwhile events are conflated."""
        if stream.send is None:
            return
        stream.quiet_since = anyio.current_time()
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
        self._group.start_soon(self._finish_sending, stream, sending, yielded)

    async def _finish_sending(
        self, stream: Stream, sending: Coroutine[Any, Any, None], yielded: Any
    ) -> None:
        try:
            await _rest(sending, yielded)
        except Exception as error:
            log.warning("stream_broken", reason=repr(error))
            self.remove(stream)
            return
        stream.busy = False
        if stream.gone:
            return  # a send that is over because its client has gone
        if stream.closing:
            self._finish(stream)
        else:
            self._flush(stream)

    def _end(self, stream: Stream, last_words: bytes = b"") -> None:
        """End the response in order. What is under way is sent first."""
        if stream.closing or stream.gone:
            return
        stream.closing = True
        stream.last_words = last_words
        self._finish(stream)

    def _finish(self, stream: Stream) -> None:
        """Once, and as soon as the client can be told: the last words and the end."""
        if stream.send is None or stream.busy or stream.ended:
            return
        stream.ended = True
        self._drive(stream, _message(stream.last_words, more=False))

    def _evict(self, stream: Stream) -> None:
        """In-band: any status but 200 would end an EventSource for good."""
        text = '{"reason":"too many streams of this user"}'
        self._end(stream, serialize.block(event="evicted", data=text, retry=EVICTED_RETRY))
        self._unlist(stream)

    # By the clock -------------------------------------------------------------------------------

    async def _tick(self) -> None:
        while True:
            await anyio.sleep(TICK)
            silent_since = anyio.current_time() - SILENCE
            now = self._clock.now()
            for stream in [each for streams in self._of_user.values() for each in streams]:
                if stream.send is None or stream.closing:
                    continue
                stream.deadline = min(stream.deadline, now + LIFE * 1.1)  # the clock was set back
                if now >= stream.deadline:
                    self._end(stream)  # a slow reader too: nothing more goes past its credential
                elif not stream.busy and stream.quiet_since <= silent_since:
                    self._drive(stream, _COMMENT)

    async def close(self, seconds: float) -> None:
        """End every stream, spread over that time; a jittered retry spreads their return."""
        self._closing = True
        streams = [each for of_user in self._of_user.values() for each in of_user]
        for number, stream in enumerate(streams):
            self._end(stream, self._come_back())
            if number % 50 == 49:
                await anyio.sleep(seconds * 50 / len(streams))

    def _come_back(self) -> bytes:
        return serialize.block(retry=self._random.randint(RETRY // 3, RETRY * 2))


class HandOver:
    """The outermost middleware: keeps the server's own send, and carries the streams."""

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
            await self._hub.carry(slot[0], receive, send)


def _drop(streams: dict[str, dict[Stream, None]], key: str, stream: Stream) -> None:
    if key in streams:
        streams[key].pop(stream, None)
        if not streams[key]:
            del streams[key]


def _keep(stream: Stream, sync: Sync, message: Message) -> None:
    """Until it can be sent: the newest wins, but a terminal event is never replaced by what a
    resume brings after it."""
    if not sync.live:
        stream.pending.pop((sync.id, True), None)
    stream.pending[sync.id, sync.live] = (sync, message)


def _message(body: bytes, more: bool = True) -> Message:
    return {"type": "http.response.body", "body": body, "more_body": more}


@types.coroutine
def _rest(sending: Coroutine[Any, Any, None], yielded: Any) -> Generator[Any, Any, None]:
    """What is left of a coroutine whose first step was driven by hand."""
    while True:
        try:
            value = yield yielded
        except BaseException as error:
            go_on = partial(sending.throw, error)
        else:
            go_on = partial(sending.send, value)
        try:
            yielded = go_on()
        except StopIteration:
            return


_COMMENT = _message(b":\n\n")
