"""The hub with `send` and `receive` as a server provides them to a slow client."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from starlette.types import Message

from connectors.base import Window
from service.model import Sync
from service.progress import Checkpoint, DatasetProgress
from service.streams.hub import LIFETIME, SILENCE, TICK, Hub, Stream, StreamMiddleware
from service.streams.sse import ProgressResponse
from service.wire.serialize import Encoder
from tests.service.advancing import AdvancingClock
from tests.serving import PATIENCE

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 15, tzinfo=UTC)


@pytest.fixture
def clock() -> AdvancingClock:
    return AdvancingClock()


@pytest.fixture
async def hub(clock: AdvancingClock) -> AsyncIterator[Hub]:
    opened = Hub(clock, Encoder(), 2)
    async with opened.open():
        yield opened


def running_sync() -> Sync:
    dataset = DatasetProgress("orders", "orders", Checkpoint(Window(NOW, NOW)))
    return Sync("sync_1", "ann", "ann", "demo", "conn_1", NOW, NOW, (dataset,)).taken(NOW)


class Client:
    """A client of one stream. While it does not read, sending to it waits."""

    def __init__(self, hub: Hub, stream: Stream) -> None:
        self._hub = hub
        self._stream = stream
        self.reads = anyio.Event()
        self.reads.set()
        self.disconnected = anyio.Event()
        self.received: list[Message] = []
        self.error: Exception | None = None

    async def send(self, message: Message) -> None:
        await self.reads.wait() if not self.reads.is_set() else None
        if self.error:
            raise self.error
        assert not self.received or self.received[-1]["more_body"], "sent after the end"
        self.received.append(message)

    async def receive(self) -> Message:
        while not self.disconnected.is_set() and (
            not self.received or self.received[-1]["more_body"]
        ):
            await anyio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def serve(self) -> None:
        await self._hub.serve(self._stream, self.receive, self.send)

    @property
    def text(self) -> str:
        return b"".join(message["body"] for message in self.received).decode()

    @property
    def ended(self) -> bool:
        return bool(self.received) and not self.received[-1]["more_body"]


async def settle() -> None:
    """Let all tasks run until they wait."""
    await anyio.sleep(0.01)


async def test_an_end_before_the_handover_is_sent_once(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    hub.deliver(running_sync().cancelled(NOW))
    with anyio.fail_after(PATIENCE):
        await client.serve()
    assert client.text.count("event: cancelled") == 1 and client.ended
    assert hub.count == 0


async def test_a_slow_client_gets_the_newest_event_and_one_end(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    sync = running_sync()
    async with anyio.create_task_group() as group:
        group.start_soon(client.serve)
        await settle()
        client.reads = anyio.Event()
        hub.deliver(sync)
        for number in range(50):
            sync = sync.waiting(None, NOW, f"number {number}", NOW)
            hub.deliver(sync)
        hub.deliver(sync.cancelled(NOW))
        await settle()
        assert client.received == []
        client.reads.set()
    assert client.text.count("event: progress") == 1
    assert client.text.count("event: cancelled") == 1 and client.ended


async def test_an_end_that_has_to_wait_is_sent_once(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    async with anyio.create_task_group() as group:
        group.start_soon(client.serve)
        await settle()
        client.reads = anyio.Event()
        await hub.close(0)
        await settle()
        client.reads.set()
    assert client.text.startswith("retry: ") and client.ended
    assert len(client.received) == 1


async def test_an_eviction_before_the_handover_is_sent(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    hub.add("ann", "sync_1", None)
    hub.add("ann", "sync_1", None)
    assert hub.count == 2
    with anyio.fail_after(PATIENCE):
        await client.serve()
    assert "event: evicted" in client.text and client.ended
    assert hub.count == 2


async def test_an_eviction_of_a_slow_client_is_sent(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    async with anyio.create_task_group() as group:
        group.start_soon(client.serve)
        await settle()
        client.reads = anyio.Event()
        hub.deliver(running_sync())
        hub.add("ann", "sync_1", None)
        hub.add("ann", "sync_1", None)
        client.reads.set()
    assert client.text.endswith("\n\n") and client.ended
    assert client.text.index("event: progress") < client.text.index("event: evicted")


async def test_a_slow_client_gets_nothing_after_its_credential_expires(
    hub: Hub, clock: AdvancingClock
) -> None:
    client = Client(hub, hub.add("ann", "sync_1", clock.now() + timedelta(minutes=1)))
    async with anyio.create_task_group() as group:
        group.start_soon(client.serve)
        await settle()
        client.reads = anyio.Event()
        sync = running_sync()
        hub.deliver(sync)
        hub.deliver(sync.waiting(None, NOW, "a secret", NOW))
        clock.advance(minutes=1)
        await settle()
        client.reads.set()
    assert "a secret" not in client.text and client.ended


async def test_a_stream_ends_after_its_lifetime(hub: Hub, clock: AdvancingClock) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    async with anyio.create_task_group() as group:
        group.start_soon(client.serve)
        await settle()
        clock.advance(LIFETIME.total_seconds() * 0.8)
        await settle()
        assert not client.ended
        clock.advance(LIFETIME.total_seconds() * 0.3)
    assert client.ended and hub.count == 0


async def test_a_comment_is_sent_after_a_period_of_silence(hub: Hub, clock: AdvancingClock) -> None:
    client = Client(hub, hub.add("ann", None, None))
    silence = SILENCE.total_seconds()
    async with anyio.create_task_group() as group:
        group.start_soon(client.serve)
        await settle()
        for step, comments in ((silence - TICK, 0), (TICK, 1), (silence - TICK, 1), (TICK, 2)):
            clock.advance(step)
            await settle()
            assert client.text == ":\n\n" * comments
        client.disconnected.set()


async def test_a_clock_that_is_set_back_delays_neither_comments_nor_the_end(
    hub: Hub, clock: AdvancingClock
) -> None:
    client = Client(hub, hub.add("ann", None, None))
    async with anyio.create_task_group() as group:
        group.start_soon(client.serve)
        await settle()
        clock.advance(hours=-1)
        for seconds in (TICK, SILENCE.total_seconds()):
            clock.advance(seconds)
            await settle()
        assert client.text == ":\n\n"
        clock.advance(LIFETIME.total_seconds() * 1.2)
    assert client.ended


async def test_an_older_version_is_not_sent_after_a_newer_one(hub: Hub) -> None:
    stream = hub.add("ann", "sync_1", None)
    client = Client(hub, stream)
    old = running_sync()
    new = old.waiting(None, NOW, "something", NOW)
    hub.deliver(old)
    hub.mark_sent(stream, new)
    async with anyio.create_task_group() as group:
        group.start_soon(client.serve)
        await settle()
        hub.deliver(old)
        hub.deliver(new)
        assert client.received == []
        client.disconnected.set()
    assert hub.count == 0


async def test_a_failing_send_affects_only_its_own_stream(hub: Hub) -> None:
    broken = Client(hub, hub.add("ann", "sync_1", None))
    intact = Client(hub, hub.add("bob", "sync_1", None))
    async with anyio.create_task_group() as group:
        group.start_soon(broken.serve)
        group.start_soon(intact.serve)
        await settle()
        broken.error = RuntimeError("broken")
        hub.deliver(running_sync())
        assert hub.count == 1 and "event: progress" in intact.text
        broken.disconnected.set()
        intact.disconnected.set()


async def test_a_send_that_fails_while_it_waits_affects_only_its_own_stream(hub: Hub) -> None:
    broken = Client(hub, hub.add("ann", "sync_1", None))
    async with anyio.create_task_group() as group:
        group.start_soon(broken.serve)
        await settle()
        broken.reads = anyio.Event()
        hub.deliver(running_sync())
        broken.error = RuntimeError("broken")
        broken.reads.set()
        await settle()
        assert hub.count == 0
        broken.disconnected.set()
    hub.deliver(running_sync())


async def test_a_client_that_disconnects_before_the_handover_is_removed(hub: Hub) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        stream = hub.add("ann", "sync_1", None)
        await ProgressResponse(hub, stream, b"retry: 3000\n\n")(scope, receive, send)

    async def send(message: Message) -> None:
        raise OSError("the client has disconnected")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(OSError, match="disconnected"):
        await StreamMiddleware(app, hub)({"type": "http", "method": "GET"}, receive, send)
    assert hub.count == 0
