"""Laws of a stream's life: whatever its client, its sync and the service do, in any order."""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from unittest.mock import patch

import anyio
import anyio.abc
from hypothesis import given, settings
from hypothesis import strategies as st
from starlette.types import Message

from connectors.base import SystemClock, Window
from service.model import Sync
from service.progress import Checkpoint, DatasetProgress
from service.streams import hub as module
from service.streams.hub import Hub, Stream
from service.wire.serialize import Encoder

NOW = datetime(2026, 1, 15, tzinfo=UTC)
SYNC = "sync_1"
MOST_OF_USER = 3
MOST_STEPS = 1000
"""Far more events than one call can have to pass on here: beyond it the call never returns."""


class CountedHub(Hub):
    """The hub, but a call that does not return fails instead of hanging the test."""

    steps = 0

    def _put(self, stream: Stream, sync: Sync, message: Message) -> None:
        self.steps += 1
        assert self.steps < MOST_STEPS, "the call does not return"
        super()._put(stream, sync, message)


class Client:
    """One client as uvicorn presents it: `send` waits while it does not read, does nothing once
    it has hung up, and `receive` returns when it has."""

    def __init__(self, hub: Hub, sync_id: str | None) -> None:
        self.hub = hub
        self.stream = hub.add("ann", sync_id, None)
        self.handed_over = False
        self.carried = False
        self.sending = False
        self.broken = False
        self.reads = anyio.Event()
        self.reads.set()
        self.gone = anyio.Event()
        self.got: list[Message] = []
        self.faults: list[str] = []
        self.expected: Sync | None = None  # the newest terminal state since it subscribed

    async def send(self, message: Message) -> None:
        # Noted, since the hub takes what a `send` raises for the end of that stream alone.
        self.faults += ["sent after it was removed"] if self.carried else []
        self.faults += ["two sends at once"] if self.sending else []
        self.faults += ["sent after the end"] if self.ended else []
        self.sending = True
        try:
            if not self.reads.is_set():
                await self.reads.wait()
            if self.gone.is_set():
                return
            if self.broken:
                raise OSError("broken")
            self.got.append(message)
        finally:
            self.sending = False

    async def receive(self) -> Message:
        while not self.ended and not self.gone.is_set():
            with anyio.move_on_after(0.001):
                await self.gone.wait()
        return {"type": "http.disconnect"}

    async def carry(self) -> None:
        await self.hub.carry(self.stream, self.receive, self.send)
        self.carried = True

    @property
    def ended(self) -> bool:
        return bool(self.got) and not self.got[-1]["more_body"]

    @property
    def text(self) -> str:
        return b"".join(each["body"] for each in self.got).decode()


class World:
    """A hub, its clients, and one sync that is cancelled and resumed."""

    def __init__(self, hub: CountedHub, group: anyio.abc.TaskGroup) -> None:
        self.hub = hub
        self.group = group
        self.clients: list[Client] = []
        dataset = DatasetProgress("orders", "orders", Checkpoint(Window(NOW, NOW)))
        self.sync = Sync(SYNC, "ann", "ann", "demo", "conn_1", NOW, NOW, (dataset,)).taken(NOW)
        self.closed = False

    async def do(self, deed: str, number: int) -> None:
        self.hub.steps = 0
        with suppress(IndexError):
            await getattr(self, deed)(number)

    def _one(self, number: int) -> Client:
        return self.clients[-1 - number % len(self.clients) if self.clients else 0]

    async def add(self, number: int) -> None:
        self.clients.append(Client(self.hub, SYNC if number % 3 else None))

    async def snapshot(self, number: int) -> None:
        client = self._one(number)
        if not client.handed_over:
            self.hub.told(client.stream, self.sync)
            client.expected = None

    async def hand_over(self, number: int) -> None:
        client = self._one(number)
        if not client.handed_over:
            client.handed_over = True
            self.group.start_soon(client.carry)

    async def stall(self, number: int) -> None:
        client = self._one(number)
        if client.reads.is_set() and not client.sending:
            client.reads = anyio.Event()

    async def read(self, number: int) -> None:
        self._one(number).reads.set()

    async def deliver(self, number: int) -> None:
        if self.sync.live:
            self.sync = self.sync.waiting(None, NOW, f"step {number}", NOW)
            self.hub.deliver(self.sync)

    async def finish(self, number: int) -> None:
        if not self.sync.live:
            return
        self.sync = self.sync.cancelled(NOW)
        for client in self.clients:
            if not (client.stream.closing or client.carried):
                client.expected = self.sync
        self.hub.deliver(self.sync)

    async def resume(self, number: int) -> None:
        if not self.sync.live:
            self.sync = self.sync.resumed(NOW)
            self.hub.deliver(self.sync)

    async def deadline(self, number: int) -> None:
        client = self._one(number)
        client.stream.deadline = NOW - timedelta(days=1)
        client.expected = None  # nothing more goes past its credential
        await anyio.sleep(0.002)

    async def pause(self, number: int) -> None:
        for _ in range(number):
            await anyio.lowlevel.checkpoint()

    async def comment(self, number: int) -> None:
        await anyio.sleep(0.002)

    async def hang_up(self, number: int) -> None:
        """Either what was being sent ends first, or the stream is removed first."""
        client = self._one(number)
        client.gone.set()
        if number % 2:
            await anyio.sleep(0.002)
        client.reads.set()

    async def break_off(self, number: int) -> None:
        self._one(number).broken = True

    async def shut_down(self, number: int) -> None:
        await self.hub.close(0)
        for client in self.clients:
            client.expected = None  # it comes back to the snapshot
        self.closed = True

    async def end(self) -> None:
        """Everybody reads, then everybody hangs up; what the laws say of it."""
        self.hub.steps = 0
        for client in self.clients:
            await self.hand_over(self.clients[::-1].index(client))
            client.reads.set()
        await anyio.sleep(0.005)
        for client in self.clients:
            self._saw_the_end(client)
            client.gone.set()
        with anyio.fail_after(5):
            while not all(each.carried for each in self.clients):
                await anyio.sleep(0.001)
        assert self.hub._of_user == {} and self.hub._of_sync == {}
        for client in self.clients:
            assert client.faults == [] and client.stream.send is None
            assert not client.stream.pending and not client.stream.last_words

    def _saw_the_end(self, client: Client) -> None:
        lost = client.gone.is_set() or client.broken or "event: evicted" in client.text
        if client.expected is None or lost or self.closed:
            return
        assert f'"version":{client.expected.version},' in client.text, "a terminal event is lost"
        if client.stream.sync_id:
            assert client.ended and client.text.count("event: cancelled") == 1


DEEDS = [
    *("add", "snapshot", "hand_over", "stall", "read", "deliver", "finish", "resume"),
    *("deadline", "comment", "pause", "hang_up", "break_off", "shut_down"),
]
Deed = tuple[str, int]


async def live(deeds: Sequence[Deed]) -> None:
    hub = CountedHub(SystemClock(), Encoder(), MOST_OF_USER)
    async with hub.open(), anyio.create_task_group() as group:
        world = World(hub, group)
        for deed, number in deeds:
            await world.do(deed, number)
        await world.end()
        group.cancel_scope.cancel()


def lived(deeds: Sequence[Deed]) -> None:
    with patch.object(module, "TICK", 0.0005), patch.object(module, "SILENCE", 0.001):
        anyio.run(live, deeds)


BEGIN: list[Deed] = [("add", 1), ("snapshot", 0), ("hand_over", 0), ("comment", 0)]


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(DEEDS), st.integers(0, 3)), max_size=25))
def test_every_call_returns_and_a_removed_stream_takes_nothing(deeds: Sequence[Deed]) -> None:
    lived([*BEGIN, *deeds])


def test_a_client_that_stalls_and_hangs_up_with_an_event_pending_ends() -> None:
    for order in (0, 1):
        lived([*BEGIN, ("stall", 0), ("deliver", 0), ("deliver", 1), ("hang_up", order)])


def test_a_stalled_client_sees_the_end_although_the_sync_was_resumed() -> None:
    stalled: list[Deed] = [("stall", 0), ("deliver", 0), ("finish", 0), ("resume", 0)]
    lived([*BEGIN, *stalled, ("deliver", 1), ("read", 0)])
    lived([("add", 0), ("hand_over", 0), *stalled, ("deliver", 1), ("read", 0)])
    lived([("add", 1), ("finish", 0), ("resume", 0), ("hand_over", 0)])


def test_an_evicted_client_that_stalls_and_hangs_up_takes_no_last_words() -> None:
    for order in (0, 1):
        more: list[Deed] = [("add", 1), ("add", 1), ("add", 1)]
        lived([*BEGIN, ("stall", 0), ("deliver", 0), *more, ("hang_up", 2 + order)])
