"""The demo connector: two small datasets of generated, numbered records.

Copy this package to start a new connector. These environment variables configure it:
DEMO_ORDERS (250 orders), DEMO_PAGE (100 records per page), DEMO_PAUSE (0 seconds before each page,
to simulate a slow source), DEMO_BAD (0; n makes every n-th order unreadable)."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta
from msgspec.structs import force_setattr

from connectors.base import (
    ANNOUNCED,
    SECRET,
    SEPARATES_ACCOUNTS,
    Account,
    Clock,
    Column,
    Connection,
    ConnectionLost,
    ConnectionSettings,
    Cursor,
    Dataset,
    InvalidConnection,
    Misconfigured,
    Page,
    Plan,
    Record,
    Records,
    Waiting,
    Way,
    Window,
)
from connectors.claims import Findings

ACCOUNT = "@"
"""Separates the account in a refresh token: `new@shop` is a token of the account `shop`. A token
without it names no account."""
REVOKED = "revoked"
"""The refresh token of an account whose authorisation was revoked."""

COLUMNS = (Column("number", "Number", "number", "number"),)


class DemoSettings(msgspec.Struct, frozen=True):
    """The settings of the demo connector."""

    #: Number of orders.
    orders: Annotated[int, msgspec.Meta(ge=0)] = 250
    #: Records per page.
    page: Annotated[int, msgspec.Meta(ge=1)] = 100
    #: Seconds before each page.
    pause: Annotated[float, msgspec.Meta(ge=0)] = 0.0
    #: Every n-th order is unreadable; 0 for none.
    bad: Annotated[int, msgspec.Meta(ge=0)] = 0


class DemoConnectionSettings(ConnectionSettings, frozen=True, kw_only=True):
    """The settings of a connection to the demo: a token. The other fields only try out a form."""

    region: Annotated[str, Meta(title="Region", max_length=50)] = "NA"
    marketplace_ids: Annotated[
        tuple[Annotated[str, Meta(max_length=50)], ...], Meta(title="Marketplaces", max_length=50)
    ] = ()
    environment: Annotated[
        Literal["production", "sandbox"], Meta(title="Environment"), SEPARATES_ACCOUNTS
    ] = "production"
    refresh_token: Annotated[str, Meta(title="Token", max_length=4096), SECRET]

    def __post_init__(self) -> None:
        force_setattr(self, "region", self.region.upper())
        force_setattr(self, "marketplace_ids", tuple(dict.fromkeys(self.marketplace_ids)))


class DemoConnector:
    """Generates numbered records. Its cursor is the number of the next record."""

    name = "demo"
    label = "Demo"
    settings = DemoConnectionSettings
    datasets: Sequence[Dataset] = (
        Dataset("orders", "orders", timedelta(days=90), columns=COLUMNS),
        Dataset("inventory", "inventory", columns=COLUMNS),
    )

    def __init__(self, settings: DemoSettings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        settings: DemoConnectionSettings = connection.settings
        if not settings.refresh_token:
            raise InvalidConnection({"refreshToken": "Must not be empty."})
        if settings.refresh_token == REVOKED:
            raise ConnectionLost("The demo account was disconnected. Connect it again.")
        account = settings.refresh_token.partition(ACCOUNT)[2] or None
        places = settings.marketplace_ids or ("DEMO",)
        chosen = msgspec.structs.replace(settings, marketplace_ids=places)
        return Account("Demo store", chosen, id=account)

    def plan(self, connection: Connection, windows: Mapping[str, Window]) -> Plan:
        pages = {name: -(-self._size(name) // self._settings.page) for name in windows}
        pause = self._settings.pause
        return {name: Way("numbers", count * pause, count) for name, count in pages.items()}

    async def read(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        await self.check(connection, waiting)
        size = self._size(dataset.name)
        # A cursor of another version that this one cannot read starts from the beginning.
        begin = int(cursor) if cursor and cursor.isdecimal() else 0
        while True:
            await self._pause(waiting)
            end = min(begin + self._settings.page, size)
            left = -(-(size - end) // self._settings.page) * self._settings.pause
            yield Page(
                records=[self._record(dataset.name, number) for number in range(begin, end)],
                cursor=Cursor(str(end)) if end < size else None,
                total=size,
                seconds_left=left,
            )
            begin = end
            if begin >= size:
                return

    def detect(self, records: Records, as_of: datetime) -> Findings:
        """No claims: the source of the demo never owes money."""
        return Findings(claims=(), ran=())

    async def _pause(self, waiting: Waiting) -> None:
        if self._settings.pause > ANNOUNCED:
            until = self._clock.now() + timedelta(seconds=self._settings.pause)
            await waiting(until, "the demo source to wake up")
        if self._settings.pause:
            await self._clock.sleep(self._settings.pause)

    def _size(self, dataset: str) -> int:
        return self._settings.orders if dataset == "orders" else max(1, self._settings.orders // 20)

    def _record(self, dataset: str, number: int) -> Record:
        key = f"{dataset}-{number:07}"
        data = msgspec.json.encode({"id": key, "number": number})
        bad = self._settings.bad
        if dataset == "orders" and bad and number % bad == bad - 1:
            return Record(key, data, error="Cannot be read: made unreadable by DEMO_BAD.")
        return Record(key, data, name=f"{dataset} {number}")


@asynccontextmanager
async def open_connector(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[DemoConnector]:
    yield DemoConnector(_settings(environ), clock)


def _settings(environ: Mapping[str, str]) -> DemoSettings:
    """Read the environment. Raises Misconfigured with the name of an invalid variable."""
    given: dict[str, Any] = {}
    for field in DemoSettings.__struct_fields__:
        if value := environ.get(name := f"DEMO_{field}".upper()):
            try:
                one = msgspec.convert({field: value}, DemoSettings, strict=False)
            except msgspec.ValidationError as error:
                raise Misconfigured(f"{name} is not valid: {error}.") from error
            given[field] = getattr(one, field)
    return DemoSettings(**given)
