"""The hub at its edges: a `send` and `receive` that do what a slow client makes a server do."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any

import anyio
import pytest
from starlette.types import Message

from connectors.base import SystemClock, Window
from service.model import Sync
from service.progress import Checkpoint, DatasetProgress
from service.streams import hub as module
from service.streams.hub import HandOver, Hub, Stream
from service.streams.sse import ProgressResponse
from service.wire.serialize import Encoder

pytestmark = pytest.mark.anyio

NOW = datetime(2026, 1, 15, tzinfo=UTC)


@pytest.fixture
async def hub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Hub]:
    monkeypatch.setattr(module, "TICK", 0.01)
    opened = Hub(SystemClock(), Encoder(), 2)
    async with opened.open():
        yield opened


def a_sync() -> Sync:
    dataset = DatasetProgress("orders", "orders", Checkpoint(Window(NOW, NOW)))
    return Sync("sync_1", "ann", "ann", "demo", "conn_1", NOW, NOW, (dataset,)).taken(NOW)


class Client:
    """A client of one stream. While it does not read, sending to it waits."""

    def __init__(self, hub: Hub, stream: Stream) -> None:
        self._hub = hub
        self._stream = stream
        self.reads = anyio.Event()
        self.reads.set()
        self.gone = anyio.Event()
        self.got: list[Message] = []
        self.error: Exception | None = None

    async def send(self, message: Message) -> None:
        await self.reads.wait() if not self.reads.is_set() else None
        if self.error:
            raise self.error
        assert not self.got or self.got[-1]["more_body"], "it has ended already"
        self.got.append(message)

    async def receive(self) -> Message:
        while not self.gone.is_set() and (not self.got or self.got[-1]["more_body"]):
            await anyio.sleep(0.001)
        return {"type": "http.disconnect"}

    async def carried(self) -> None:
        await self._hub.carry(self._stream, self.receive, self.send)

    @property
    def text(self) -> str:
        return b"".join(each["body"] for each in self.got).decode()

    @property
    def ended(self) -> bool:
        return bool(self.got) and not self.got[-1]["more_body"]


async def settle() -> None:
    await anyio.sleep(0.03)


async def test_an_end_that_comes_before_the_hand_over_is_told_once(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    hub.deliver(a_sync().cancelled(NOW))
    with anyio.fail_after(2):
        await client.carried()
    assert client.text.count("event: cancelled") == 1 and client.ended
    assert len(hub) == 0


async def test_a_slow_client_gets_the_newest_and_one_end(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    sync = a_sync()
    async with anyio.create_task_group() as group:
        group.start_soon(client.carried)
        await settle()
        client.reads = anyio.Event()
        hub.deliver(sync)
        for number in range(50):
            sync = sync.waiting(None, NOW, f"number {number}", NOW)
            hub.deliver(sync)
        hub.deliver(sync.cancelled(NOW))
        await settle()
        assert client.got == []
        client.reads.set()
    assert client.text.count("event: progress") == 1
    assert client.text.count("event: cancelled") == 1 and client.ended


async def test_the_end_itself_may_have_to_wait_and_is_sent_once(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    async with anyio.create_task_group() as group:
        group.start_soon(client.carried)
        await settle()
        client.reads = anyio.Event()
        await hub.close(0)
        await settle()
        client.reads.set()
    assert client.text.startswith("retry: ") and client.ended
    assert len(client.got) == 1


async def test_whoever_is_evicted_before_the_hand_over_is_told(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    hub.add("ann", "sync_1", None)
    hub.add("ann", "sync_1", None)
    assert len(hub) == 2
    with anyio.fail_after(2):
        await client.carried()
    assert "event: evicted" in client.text and client.ended
    assert len(hub) == 2


async def test_whoever_is_evicted_while_reading_slowly_is_told(hub: Hub) -> None:
    client = Client(hub, hub.add("ann", "sync_1", None))
    async with anyio.create_task_group() as group:
        group.start_soon(client.carried)
        await settle()
        client.reads = anyio.Event()
        hub.deliver(a_sync())
        hub.add("ann", "sync_1", None)
        hub.add("ann", "sync_1", None)
        client.reads.set()
    assert client.text.endswith("\n\n") and client.ended
    assert client.text.index("event: progress") < client.text.index("event: evicted")


async def test_a_slow_client_gets_nothing_past_its_credential(hub: Hub) -> None:
    until = SystemClock().now() + timedelta(seconds=0.1)
    client = Client(hub, hub.add("ann", "sync_1", until))
    async with anyio.create_task_group() as group:
        group.start_soon(client.carried)
        await settle()
        client.reads = anyio.Event()
        sync = a_sync()
        hub.deliver(sync)
        hub.deliver(sync.waiting(None, NOW, "a secret", NOW))
        await anyio.sleep(0.15)
        client.reads.set()
    assert "a secret" not in client.text and client.ended


async def test_an_older_version_is_not_told_after_a_newer_one(hub: Hub) -> None:
    stream = hub.add("ann", "sync_1", None)
    client = Client(hub, stream)
    old = a_sync()
    new = old.waiting(None, NOW, "something", NOW)
    hub.deliver(old)
    hub.told(stream, new)
    async with anyio.create_task_group() as group:
        group.start_soon(client.carried)
        await settle()
        hub.deliver(old)
        hub.deliver(new)
        assert client.got == []
        client.gone.set()
    assert len(hub) == 0


async def test_a_send_that_breaks_concerns_its_own_stream_alone(hub: Hub) -> None:
    broken = Client(hub, hub.add("ann", "sync_1", None))
    sound = Client(hub, hub.add("bob", "sync_1", None))
    async with anyio.create_task_group() as group:
        group.start_soon(broken.carried)
        group.start_soon(sound.carried)
        await settle()
        broken.error = RuntimeError("broken")
        hub.deliver(a_sync())
        assert len(hub) == 1 and "event: progress" in sound.text
        broken.gone.set()
        sound.gone.set()


async def test_a_send_that_breaks_while_it_waits_concerns_its_own_stream_alone(hub: Hub) -> None:
    broken = Client(hub, hub.add("ann", "sync_1", None))
    async with anyio.create_task_group() as group:
        group.start_soon(broken.carried)
        await settle()
        broken.reads = anyio.Event()
        hub.deliver(a_sync())
        broken.error = RuntimeError("broken")
        broken.reads.set()
        await settle()
        assert len(hub) == 0
        broken.gone.set()
    hub.deliver(a_sync())


async def test_a_client_that_goes_before_the_hand_over_leaves_nothing_behind(hub: Hub) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        stream = hub.add("ann", "sync_1", None)
        await ProgressResponse(hub, stream, b"retry: 3000\n\n")(scope, receive, send)

    async def send(message: Message) -> None:
        raise OSError("the client is gone")

    async def receive() -> Message:
        return {"type": "http.disconnect"}

    with pytest.raises(OSError, match="gone"):
        await HandOver(app, hub)({"type": "http", "method": "GET"}, receive, send)
    assert len(hub) == 0
