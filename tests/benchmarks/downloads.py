"""1,000,000 records downloaded: their rate, the memory that it takes, and status polls meanwhile.

On SQLite, and on PostgreSQL if a server is there (TEST_POSTGRES_URL)."""

import os
import socket
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from http.client import HTTPConnection
from multiprocessing.connection import Connection
from pathlib import Path
from time import perf_counter, sleep
from urllib.parse import urlsplit

import anyio
import msgspec
import psycopg

from connectors.base import Column
from connectors.demo.connector import DemoConnector
from tests.benchmarks.child import child
from tests.databases import SERVER, Databases
from tests.serving import Serving, serve, token

RECORDS = 1_000_000
EVERY = 0.005
"""Seconds between two polls, and between two samples of the memory."""
QUIET = 10.0
"""Seconds for which polls are measured without a download."""
ORDER = {
    "orderId": "112-0000000-0000000",
    "createdTime": "2026-01-15T12:00:00Z",
    "salesChannel": {"channelName": "AMAZON", "marketplaceId": "ATVPDKIKX0DER"},
    "fulfillment": {"fulfillmentStatus": "SHIPPED", "fulfilledBy": "AMAZON"},
    "orderItems": [
        {
            "quantityOrdered": 1,
            "product": {"asin": "B000000000", "sellerSku": "SKU-1", "title": "A product, blue"},
            "proceeds": {"proceedsTotal": {"amount": "19.99", "currencyCode": "USD"}},
        }
    ],
}
COLUMNS = [
    Column(name, name, name)
    for name in ("orderId", "createdTime", "salesChannel", "fulfillment", "orderItems")
]
_VALUES = "'orders', {id}, 's', 's', 'h', '2026-01-15T12:00:00.000000Z', "
_INTO = "INSERT INTO records (connection_id, dataset, id, sync_id, seen, hash, updated_at, data)"
_SQLITE = f"""
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < :count)
{_INTO} SELECT :connection, {_VALUES.format(id="printf('112-%09d', i)")} :data FROM n
"""
_POSTGRES = f"""
{_INTO} SELECT %(connection)s, {_VALUES.format(id="'112-' || lpad(i::text, 9, '0')")} %(data)s
  FROM generate_series(1, %(count)s) AS i
"""
FILES = {
    "NDJSON": ("application/x-ndjson", "identity"),
    "NDJSON, gzip": ("application/x-ndjson", "gzip"),
    "CSV": ("text/csv", "identity"),
}


async def run() -> dict[str, float]:
    demo = DemoConnector.datasets
    with_columns = [msgspec.structs.replace(one, columns=COLUMNS) for one in demo]
    DemoConnector.datasets = with_columns
    try:
        results = await _measure("SQLite", "")
        try:
            psycopg.connect(f"{SERVER}/postgres", connect_timeout=30).close()
        except psycopg.OperationalError as error:
            print(f"\nPostgreSQL is left out: none at {SERVER} ({error})")
            return results
        databases = Databases()
        try:
            with databases.one() as url:
                return results | await _measure("PostgreSQL", url)
        finally:
            databases.drop()
    finally:
        DemoConnector.datasets = demo


async def _measure(name: str, url: str) -> dict[str, float]:
    results = {}
    with tempfile.TemporaryDirectory() as folder:
        database = url or f"sqlite:///{folder}/sync.db"
        tiny = {"DEMO_ORDERS": "1", "DATABASE_URL": database, "REDIS_URL": ""}
        async with serve(Path(folder), None, **tiny) as service:
            ann = service.user()
            connection = (await ann.connect())["id"]
            done = await ann.whole_sync(datasets=["inventory"])
            path = f"/api/sync/status/{done['syncId']}"
            data = msgspec.json.encode(ORDER).decode()
            values = {"connection": connection, "count": RECORDS, "data": data}
            await anyio.to_thread.run_sync(_fill, url, folder, values)
            async with _polled(service, path) as quiet:
                await anyio.sleep(QUIET)
            results["p99 of status polls without a download, ms"] = _p99(quiet)
            for file, headers in FILES.items():
                results |= await _download(service, path, file, *headers)
    return {f"{name}: {what}": figure for what, figure in results.items()}


def _fill(url: str, folder: str, values: dict[str, object]) -> None:
    if url:
        with psycopg.connect(url, autocommit=True) as database:
            database.execute(_POSTGRES, values)
            database.execute("ANALYZE records")
        return
    with closing(sqlite3.connect(f"{folder}/sync.db", isolation_level=None)) as file:
        file.execute("PRAGMA synchronous = OFF")
        file.execute(_SQLITE, values)


async def _download(
    service: Serving, path: str, file: str, accept: str, coding: str
) -> dict[str, float]:
    before = most = _resident()
    async with _polled(service, path) as polls:
        with child(download, service.url, token(), accept, coding) as client:
            async with anyio.create_task_group() as group:

                async def watch() -> None:
                    nonlocal most
                    while True:
                        most = max(most, _resident())
                        await anyio.sleep(EVERY * 10)

                group.start_soon(watch)
                seconds, size = await client.received()
                group.cancel_scope.cancel()
    return {
        f"{file}: records a second": RECORDS / seconds,
        f"{file}: MB": size / 1e6,
        f"{file}: growth of the service's memory, MB (at most 100)": most - before,
        f"{file}: p99 of status polls meanwhile, ms": _p99(polls),
    }


@asynccontextmanager
async def _polled(service: Serving, path: str) -> AsyncIterator[list[float]]:
    """Poll meanwhile. The list has the milliseconds of each poll once the block has ended."""
    taken: list[float] = []
    with tempfile.TemporaryDirectory() as folder:
        stop = Path(folder) / "stop"
        with child(poll, service.url, path, token(), str(stop)) as client:
            await client.received()  # it has begun
            yield taken
            stop.touch()
            taken += await client.received()


def poll(pipe: Connection, url: str, path: str, bearer: str, stop: str) -> None:
    """Poll at intervals on one connection until the file exists; send how long each poll took."""
    to, taken = urlsplit(url), list[float]()
    client = HTTPConnection(to.hostname or "", to.port)
    while not Path(stop).exists():
        begin = perf_counter()
        client.request("GET", path, headers={"Authorization": f"Bearer {bearer}"})
        answer = client.getresponse()
        assert answer.status == 200 and answer.read()
        taken.append((perf_counter() - begin) * 1000)
        if len(taken) == 1:
            pipe.send("begun")
        sleep(EVERY)
    pipe.send(taken)


def download(pipe: Connection, url: str, bearer: str, accept: str, coding: str) -> None:
    """Read a whole download; send its seconds and bytes."""
    to, size, last = urlsplit(url), 0, b""
    headers = {
        "Host": to.netloc,
        "Authorization": f"Bearer {bearer}",
        "Accept": accept,
        "Accept-Encoding": coding,
        "Connection": "close",
    }
    lines = [f"{name}: {value}\r\n" for name, value in headers.items()]
    request = f"GET /api/data/orders HTTP/1.1\r\n{''.join(lines)}\r\n".encode()
    begin = perf_counter()
    with socket.create_connection((to.hostname or "", to.port or 0)) as client:
        client.sendall(request)
        while piece := client.recv(1 << 18):
            assert size or piece.startswith(b"HTTP/1.1 200"), piece
            size += len(piece)
            last = (last + piece)[-5:]
    assert last == b"0\r\n\r\n", "the download was cut"
    pipe.send((perf_counter() - begin, size))


def _p99(taken: list[float]) -> float:
    return sorted(taken)[len(taken) * 99 // 100]


def _resident() -> float:
    """The megabytes that this process has in memory, as Linux counts them."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6
