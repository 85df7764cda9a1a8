"""Events delivered to 1,000 open streams of one sync; the clients are a process of their own."""

import os
import resource
import socket
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, process_time
from urllib.parse import urlsplit

import anyio

from service.model import Sync
from service.progress import Stage
from tests.benchmarks.child import child
from tests.serving import Serving, serve, token

STREAMS = 1000
EVENTS = 100


async def run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder), DEMO_PAUSE="600", MAX_STREAMS_PER_USER="5000") as service:
            ann = service.user()
            await ann.connect()
            sync_id = await ann.start()
            await ann.until_processed(sync_id, "orders", 0)
            return await _deliver(service, sync_id)


async def _deliver(service: Serving, sync_id: str) -> dict[str, float]:
    before = resident_kilobytes()
    with child(read_streams, service.url, sync_id, token()) as clients:
        await clients.received()  # every stream has its first block
        memory = (resident_kilobytes() - before) / STREAMS
        sync = await service.parts.registry.find(sync_id)
        assert sync is not None
        begin, cpu = perf_counter(), process_time()
        await _publish(service, sync)
        spent = process_time() - cpu
        late: list[float] = await clients.received()
        seconds = perf_counter() - begin
    count = STREAMS * EVENTS
    return {
        "events delivered a second": count / seconds,
        "microseconds of CPU a delivery, at the server": spent / count * 1e6,
        "KB of memory a stream, at the server": memory,
        "ms from the change to the last of 1,000 clients, median": sorted(late)[len(late) // 2],
    }


async def _publish(service: Serving, sync: Sync) -> None:
    for number in range(EVENTS):
        sync = sync.staged(Stage.FETCHING, f"{number} {perf_counter()}", sync.updated_at)
        service.parts.hub.deliver(sync)
        await anyio.sleep(0.005)


def read_streams(pipe: Connection, url: str, sync_id: str, bearer: str) -> None:
    """Open the streams, read each to its last event, and send how late the events arrived."""
    anyio.run(_read_streams, pipe, url, sync_id, bearer)


async def _read_streams(pipe: Connection, url: str, sync_id: str, bearer: str) -> None:
    import selectors

    to = urlsplit(url)
    request = (
        f"GET /api/sse/sync-progress/{sync_id} HTTP/1.1\r\nHost: {to.netloc}\r\n"
        f"Authorization: Bearer {bearer}\r\n\r\n"
    ).encode()
    selector = selectors.DefaultSelector()
    for _ in range(STREAMS):
        client = socket.create_connection((to.hostname or "", to.port or 0))
        client.sendall(request)
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ, bytearray())
    started: set[int] = set()
    while len(started) < STREAMS:
        for key, _ in selector.select():
            key.data.extend(key.fileobj.recv(65536))  # type: ignore[union-attr]
            if b"\n\n" in key.data.partition(b"data: ")[2]:
                started.add(key.fd)
    pipe.send(True)
    seen: dict[bytes, float] = {}
    ended: set[int] = set()
    marker = f"{EVENTS - 1} ".encode()
    while len(ended) < STREAMS:
        for key, _ in selector.select():
            data = key.fileobj.recv(1 << 20)  # type: ignore[union-attr]
            now = perf_counter()
            key.data.extend(data)
            del key.data[:-4096]
            for part in data.split(b'"message":"')[1:]:
                number, _, rest = part.partition(b" ")
                sent = rest.partition(b'"')[0]
                if sent.replace(b".", b"").isdigit():
                    seen[number] = (now - float(sent)) * 1000
            if b'"message":"' + marker in key.data:
                ended.add(key.fd)
    pipe.send(list(seen.values()))


def resident_kilobytes() -> float:
    """Memory of this process."""
    pages = int(Path(f"/proc/{os.getpid()}/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1024
