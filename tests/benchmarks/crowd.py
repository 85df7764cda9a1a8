"""The clients of the soak test: users who start, cancel and poll; streams that read, and streams
that stall and disconnect; slow readers and slow senders. They repeat until they are stopped."""

import asyncio
import contextlib
import socket
import struct
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from random import Random
from urllib.parse import urlsplit

import httpx

from connectors import amazon_sandbox as amazon
from tests.serving import ENDED, read, token

ORDERS = 100
TIMEOUT = 60.0
RESET = struct.pack("ii", 1, 0)
"""SO_LINGER: disconnect with a RST."""


class Crowd:
    """All clients of one service, until `stop`. `seen` counts actions, `faults` failures."""

    def __init__(self, url: str, users: int, streams: int, stalled: int, seed: int) -> None:
        self._at = urlsplit(url)
        self._url = url
        self._random = Random(seed)
        self._users = [f"user-{number}" for number in range(users)]
        self._streams, self._stalled = streams, stalled
        self._stopped = asyncio.Event()
        self._endless: list[asyncio.Task[None]] = []
        self._syncs: dict[str, str] = {}
        self.seen: Counter[str] = Counter()
        self.faults: Counter[str] = Counter()

    def stop(self) -> None:
        """Users finish their requests; all other clients disconnect."""
        self._stopped.set()
        for task in self._endless:
            task.cancel()

    async def run(self) -> None:
        """Run until stopped; then every connection is closed."""
        async with asyncio.TaskGroup() as group:
            for number, name in enumerate(self._users):
                group.create_task(self._user(number, name))
            for what, client, name in self._others():
                self._endless.append(group.create_task(self._repeat(what, client, name)))

    def _others(self) -> Iterator[tuple[str, Callable[[str], Awaitable[None]], str]]:
        for name in self._users:
            yield "slow answer", self._slow_answer, name
            yield "slow head", self._slow_head, name
            yield "slow body", self._slow_body, name
        for number in range(self._streams):
            name = self._users[number % len(self._users)]
            if number < self._stalled:
                yield "stalled stream", self._stall, name
            else:
                yield "stream", self._follow, name

    async def _repeat(self, what: str, client: Callable[[str], Awaitable[None]], name: str) -> None:
        while not self._stopped.is_set():
            try:
                async with asyncio.timeout(TIMEOUT):
                    await client(name)
                self.seen[what] += 1
            except (OSError, asyncio.IncompleteReadError):
                self.seen[f"{what}, cut off by the service"] += 1
            except TimeoutError:
                self.faults[f"{what}: no end within {TIMEOUT:.0f} s"] += 1
            await self._pause(0.2, 1.0)

    async def _pause(self, least: float, most: float) -> None:
        try:
            async with asyncio.timeout(self._random.uniform(least, most)):
                await self._stopped.wait()
        except TimeoutError:
            pass

    # Users --------------------------------------------------------------------------------------

    async def _user(self, number: int, name: str) -> None:
        headers = {"Authorization": f"Bearer {token(name)}"}
        async with httpx.AsyncClient(
            base_url=self._url, headers=headers, timeout=TIMEOUT
        ) as client:
            await self._connect(client, number)
            while not self._stopped.is_set():
                try:
                    await self._sync(client, name)
                except (httpx.TransportError, KeyError) as error:
                    self.faults[f"user: {type(error).__name__}"] += 1
                await self._pause(3.0, 12.0)

    async def _connect(self, client: httpx.AsyncClient, number: int) -> None:
        body = {**amazon.connection(number + 1, ORDERS), "skipHistoricalSync": True}
        answer = await client.post("/api/connections", json=body)
        if answer.status_code != 201:
            self.faults[f"connect: {answer.status_code} {answer.text[:200]}"] += 1

    async def _sync(self, client: httpx.AsyncClient, name: str) -> None:
        """One sync, polled to its end; one in four is cancelled."""
        body = {"onConflict": "attach"}
        started = await self._call(client, "POST", "/api/sync/start", json=body)
        sync_id = self._syncs[name] = read(started)["syncId"]
        cancelled = self._random.random() < 0.25
        while not self._stopped.is_set():
            status = read(await self._call(client, "GET", f"/api/sync/status/{sync_id}"))["status"]
            if status in ENDED:
                self.seen[f"sync {status}"] += 1
                if status not in ("complete", "cancelled"):
                    self.faults[f"sync {status}"] += 1
                break
            if cancelled and self._random.random() < 0.2:
                await self._call(client, "POST", f"/api/sync/cancel/{sync_id}")
            await self._pause(0.1, 0.5)
        await self._call(client, "GET", "/api/sync/history")
        await self._call(client, "GET", "/api/recoveries")

    async def _call(
        self, client: httpx.AsyncClient, method: str, path: str, json: object = None
    ) -> httpx.Response:
        answer = await client.request(method, path, json=json)
        self.seen["answers"] += 1
        if answer.status_code >= 400 and answer.status_code != 409:
            self.faults[f"{method} {path.split('sync_')[0]}: {answer.status_code}"] += 1
        return answer

    # Streams ------------------------------------------------------------------------------------

    async def _follow(self, name: str) -> None:
        """Read to the end of the stream, or for a while."""
        reader, writer = await self._open()
        try:
            await self._ask(writer, self._stream_path(name), name)
            async with asyncio.timeout(self._random.uniform(5, 40)):
                while await reader.read(65536):
                    pass
        except TimeoutError:
            pass
        finally:
            await _close(writer)

    async def _stall(self, name: str) -> None:
        """Read nothing, or only a little, and disconnect: cleanly or with a reset."""
        reader, writer = await self._open(receive=4096, limit=1024)
        try:
            await self._ask(writer, self._stream_path(name), name)
            if self._random.random() < 0.5:
                await reader.read(512)
            writer.transport.pause_reading() if not reader.at_eof() else None  # type: ignore[attr-defined]
            await self._pause(0.0, 8.0)
        finally:
            if self._random.random() < 0.5:
                writer.get_extra_info("socket").setsockopt(
                    socket.SOL_SOCKET, socket.SO_LINGER, RESET
                )
                writer.transport.abort()
            await _close(writer)

    def _stream_path(self, name: str) -> str:
        if (sync_id := self._syncs.get(name)) and self._random.random() < 0.7:
            return f"/api/sse/sync-progress/{sync_id}"
        return "/api/sse/syncs"

    # Slow clients -------------------------------------------------------------------------------

    async def _slow_answer(self, name: str) -> None:
        """Read a large response at a few KB a second, then give up."""
        reader, writer = await self._open(receive=4096, limit=2048)
        try:
            await self._ask(writer, "/api/data/transactions?limit=1000", name)
            for _ in range(40):
                if not await reader.read(1024) or self._stopped.is_set():
                    break
                await self._pause(0.2, 0.4)
        finally:
            await _close(writer)

    async def _slow_head(self, name: str) -> None:
        _, writer = await self._open()
        try:
            for byte in f"GET /api/sync/status HTTP/1.1\r\nHost: {name}\r\n":
                writer.write(byte.encode())
                await writer.drain()
                await self._pause(0.2, 0.6)
        finally:
            await _close(writer)

    async def _slow_body(self, name: str) -> None:
        _, writer = await self._open()
        try:
            head = _head("POST", "/api/sync/start", self._at.netloc, name)
            writer.write(f"{head}Content-Type: application/json\r\n".encode())
            writer.write(b"Content-Length: 60\r\n\r\n{")
            for _ in range(20):
                writer.write(b" ")
                await writer.drain()
                await self._pause(0.3, 0.8)
        finally:
            await _close(writer)

    async def _open(
        self, receive: int = 0, limit: int = 65536
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """A connection. `receive` is the kernel's buffer, which fills without reading."""
        host, port = self._at.hostname or "", self._at.port or 0
        raw = socket.socket()
        try:
            raw.setblocking(False)
            if receive:
                raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
            await asyncio.get_running_loop().sock_connect(raw, (host, port))
            return await asyncio.open_connection(sock=raw, limit=limit)
        except BaseException:
            raw.close()
            raise

    async def _ask(self, writer: asyncio.StreamWriter, path: str, name: str) -> None:
        writer.write(f"{_head('GET', path, self._at.netloc, name)}\r\n".encode())
        await writer.drain()


def _head(method: str, path: str, host: str, name: str) -> str:
    return f"{method} {path} HTTP/1.1\r\nHost: {host}\r\nAuthorization: Bearer {token(name)}\r\n"


async def _close(writer: asyncio.StreamWriter) -> None:
    writer.close()
    with contextlib.suppress(OSError):
        await writer.wait_closed()
