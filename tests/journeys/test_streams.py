"""Three clients that follow a sync: a browser's EventSource, curl, and httpx-sse."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from anyio import to_thread
from selenium.webdriver import Chrome

from tests.journeys.browser import shared_chromium
from tests.journeys.process import service
from tests.serving import PATIENCE, User, json_of, serve, token

pytestmark = pytest.mark.anyio

FOLLOW = """
window.seen = [];
window.source = new EventSource('/api/sse/sync-progress/' + arguments[0]);
for (const kind of ['progress', 'complete', 'failed', 'cancelled', 'paused', 'reset'])
  source.addEventListener(kind, event => seen.push([kind, event.lastEventId, event.data]));
"""


class Relay:
    """A TCP relay to the service whose connections can be cut, as by a train in a tunnel."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._open: set[asyncio.WriteTransport] = set()
        self.connections = 0

    async def carry(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", self._port)
        ends = {writer.transport, server_writer.transport}
        self._open |= ends
        try:
            with suppress(ConnectionError):
                async with anyio.create_task_group() as group:
                    group.start_soon(_pump, reader, server_writer, group.cancel_scope)
                    group.start_soon(_pump, server_reader, writer, group.cancel_scope)
        finally:
            self._open -= ends
            for end in ends:
                end.abort()

    def cut(self) -> None:
        for transport in tuple(self._open):
            transport.abort()


async def _pump(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, scope: anyio.CancelScope
) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    scope.cancel()


@asynccontextmanager
async def relay_to(port: int) -> AsyncIterator[tuple[str, Relay]]:
    relay = Relay(port)
    server = await asyncio.start_server(relay.carry, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", relay
        relay.cut()


async def test_event_source_reconnects_after_a_cut_and_stops_after_the_end(
    tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port = free_port()
    demo = {"AUTH_MODE": "demo", "DEMO_PAUSE": "0.25", "DEMO_PAGE": "10"}
    with service(tmp_path, port, **demo) as server, shared_chromium() as chrome:
        async with relay_to(port) as (url, relay), httpx.AsyncClient(base_url=server.url) as client:
            user = User(client)
            await user.connect()
            await to_thread.run_sync(chrome.get, url + "/healthz")
            sync_id = await user.start()
            await _script(chrome, FOLLOW, sync_id)
            await _until(chrome, "return seen.length > 3")
            before = relay.connections
            relay.cut()
            done = await user.until(sync_id)
            # The stream ends; the browser reconnects once, receives 204, and stops.
            await _until(chrome, "return source.readyState === EventSource.CLOSED")
            seen: list[list[str]] = await _script(chrome, "return seen")
    versions = [int(number) for _, number, _ in seen]
    assert relay.connections > before, "it reconnected after the cut"
    assert versions == sorted(set(versions)), "no event twice, none out of order"
    assert [kind for kind, _, _ in seen].count("complete") == 1
    assert seen[-1][0] == "complete" and versions[-1] == done["version"]
    assert "reset" not in [kind for kind, _, _ in seen], "the service knew its Last-Event-ID"


async def test_curl_reads_a_stream_to_its_end_and_gets_204_after_it(
    tmp_path: Path,
) -> None:
    if not (curl := shutil.which("curl")):
        pytest.skip("curl is not installed")
    async with serve(tmp_path, DEMO_PAUSE="0.05") as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        address = f"{service.url}/api/sse/sync-progress/{sync_id}"
        command = [curl, "-sN", "-w", "%{http_code}", "-H", f"Authorization: Bearer {token()}"]
        stream = (await anyio.run_process([*command, address])).stdout.decode()
        done = await ann.status(sync_id)
        blocks = stream.split("\n\n")
        assert blocks[0] == "retry: 3000" and blocks[-1] == "200"
        assert blocks[-2].startswith(f"id: {done['version']}\nevent: complete\ndata: ")
        last_event = ["-H", f"Last-Event-ID: {done['version']}"]
        assert (await anyio.run_process([*command, *last_event, address])).stdout == b"204"


async def test_httpx_sse_continues_after_its_last_event(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="0.05", DEMO_PAGE="25") as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        first = []
        async for event in ann.events(sync_id):
            first.append(event)
            if len(first) == 3:
                break
        rest = [event async for event in ann.events(sync_id, last=first[-1].id)]
        versions = [int(event.id) for event in (*first, *rest)]
        assert versions == sorted(set(versions))
        assert json_of(rest[-1])["status"] == rest[-1].event == "complete"


async def _script(chrome: Chrome, text: str, *arguments: Any) -> Any:
    return await to_thread.run_sync(lambda: chrome.execute_script(text, *arguments))


async def _until(chrome: Chrome, condition: str) -> None:
    with anyio.fail_after(PATIENCE):
        while not await _script(chrome, condition):
            await anyio.sleep(0.05)
