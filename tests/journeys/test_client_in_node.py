"""The service's own client in Node: it follows a sync to its end by each transport, and ends."""

import asyncio
import gzip
import json
import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from time import time
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest

from tests.journeys.hanging import hanging_proxy
from tests.serving import PATIENCE, Json, Serving, User, serve, token

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).parents[2]
CLIENT = ROOT / "service/web/client.js"
SCRIPT = ROOT / "tests/clients/follow_syncs.js"
MAX_BYTES = 8192
LEEWAY = 60
SLOW: Any = {"DEMO_ORDERS": "400", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.1"}
ENDLESS: Any = {"DEMO_ORDERS": "100000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.1"}
EVENTS = ("onProgress", "onPaused", "onComplete", "onFailed", "onCancelled")


@pytest.fixture(autouse=True)
def installed() -> None:
    if not shutil.which("node"):
        (pytest.fail if os.environ.get("CI") else pytest.skip)("Node is not installed")


class Following:
    """A process of Node that follows syncs. It is read while it runs."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.seen: list[tuple[str, Any]] = []

    async def until(self, name: str, data: Any = ...) -> Any:
        """Read up to this callback; `...` stands for any data."""
        with anyio.fail_after(PATIENCE):
            while True:
                seen = await self._read()
                assert seen, f"It ended without {name}: {self.seen[-5:]}"
                if seen[0] == name and data in (..., seen[1]):
                    return seen[1]

    async def end(self) -> int:
        """Read to the end. The exit code of the process."""
        with anyio.fail_after(PATIENCE):
            while await self._read():
                pass
            return await self.process.wait()

    async def _read(self) -> tuple[str, Any] | None:
        assert self.process.stdout
        line = await self.process.stdout.readline()
        if not line:
            return None
        name, data = json.loads(line)
        self.seen.append((name, data))
        return name, data

    def all(self, *names: str) -> list[Any]:
        return [data for name, data in self.seen if name in names]


@asynccontextmanager
async def following(
    sync_id: str | None, more: Json | None = None, **options: Any
) -> AsyncIterator[Following]:
    """Follow a sync, or all of them."""
    what = {"options": options, "syncId": sync_id, **(more or {})}
    sockets = ["--experimental-websocket"] if options.get("transport") else []
    command = ["node", *sockets, str(SCRIPT), json.dumps(what)]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    try:
        yield Following(process)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def demo(service: Serving) -> User:
    ann = service.user()
    await ann.connect()
    return ann


def whole(node: Following, sync: Json) -> None:
    """It saw a sync to its end: versions that only rise, and one end."""
    changes = node.all("onChange")
    versions = [change["version"] for change in changes]
    assert versions == sorted(set(versions)) and versions[-1] == sync["version"]
    assert node.all("onComplete") == [sync["version"]]
    assert node.all(*EVENTS) == versions
    assert changes[-1]["kind"] == "complete"
    assert node.all("onError") == []


def test_it_is_small() -> None:
    assert len(gzip.compress(CLIENT.read_bytes(), 9)) <= MAX_BYTES


@pytest.mark.parametrize("way", ["token", "ticket", "websocket", "websocket by ticket", "all"])
async def test_it_follows_a_sync_to_its_end(tmp_path: Path, way: str) -> None:
    async with serve(tmp_path, None, **SLOW) as service:
        ann = await demo(service)
        sync_id = await ann.start()
        options: Json = {"baseUrl": service.url}
        more: Json = {}
        if "ticket" in way:
            more = {"tickets": {**options, "token": token()}}
        else:
            options["token"] = token()
        if "websocket" in way:
            options["transport"] = "websocket"
        async with following(None if way == "all" else sync_id, more, **options) as node:
            assert await node.end() == 0
        whole(node, await ann.status(sync_id))
        assert bool(node.all("ticket")) == (way != "token" and "ticket" in way)


async def test_it_shows_a_sync_that_has_ended_and_ends(tmp_path: Path) -> None:
    async with serve(tmp_path, None, **SLOW) as service:
        ann = await demo(service)
        sync = await ann.whole_sync()
        async with following(sync["syncId"], baseUrl=service.url, token=token()) as node:
            assert await node.end() == 0
        whole(node, sync)


async def test_a_sync_that_does_not_exist_is_a_problem(tmp_path: Path) -> None:
    async with (
        serve(tmp_path, None, **SLOW) as service,
        following("sync_unknown", baseUrl=service.url, token=token()) as node,
    ):
        assert await node.end() == 0
        (problem,) = node.all("onError")
        assert (problem["status"], problem["code"]) == (404, "not_found")
        assert problem["detail"] and problem["requestId"]


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_a_token_that_expires_in_the_middle_is_a_problem(
    tmp_path: Path, transport: str
) -> None:
    async with serve(tmp_path, None, **ENDLESS) as service:
        ann = await demo(service)
        sync_id = await ann.start()
        short = token(exp=int(time()) - LEEWAY + 6)
        options: Json = {"baseUrl": service.url, "token": short}
        if transport == "websocket":
            options["transport"] = transport
        async with following(sync_id, **options) as node:
            await node.until("onProgress")
            assert await node.end() == 0
        (problem,) = node.all("onError")
        assert problem["status"] == 401


async def test_a_token_that_expires_is_renewed(tmp_path: Path) -> None:
    async with serve(tmp_path, None, **ENDLESS) as service:
        ann = await demo(service)
        sync_id = await ann.start()
        tokens = [token(exp=int(time()) - LEEWAY + 6), token()]
        async with following(sync_id, {"tokens": tokens}, baseUrl=service.url) as node:
            await node.until("refresh")
            await ann.post(f"/api/sync/cancel/{sync_id}")
            assert await node.end() == 0
        assert len(node.all("onCancelled")) == 1 and node.all("onError") == []


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_a_ticket_that_expires_is_replaced(tmp_path: Path, transport: str) -> None:
    async with serve(tmp_path, None, **ENDLESS) as service:
        ann = await demo(service)
        sync_id = await ann.start()
        options: Json = {"baseUrl": service.url}
        tokens = [token(exp=int(time()) - LEEWAY + 6), token()]
        more = {"tickets": dict(options), "tokens": tokens}
        if transport == "websocket":
            options["transport"] = transport
        async with following(sync_id, more, **options) as node:
            await node.until("ticket")
            await node.until("refresh")
            await node.until("onProgress")
            await ann.post(f"/api/sync/cancel/{sync_id}")
            assert await node.end() == 0
        assert len(node.all("ticket")) > 1 and node.all("onError") == []
        assert len(node.all("onCancelled")) == 1


@pytest.mark.parametrize("transport", ["sse", "websocket"])
async def test_it_polls_while_streams_hang_and_then_returns_to_them(
    tmp_path: Path, transport: str
) -> None:
    async with (
        serve(tmp_path, None, **ENDLESS) as service,
        hanging_proxy(urlsplit(service.url).port or 0) as proxy,
    ):
        ann = await demo(service)
        sync_id = await ann.start()
        options: Json = {"baseUrl": f"http://127.0.0.1:{proxy.port}", "token": token()}
        options |= {"watchdog": 1000, "pollInterval": 300}
        if transport == "websocket":
            options["transport"] = transport
        async with following(sync_id, **options) as node:
            await node.until("onLink", "live")
            proxy.hang()
            await node.until("onLink", "polling")
            before = (await ann.status(sync_id))["version"]
            while await node.until("onProgress") <= before:
                pass
            proxy.flow()
            await node.until("onLink", "live")
            await ann.post(f"/api/sync/cancel/{sync_id}")
            assert await node.end() == 0
        versions = [change["version"] for change in node.all("onChange")]
        assert versions == sorted(set(versions))
        assert len(node.all("onCancelled")) == 1 and node.all("onError") == []


async def test_it_says_that_it_is_offline_and_comes_back(tmp_path: Path) -> None:
    async with (
        serve(tmp_path, None, **ENDLESS) as service,
        hanging_proxy(urlsplit(service.url).port or 0) as proxy,
    ):
        ann = await demo(service)
        sync_id = await ann.start()
        options: Json = {"baseUrl": f"http://127.0.0.1:{proxy.port}", "token": token()}
        async with following(sync_id, **options, watchdog=1000, pollInterval=300) as node:
            await node.until("onLink", "live")
            proxy.be_silent()
            await node.until("onLink", "offline")
            await ann.post(f"/api/sync/cancel/{sync_id}")
            proxy.forward()
            assert await node.end() == 0
        assert len(node.all("onCancelled")) == 1 and node.all("onError") == []
