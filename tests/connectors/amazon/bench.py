"""The connector before the sandbox, without a network: requests are kept, answers can be spoilt."""

import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec

from connectors.amazon import datasets, desk, pages
from connectors.amazon.auth import Tokens
from connectors.amazon.client import Client
from connectors.amazon.clock import SourceClock
from connectors.amazon.connection import SellerSettings
from connectors.amazon.connector import AmazonConnector
from connectors.amazon.settings import read_settings
from connectors.amazon_sandbox import Settings, create_app, environ
from connectors.amazon_sandbox.operations import NAMES
from connectors.base import Clock, Connection, Cursor, Dataset, Page, Waiting, Window
from connectors.http import Http
from connectors.quota import Buckets
from tests.connectors.clocks import JumpingClock

US, CANADA, MEXICO = "ATVPDKIKX0DER", "A2EUQ1WTGCTBG2", "A1AM78C64UM0Y8"
UNLIMITED = {name: (1e5, 1e5) for name in NAMES}
SMALL = Settings(orders=120, quotas=UNLIMITED)
DATASETS: Sequence[Dataset] = AmazonConnector.datasets
PAGED: Sequence[Dataset] = (datasets.ORDERS, datasets.INVENTORY, datasets.TRANSACTIONS)
"""Those that come page by page, from an operation of their own."""

Spoil = Callable[[httpx.Request, httpx.Response], httpx.Response | None]
"""What comes instead of an answer; None: the answer itself."""


class Wire(httpx.AsyncBaseTransport):
    """The way to the sandbox. `delay` seconds pass on the clock before each request arrives."""

    def __init__(self, sandbox: httpx.ASGITransport, clock: Clock) -> None:
        self.sandbox = sandbox
        self.clock = clock
        self.requests: list[httpx.Request] = []
        self.spoil: Spoil = lambda request, response: None
        self.delay = 0.0

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        headers, content = request.headers, await request.aread()
        if request.method == "GET":
            self.requests.append(httpx.Request(request.method, request.url, headers=headers))
        else:  # a copy: the same one may be sent again with other headers
            self.requests.append(
                httpx.Request(request.method, request.url, headers=headers, content=content)
            )
        if self.delay:
            await self.clock.sleep(self.delay)
        response = await self.sandbox.handle_async_request(request)
        if not request.url.path.startswith("/_documents/"):  # which is read as it comes
            await response.aread()
        return self.spoil(request, response) or response


class Bench:
    """One sandbox, and processes of ours that read it."""

    def __init__(self, settings: Settings = SMALL, clock: Clock | None = None) -> None:
        self.jumping = JumpingClock()
        self.clock = clock or self.jumping
        transport = httpx.ASGITransport(create_app(settings, self.clock))
        self.wire = Wire(transport, self.clock)
        self.http = httpx.AsyncClient(transport=self.wire)
        self.doors = httpx.AsyncClient(transport=transport, base_url="http://sandbox/_sandbox/")
        self.settings = read_settings(environ("http://sandbox"))
        self.waits: list[tuple[datetime, str]] = []
        self.ours: dict[str, dict[str, str]] = {}
        """What is kept, by refresh token, of the reports that were ordered."""
        self.restart()

    def restart(self) -> None:
        """A new process of ours: nothing is remembered but what is kept elsewhere."""
        clock = self.source = SourceClock(self.clock)
        http = Http(lambda _: self.http, clock, dated=clock.heard)
        self.tokens = Tokens(self.settings, http, clock)
        self.client = Client(self.settings, http, self.tokens, Buckets(clock), clock)
        self.connector = AmazonConnector(self.settings, self.client, self.tokens, clock)

    async def waiting(self, until: datetime, why: str) -> None:
        self.waits.append((until, why))

    def window(self, dataset: Dataset, **reach: float) -> Window:
        until = self.clock.now() - dataset.lag
        span = timedelta(**reach) if reach else dataset.reach or timedelta(0)
        return Window(until - span, until)

    def turn_pages(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        """As the connector reads: but what has an operation of its own by that alone."""
        connection = self.knowing(connection)
        pages = self._pages(connection, dataset, window, cursor, waiting)
        return self.keeping(connection, pages)

    def knowing(self, connection: Connection) -> Connection:
        """With what was kept of which reports are ours."""
        learned = {**self.ours.get(connection.settings.refresh_token, {}), **connection.learned}
        return msgspec.structs.replace(connection, learned=learned)

    async def keeping(
        self, connection: Connection, pages: AsyncIterator[Page]
    ) -> AsyncIterator[Page]:
        """What the service keeps with each page: here only which reports are ours."""
        kept = self.ours.setdefault(connection.settings.refresh_token, {})
        async for page in pages:
            kept |= {k: v for k, v in page.learned.items() if k.startswith("ordered:")}
            yield page

    def _pages(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        if source := datasets.SOURCES.get(dataset.name):
            return pages.read(self.client, source, connection, window, cursor, waiting)
        return self.connector.read(connection, dataset, window, cursor, waiting)

    async def read(
        self,
        dataset: Dataset,
        connection: Connection | None = None,
        window: Window | None = None,
        cursor: Cursor | None = None,
    ) -> list[Page]:
        window = window or self.window(dataset)
        reading = self.turn_pages(connection or connect(), dataset, window, cursor, self.waiting)
        return [page async for page in reading]

    async def sync(
        self,
        dataset: Dataset,
        connection: Connection | None = None,
        window: Window | None = None,
        cursor: Cursor | None = None,
    ) -> list[Page]:
        """The way that the connector chooses."""
        window = window or self.window(dataset)
        connection = self.knowing(connection or connect())
        reading = self.connector.read(connection, dataset, window, cursor, self.waiting)
        return [page async for page in self.keeping(connection, reading)]

    async def door(self, name: str, body: object = None) -> None:
        answer = await self.doors.post(name, json=body)
        assert answer.status_code == 200, answer.text

    async def calls(self, operation: str | None = None) -> list[dict[str, Any]]:
        """What the sandbox wrote down, oldest first."""
        calls: list[dict[str, Any]] = (await self.doors.get("log")).json()["calls"]
        return [each for each in calls if operation in (None, each["operation"])]

    async def statuses(self, operation: str) -> list[int]:
        return [each["status"] for each in await self.calls(operation)]

    async def count(self, dataset: str, seller: str = "1") -> int:
        counts = (await self.doors.get(f"sellers/{seller}")).json()["counts"]
        total: int = counts[dataset]["total"]
        return total

    async def rows(self, seller: str = "1") -> dict[str, int]:
        """How many rows the reports of a seller have, and its shipments."""
        found: dict[str, int] = (await self.doors.get(f"sellers/{seller}")).json()["rows"]
        return found

    def ordered(self) -> list[dict[str, Any]]:
        """What was asked of createReport, oldest first."""
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
    """The same answer with other JSON in it."""
    body = json.loads(response.content)
    edit(body)
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    return httpx.Response(response.status_code, headers=headers, content=json.dumps(body).encode())


def raw(response: httpx.Response, old: bytes, new: bytes) -> httpx.Response:
    """The same answer with some of its bytes replaced once."""
    assert old in response.content
    headers = {k: v for k, v in response.headers.items() if k != "content-length"}
    content = response.content.replace(old, new, 1)
    return httpx.Response(response.status_code, headers=headers, content=content)


def rows(body: Any) -> list[Any]:
    """The records of an answer, whichever dataset's it is."""
    with suppress(KeyError):
        return list_of(body["payload"])
    return list_of(body)


def list_of(holder: Any) -> list[Any]:
    found: list[Any] = next(
        holder[name] for name in ("orders", "inventorySummaries", "transactions") if name in holder
    )
    return found


def is_data(request: httpx.Request) -> bool:
    """A request for a page, not for a token."""
    return any(request.url.path == source.operation.path for source in datasets.SOURCES.values())
