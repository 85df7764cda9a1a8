"""A ledger document of 300 MB read by the connector alone: its peak memory."""

import resource
from datetime import timedelta
from multiprocessing.connection import Connection
from time import perf_counter
from typing import Any

import anyio

from connectors import amazon_sandbox
from connectors.amazon.connector import open_connector
from connectors.amazon.reports.kinds import LEDGER
from connectors.base import SystemClock, Window
from tests.benchmarks.child import child
from tests.connectors.amazon.bench import connect

SIZE = 300e6
ORDERS = 2_500
#: Bytes of a row, approximately: the result has the real size.
ROW = 150


async def run() -> dict[str, float]:
    with child(serve) as server:
        url = await server.received()
        with child(read, url) as reader:
            rows, data, before, peak, seconds = await reader.received()
    return {
        "rows read": rows,
        "MB of JSON in these rows": data / 1e6,
        "resident MB before": before,
        "resident MB, peak": peak,
        "rows a second (one process reads, another makes the document)": rows / seconds,
    }


def serve(pipe: Connection) -> None:
    anyio.run(_serve, pipe, backend_options={"use_uvloop": True})


async def _serve(pipe: Connection) -> None:
    from service.server import Server, address, listen

    copies = int(SIZE / ROW / ORDERS)
    settings = amazon_sandbox.Settings(orders=ORDERS, rows=copies, speed=5_000)
    bound = listen("127.0.0.1", 0)
    pipe.send(address(bound))
    await Server(amazon_sandbox.create_app(settings), None, signals=False).serve(sockets=[bound])


def read(pipe: Connection, url: str) -> None:
    anyio.run(_read, pipe, url, backend_options={"use_uvloop": True})


async def _read(pipe: Connection, url: str) -> None:
    clock = SystemClock()
    before = _peak()
    rows = data = 0
    begin = perf_counter()

    async def waiting(until: Any, why: str) -> None:
        """Waiting is not measured."""

    async with open_connector(amazon_sandbox.environ(url), clock) as connector:
        until = clock.now() - LEDGER.lag
        window = Window(until - timedelta(days=100), until)
        async for page in connector.read(connect(), LEDGER, window, None, waiting):
            rows += len(page.records)
            data += sum(len(record.data) for record in page.records)
    pipe.send((rows, data, before, _peak(), perf_counter() - begin))


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
