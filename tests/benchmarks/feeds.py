"""1,000 idle live readers of a feed: what each costs; and how late they see a change."""

import socket
import tempfile
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, time
from typing import Any
from urllib.parse import urlsplit

import anyio

from tests.benchmarks.child import child
from tests.benchmarks.streams import resident_kilobytes
from tests.serving import Serving, serve, token

READERS = 1000
IDLE = 10.0
"""Seconds for which the queries of idle readers are counted."""


async def run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with serve(Path(folder), MAX_STREAMS_PER_USER="5000", DEMO_ORDERS="1") as service:
            ann = service.user()
            await ann.connect()
            await ann.whole_sync()
            return await _measure(service)


async def _measure(service: Serving) -> dict[str, float]:
    queries = _count_queries(service)
    before = resident_kilobytes()
    with child(read_feeds, service.url, token()) as clients:
        await clients.received()  # every reader has its first block
        memory = (resident_kilobytes() - before) / READERS
        queries.clear()
        await anyio.sleep(IDLE)
        idle = len(queries)
        begin = time()
        await service.user().whole_sync(datasets=["orders"], overwrite=True)
        seen: list[float] = await clients.received()
    late = sorted(moment - begin for moment in seen)
    return {
        "KB of memory a reader, at the server": memory,
        f"queries of {READERS:,} idle readers in {IDLE:g} s": idle,
        "ms from the start of a sync until half of the readers know": late[len(late) // 2] * 1000,
        "ms until all of them know": late[-1] * 1000,
    }


def _count_queries(service: Serving) -> list[float]:
    """The times of all reads of the feeds from now on."""
    store, times = service.parts.changes, list[float]()
    rows = store.rows

    async def counted(*arguments: Any) -> Any:
        times.append(perf_counter())
        return await rows(*arguments)

    store.rows = counted  # type: ignore[assignment, method-assign]
    return times


def read_feeds(pipe: Connection, url: str, bearer: str) -> None:
    """Open the readers, then send when each of them saw the next entry."""
    import selectors

    to = urlsplit(url)
    request = (
        f"GET /api/events?offset=now&live=sse HTTP/1.1\r\nHost: {to.netloc}\r\n"
        f"Authorization: Bearer {bearer}\r\n\r\n"
    ).encode()
    selector = selectors.DefaultSelector()
    for _ in range(READERS):
        client = socket.create_connection((to.hostname or "", to.port or 0))
        client.sendall(request)
        client.setblocking(False)
        selector.register(client, selectors.EVENT_READ, bytearray())
    started: set[int] = set()
    while len(started) < READERS:
        for key, _ in selector.select():
            key.data.extend(key.fileobj.recv(65536))  # type: ignore[union-attr]
            if b"streamNextOffset" in key.data:
                started.add(key.fd)
    pipe.send(True)
    seen: dict[int, float] = {}
    while len(seen) < READERS:
        for key, _ in selector.select():
            if b"event: data" in key.fileobj.recv(1 << 20):  # type: ignore[union-attr]
                seen.setdefault(key.fd, time())
    pipe.send(list(seen.values()))
