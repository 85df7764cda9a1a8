"""Invariants of a stream for any order of actions by its client, its sync and the service."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta

import anyio
import anyio.abc
import anyio.lowlevel
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from connectors.base import Window
from service.model import Sync
from service.progress import Checkpoint, DatasetProgress
from service.streams.hub import SILENCE, TICK, Hub, Stream
from service.wire.serialize import Encoder
from tests.service.advancing import AdvancingClock
from tests.serving import PATIENCE

NOW = datetime(2026, 1, 15, tzinfo=UTC)
SYNC = "sync_1"
MAX_PER_USER = 3
MAX_STEPS = 1000
"""Far more events than one call sends in these tests. A call that sends more never returns."""


class CountedHub(Hub):
    """A hub in which a call that does not return fails instead of hanging the test."""

    steps = 0

    def _offer(self, stream: Stream, sync: Sync, message: Message) -> None:
        self.steps += 1
        assert self.steps < MAX_STEPS, "the call does not return"
        super()._offer(stream, sync, message)


class Client:
    """A client as uvicorn presents it: `send` waits while the client does not read. After a
    disconnect, `send` does nothing and `receive` returns."""

    def __init__(self, hub: Hub, sync_id: str | None) -> None:
        self.hub = hub
        self.stream = hub.add("ann", sync_id, None)
        self.handed_over = False
        self.removed = False
        self.sending = False
        self.broken = False
        self.reads = anyio.Event()
        self.reads.set()
        self.disconnected = anyio.Event()
        self.received: list[Message] = []
        self.faults: list[str] = []
        self.expected: Sync | None = None  # the newest terminal event since the client subscribed

    async def send(self, message: Message) -> None:
        # Collected, since the hub treats an error of `send` as the end of that stream only.
        self.faults += ["sent after it was removed"] if self.removed else []
        self.faults += ["two sends at once"] if self.sending else []
        self.faults += ["sent after the end"] if self.ended else []
        self.sending = True
        try:
            if not self.reads.is_set():
                await self.reads.wait()
            if self.disconnected.is_set():
                return
            if self.broken:
                raise OSError("broken")
            self.received.append(message)
        finally:
            self.sending = False

    async def receive(self) -> Message:
        while not self.ended and not self.disconnected.is_set():
            with anyio.move_on_after(0.001):
                await self.disconnected.wait()
        return {"type": "http.disconnect"}

    async def serve(self) -> None:
        await self.hub.serve(self.stream, self.receive, self.send)
        self.removed = True

    @property
    def ended(self) -> bool:
        return bool(self.received) and not self.received[-1]["more_body"]

    @property
    def text(self) -> str:
        return b"".join(message["body"] for message in self.received).decode()


class World:
    """A hub, its clients, and one sync that is cancelled and resumed."""

    def __init__(self, hub: CountedHub, clock: AdvancingClock, group: anyio.abc.TaskGroup) -> None:
        self.hub = hub
        self.clock = clock
        self.group = group
        self.clients: list[Client] = []
        dataset = DatasetProgress("orders", "orders", Checkpoint(Window(NOW, NOW)))
        self.sync = Sync(SYNC, "ann", "ann", "demo", "conn_1", NOW, NOW, (dataset,)).taken(NOW)
        self.closed = False

    async def do(self, action: str, number: int) -> None:
        self.hub.steps = 0
        with suppress(IndexError):
            await getattr(self, action)(number)

    async def _advance(self, seconds: float) -> None:
        """Advance the clock and let the hub's timer run."""
        self.clock.advance(seconds)
        await _settle()

    def _client(self, number: int) -> Client:
        return self.clients[-1 - number % len(self.clients) if self.clients else 0]

    async def add(self, number: int) -> None:
        self.clients.append(Client(self.hub, SYNC if number % 3 else None))

    async def snapshot(self, number: int) -> None:
        client = self._client(number)
        if not client.handed_over:
            self.hub.mark_sent(client.stream, self.sync)
            client.expected = None

    async def hand_over(self, number: int) -> None:
        client = self._client(number)
        if not client.handed_over:
            client.handed_over = True
            self.group.start_soon(client.serve)

    async def stall(self, number: int) -> None:
        client = self._client(number)
        if client.reads.is_set() and not client.sending:
            client.reads = anyio.Event()

    async def read(self, number: int) -> None:
        self._client(number).reads.set()

    async def deliver(self, number: int) -> None:
        if self.sync.live:
            self.sync = self.sync.waiting(None, NOW, f"step {number}", NOW)
            self.hub.deliver(self.sync)

    async def finish(self, number: int) -> None:
        if not self.sync.live:
            return
        self.sync = self.sync.cancelled(NOW)
        for client in self.clients:
            if not (client.stream.closing or client.removed):
                client.expected = self.sync
        self.hub.deliver(self.sync)

    async def resume(self, number: int) -> None:
        if not self.sync.live:
            self.sync = self.sync.resumed(NOW)
            self.hub.deliver(self.sync)

    async def deadline(self, number: int) -> None:
        client = self._client(number)
        client.stream.deadline = NOW - timedelta(days=1)
        client.expected = None  # nothing is sent after its credential has expired
        await self._advance(TICK)

    async def pause(self, number: int) -> None:
        for _ in range(number):
            await anyio.lowlevel.checkpoint()

    async def comment(self, number: int) -> None:
        await self._advance(SILENCE.total_seconds())

    async def disconnect(self, number: int) -> None:
        """Either the `send` in progress ends first, or the stream is removed first."""
        client = self._client(number)
        client.disconnected.set()
        if number % 2:
            await _settle()
        client.reads.set()

    async def break_connection(self, number: int) -> None:
        self._client(number).broken = True

    async def shut_down(self, number: int) -> None:
        await self.hub.close(0)
        for client in self.clients:
            client.expected = None  # it reconnects and gets a snapshot
        self.closed = True

    async def end(self) -> None:
        """Let all clients read and then disconnect; check the invariants."""
        self.hub.steps = 0
        for client in self.clients:
            await self.hand_over(self.clients[::-1].index(client))
            client.reads.set()
        await _settle()
        for client in self.clients:
            self._check_terminal_event(client)
            client.disconnected.set()
        with anyio.fail_after(PATIENCE):
            while not all(client.removed for client in self.clients):
                await anyio.sleep(0.001)
        assert self.hub._by_user == {} and self.hub._by_sync == {}
        for client in self.clients:
            assert client.faults == [] and client.stream.send is None
            assert not client.stream.pending and client.stream.final is None

    def _check_terminal_event(self, client: Client) -> None:
        lost = client.disconnected.is_set() or client.broken or "event: evicted" in client.text
        if client.expected is None or lost or self.closed:
            return
        assert f'"version":{client.expected.version},' in client.text, "a terminal event is lost"
        if client.stream.sync_id:
            assert client.ended and client.text.count("event: cancelled") == 1


ACTIONS = [
    *("add", "snapshot", "hand_over", "stall", "read", "deliver", "finish", "resume"),
    *("deadline", "comment", "pause", "disconnect", "break_connection", "shut_down"),
]
Action = tuple[str, int]


async def _settle() -> None:
    """Let all tasks run until they wait."""
    await anyio.sleep(0.002)


async def perform(actions: Sequence[Action]) -> None:
    clock = AdvancingClock()
    hub = CountedHub(clock, Encoder(), MAX_PER_USER)
    async with hub.open(), anyio.create_task_group() as group:
        world = World(hub, clock, group)
        for action, number in actions:
            await world.do(action, number)
        await world.end()
        group.cancel_scope.cancel()


def check(actions: Sequence[Action]) -> None:
    anyio.run(perform, actions)


START: list[Action] = [("add", 1), ("snapshot", 0), ("hand_over", 0), ("comment", 0)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(ACTIONS), st.integers(0, 3)), max_size=25))
def test_every_call_returns_and_a_removed_stream_holds_nothing(actions: Sequence[Action]) -> None:
    check([*START, *actions])


def test_a_client_that_stalls_and_disconnects_with_a_pending_event_is_removed() -> None:
    for order in (0, 1):
        check([*START, ("stall", 0), ("deliver", 0), ("deliver", 1), ("disconnect", order)])


def test_a_stalled_client_gets_the_terminal_event_although_the_sync_was_resumed() -> None:
    stalled: list[Action] = [("stall", 0), ("deliver", 0), ("finish", 0), ("resume", 0)]
    check([*START, *stalled, ("deliver", 1), ("read", 0)])
    check([("add", 0), ("hand_over", 0), *stalled, ("deliver", 1), ("read", 0)])
    check([("add", 1), ("finish", 0), ("resume", 0), ("hand_over", 0)])


def test_an_evicted_client_that_stalls_and_disconnects_keeps_no_final_block() -> None:
    for order in (0, 1):
        more: list[Action] = [("add", 1), ("add", 1), ("add", 1)]
        check([*START, ("stall", 0), ("deliver", 0), *more, ("disconnect", 2 + order)])
