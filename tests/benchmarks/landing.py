"""Rows stored from a local HTTP server, beside a plain httpx and sqlite3 loop in the same run, and
with the outbox beside without it."""

import json
import sqlite3
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median
from time import perf_counter
from unittest.mock import patch

import anyio
import httpx
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from connectors import amazon_sandbox
from service.server import Server, address, listen
from service.store import records
from service.store.changes import changed_records
from service.store.engine import Statement
from tests.benchmarks.child import child
from tests.serving import serve

PAGES = 300
SIZE = 100
ORDERS = "/orders/2026-01-01/orders"


ROUNDS = 7
"""Syncs with and without the outbox, in turn."""


async def run() -> dict[str, float]:
    async with local_source() as url:
        with tempfile.TemporaryDirectory() as folder:
            first, second = await _service(Path(folder), url)
            plain = await _plain(Path(folder), url)
        outbox = await _outbox(url)
    return {
        "rows stored a second: whole sync, guarded, counted, resumable": first,
        "the same, if nothing has changed": second,
        "plain loop: httpx, json, sqlite3 executemany, a commit a page": plain,
        "ratio": first / plain,
        "with the outbox against without it": outbox,
    }


async def _outbox(url: str) -> float:
    """The ratio of the rates with the rows of the outbox and without them."""
    kept: list[float] = []
    without: list[float] = []
    for rates, statements in [(kept, changed_records), (without, _no_rows)] * ROUNDS:
        with (
            tempfile.TemporaryDirectory() as folder,
            patch.object(records, "changed_records", statements),
        ):
            rate, _ = await _service(Path(folder), url)
            rates.append(rate)
    return median(kept) / median(without)


def _no_rows(*_: object) -> Statement:
    return Statement("", [])


async def _service(folder: Path, url: str) -> tuple[float, float]:
    async with serve(folder, None, **amazon_sandbox.environ(url)) as service:
        ann = service.user()
        await ann.connect(**amazon_sandbox.connection(1, 1), skipHistoricalSync=True)
        rates = []
        for _ in range(2):
            begin = perf_counter()
            yesterday = datetime.now(UTC) - timedelta(days=1)  # recent orders are searched
            sync_id = await ann.start(datasets=["orders"], since=yesterday.isoformat())
            done = await ann.until(sync_id, seconds=120)
            assert done["ordersProcessed"] == PAGES * SIZE, done
            rates.append(PAGES * SIZE / (perf_counter() - begin))
        return rates[0], rates[1]


async def _plain(folder: Path, url: str) -> float:
    database = sqlite3.connect(folder / "plain.db")
    database.execute("PRAGMA journal_mode = WAL")
    database.execute("PRAGMA synchronous = NORMAL")
    database.execute("CREATE TABLE orders (id TEXT PRIMARY KEY, data TEXT)")
    begin = perf_counter()
    async with httpx.AsyncClient() as client:
        token: str | None = ""
        while token is not None:
            params = {"paginationToken": token} if token else {}
            page = (await client.get(url + ORDERS, params=params)).json()
            rows = [(order["orderId"], json.dumps(order)) for order in page["orders"]]
            database.executemany("INSERT OR REPLACE INTO orders VALUES (?, ?)", rows)
            database.commit()
            token = page.get("pagination", {}).get("nextToken")
    rate = PAGES * SIZE / (perf_counter() - begin)
    assert database.execute("SELECT COUNT(*) FROM orders").fetchone() == (PAGES * SIZE,)
    database.close()
    return rate


@asynccontextmanager
async def local_source(pages: int = PAGES) -> AsyncIterator[str]:
    """A server in a process of its own with every page prepared: only the service is measured."""
    with child(answer, pages) as server:
        yield await server.received()


def answer(pipe: Connection, count: int) -> None:
    anyio.run(_answer, pipe, count, backend_options={"use_uvloop": True})


async def _answer(pipe: Connection, count: int) -> None:
    pages = [_page(number, number + 1 == count) for number in range(count)]

    async def orders(request: Request) -> Response:
        number = int(request.query_params.get("paginationToken") or 0)
        headers = {"x-amzn-RateLimit-Limit": "100000"}
        return Response(pages[number], media_type="application/json", headers=headers)

    async def login(_: Request) -> Response:
        return Response(b'{"access_token":"Atza|x","token_type":"bearer","expires_in":3600}')

    async def seller(_: Request) -> Response:
        place = {"id": "ATVPDKIKX0DER"}
        taking_part = {"isParticipating": True, "hasSuspendedListings": False}
        body = {"payload": [{"marketplace": place, "participation": taking_part, "storeName": "B"}]}
        return Response(json.dumps(body))

    from starlette.applications import Starlette

    app = Starlette(
        routes=[
            Route(ORDERS, orders),
            Route("/auth/o2/token", login, methods=["POST"]),
            Route("/sellers/v1/marketplaceParticipations", seller),
        ]
    )
    bound = listen("127.0.0.1", 0)
    pipe.send(address(bound))
    await Server(app, None, signals=False).serve(sockets=[bound])


def _page(number: int, last: bool) -> bytes:
    """Orders of about 1 KB, like Amazon's."""
    orders = [
        {
            "orderId": f"701-{number:07}-{index:07}",
            "createdTime": "2026-01-15T12:00:00Z",
            "lastUpdatedTime": "2026-01-15T12:00:00Z",
            "salesChannel": {"channelName": "AMAZON", "marketplaceId": "ATVPDKIKX0DER"},
            "orderItems": [
                {"orderItemId": "1", "quantityOrdered": 1, "product": {"title": "x" * 750}}
            ],
        }
        for index in range(SIZE)
    ]
    more = {} if last else {"pagination": {"nextToken": str(number + 1)}}
    return json.dumps({"orders": orders, **more}).encode()
