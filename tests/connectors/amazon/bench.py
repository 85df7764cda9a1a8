"""The connector against the sandbox, without a network. Requests are recorded, responses can be
edited."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from copy import copy
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon import inventory, pages, transactions
from connectors.amazon.auth import Tokens
from connectors.amazon.client import AmazonClient
from connectors.amazon.clock import SourceClock
from connectors.amazon.connection import SellerSettings
from connectors.amazon.connector import AmazonConnector
from connectors.amazon.context import ReadContext
from connectors.amazon.orders import search
from connectors.amazon.reports import desk
from connectors.amazon.settings import read_settings
from connectors.amazon_sandbox import Settings, create_app, environ
from connectors.amazon_sandbox.operations import NAMES
from connectors.base import Clock, Connection, Cursor, Dataset, Page, Waiting, Window
from connectors.http import Http
from connectors.quota import Buckets
from tests.connectors.clocks import JumpingClock

US, CANADA, MEXICO = "ATVPDKIKX0DER", "A2EUQ1WTGCTBG2", "A1AM78C64UM0Y8"
UNLIMITED = {name: (1e5, 1e5) for name in NAMES} | {"getReport": (2.0, 1e5)}
"""No call waits. Reports are polled at the usual pace, which follows the rate."""
SMALL = Settings(orders=120, quotas=UNLIMITED)
DATASETS: Sequence[Dataset] = AmazonConnector.datasets
PAGED: Sequence[Dataset] = (search.ORDERS, inventory.INVENTORY, transactions.TRANSACTIONS)
"""The datasets that are read page by page."""
SOURCES = {
    "orders": search.SOURCE,
    "inventory": inventory.SOURCE,
    "transactions": transactions.SOURCE,
}

ABOUT_REPORTS = ("ordered:", "empty:", "rows:")
EACH = pytest.mark.parametrize("dataset", PAGED, ids=lambda dataset: dataset.name)

Spoil = Callable[[httpx.Request, httpx.Response], httpx.Response | None]
"""Replaces a response; None leaves it unchanged."""


class Wire(httpx.AsyncBaseTransport):
    """The transport to the sandbox. `delay` seconds pass on the clock before each request
    arrives."""

    def __init__(self, sandbox: httpx.ASGITransport, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.requests: list[httpx.Request] = []
        self.spoil: Spoil = lambda request, response: None
        self.delay = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        await request.aread()
        sent = copy(request)  # it may be sent again with other headers
        sent.headers = httpx.Headers(request.headers)
        self.requests.append(sent)
        if self.delay:
            await self.clock.sleep(self.delay)
        response = await self.sandbox.handle_async_request(request)
        if not request.url.path.startswith("/_documents/"):  # documents are streamed
            await response.aread()
        return self.spoil(request, response) or response


class Bench:
    """A sandbox, and connector processes that read it."""

    def __init__(self, settings: Settings = SMALL, clock: Clock | None = None) -> None:
        self.jumping = JumpingClock()
        self.clock = clock or self.jumping
        transport = httpx.ASGITransport(create_app(settings, self.clock))
        self.wire = Wire(transport, self.clock)
        self.http = httpx.AsyncClient(transport=self.wire)
        self.controls = httpx.AsyncClient(transport=transport, base_url="http://sandbox/_sandbox/")
        self.settings = read_settings(environ("http://sandbox"))
        self.waits: list[tuple[datetime, str]] = []
        self.ours: dict[str, dict[str, str]] = {}
        """What connections remember of their reports, by refresh token."""
        self.restart()

    def restart(self) -> None:
        """Start a new connector process, which has only the stored state."""
        clock = self.source = SourceClock(self.clock)
        http = Http(lambda _: self.http, clock, dated=clock.observe)
        self.tokens = Tokens(self.settings, http, clock)
        self.client = AmazonClient(self.settings, http, self.tokens, Buckets(clock), clock)
        self.connector = AmazonConnector(self.settings, self.client, self.tokens, clock)

    async def waiting(self, until: datetime, why: str) -> None:
        self.waits.append((until, why))

    def window(self, dataset: Dataset, **reach: float) -> Window:
        until = self.clock.now() - dataset.lag
        span = timedelta(**reach) if reach else dataset.reach or timedelta(0)
        return Window(until - span, until)

    def read_pages(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        """Read like the connector, but orders by search alone."""
        connection = self.with_stored(connection)
        pages = self._pages(connection, dataset, window, cursor, waiting)
        return self.storing(connection, pages)

    def with_stored(self, connection: Connection) -> Connection:
        """With what is remembered of its reports."""
        learned = {**self.ours.get(connection.settings.refresh_token, {}), **connection.learned}
        return msgspec.structs.replace(connection, learned=learned)

    async def storing(
        self, connection: Connection, pages: AsyncIterator[Page]
    ) -> AsyncIterator[Page]:
        """Store what the service stores with each page; here only what is about reports: the ids of
        those that were ordered, and whether they had rows."""
        stored = self.ours.setdefault(connection.settings.refresh_token, {})
        async for page in pages:
            stored |= {k: v for k, v in page.learned.items() if k.startswith(ABOUT_REPORTS)}
            yield page

    def _pages(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        if source := SOURCES.get(dataset.name):
            context = ReadContext(self.client, self.source, connection, window, waiting)
            return pages.read(context, source, cursor)
        return self.connector.read(connection, dataset, window, cursor, waiting)

    async def read(
        self,
        dataset: Dataset,
        connection: Connection | None = None,
        window: Window | None = None,
        cursor: Cursor | None = None,
    ) -> list[Page]:
        window = window or self.window(dataset)
        reading = self.read_pages(connection or connect(), dataset, window, cursor, self.waiting)
        return [page async for page in reading]

    async def sync(
        self,
        dataset: Dataset,
        connection: Connection | None = None,
        window: Window | None = None,
        cursor: Cursor | None = None,
    ) -> list[Page]:
        """Read as the connector plans it."""
        window = window or self.window(dataset)
        connection = self.with_stored(connection or connect())
        reading = self.connector.read(connection, dataset, window, cursor, self.waiting)
        return [page async for page in self.storing(connection, reading)]

    async def control(self, name: str, body: object = None) -> None:
        answer = await self.controls.post(name, json=body)
        assert answer.status_code == 200, answer.text

    async def calls(self, operation: str | None = None) -> list[dict[str, Any]]:
        """The calls in the sandbox's log, oldest first."""
        calls: list[dict[str, Any]] = (await self.controls.get("log")).json()["calls"]
        return [call for call in calls if operation in (None, call["operation"])]

    async def statuses(self, operation: str) -> list[int]:
        return [call["status"] for call in await self.calls(operation)]

    async def count(self, dataset: str, seller: str = "1") -> int:
        counts = (await self.controls.get(f"sellers/{seller}")).json()["counts"]
        total: int = counts[dataset]["total"]
        return total

    async def rows(self, seller: str = "1") -> dict[str, int]:
        """The number of rows in a seller's reports, and of their shipments."""
        counts: dict[str, int] = (await self.controls.get(f"sellers/{seller}")).json()["rows"]
        return counts

    def ordered(self) -> list[dict[str, Any]]:
        """The bodies of createReport requests, oldest first."""
        return [
            json.loads(request.content)
            for request in self.wire.requests
            if request.method == "POST" and request.url.path == desk.CREATE_REPORT.path
        ]


def connect(seller: str = "1", marketplaces: Sequence[str] = (US,), **learned: str) -> Connection:
    settings = SellerSettings(
        region="NA",
        marketplace_ids=tuple(marketplaces),
        environment="production",
        refresh_token=f"Atzr|sandbox-{seller}",
    )
    return Connection("conn_1", "amazon", settings, learned)


def with_settings(connection: Connection, **changes: Any) -> Connection:
    """The same connection with other settings."""
    settings = msgspec.structs.replace(connection.settings, **changes)
    return msgspec.structs.replace(connection, settings=settings)


def ids(pages: Sequence[Page]) -> list[str]:
    return [record.id for page in pages for record in page.records]


def edited(response: httpx.Response, edit: Callable[[Any], None]) -> httpx.Response:
    """A copy of a response with edited JSON."""
    body = json.loads(response.content)
    edit(body)
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    return httpx.Response(response.status_code, headers=headers, content=json.dumps(body).encode())


def raw(response: httpx.Response, old: bytes, new: bytes) -> httpx.Response:
    """A copy of a response with some bytes replaced once."""
    assert old in response.content
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    content = response.content.replace(old, new, 1)
    return httpx.Response(response.status_code, headers=headers, content=content)


def rows(body: Any) -> list[Any]:
    """The records in a response of any dataset."""
    with suppress(KeyError):
        return list_of(body["payload"])
    return list_of(body)


def list_of(holder: Any) -> list[Any]:
    records: list[Any] = next(
        holder[name] for name in ("orders", "inventorySummaries", "transactions") if name in holder
    )
    return records


def is_data(request: httpx.Request) -> bool:
    """Whether a request is for a page, not for a token."""
    return any(request.url.path == source.operation.path for source in SOURCES.values())


async def reading(
    bench: Bench, dataset: Dataset, between: Callable[[int], float]
) -> AsyncIterator[Page]:
    """The pages, with some seconds between them."""
    pages = bench.read_pages(connect(), dataset, bench.window(dataset), None, bench.waiting)
    number = 0
    async for page in pages:
        yield page
        number += 1
        bench.jumping.time += timedelta(seconds=between(number))
