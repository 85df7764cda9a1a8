"""A source under the control of a test: its records, its errors and its delays."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import anyio
import msgspec
import pytest

import connectors
from connectors.base import (
    Account,
    Clock,
    Connection,
    ConnectorError,
    Cursor,
    Dataset,
    Page,
    Plan,
    Record,
    Records,
    Waiting,
    Way,
    Window,
)
from connectors.claims import Claim, Findings, RemovalArrival, RemovalColumns
from connectors.demo.connector import DemoConnectionSettings

ORDERS = Dataset("orders", "orders", timedelta(days=90), overlap=timedelta(days=1))
STOCK = Dataset("stock", "stock levels")
CASES = Dataset("cases", "cases", lasting=True)
PAYMENTS = Dataset("payments", "payments", names_account=True)


class Script:
    """What the source returns, and the calls that it received."""

    def __init__(self) -> None:
        #: The records of each dataset.
        self.records: dict[str, list[Record]] = {"orders": [], "stock": []}
        #: The errors of each dataset, one before each page; None for no error.
        self.errors: dict[str, list[Exception | None]] = {
            name: [] for name in ("orders", "stock", "cases", "payments")
        }
        #: The account of each token, which the pages of payments name.
        self.owners: dict[str, str] = {}
        #: Whether the check names the account, too.
        self.check_names_account = False
        self.store = "Scripted"
        #: The claims that a detection finds.
        self.claims: list[Claim] = []
        self.settled: list[str] = []
        #: Events that each page of a dataset waits for.
        self.gates: dict[str, anyio.Event] = {}
        #: The windows that were read.
        self.windows: list[tuple[str, Window]] = []
        #: The number of pages that were read.
        self.pages = 0
        #: The tokens that were checked.
        self.tokens: list[str] = []
        #: The error of the check by token.
        self.refused: dict[str, ConnectorError] = {}
        self.marketplaces = ("ONE",)
        #: The complete datasets of each detection.
        self.detecting: list[tuple[str, ...]] = []
        #: What each detection was told that the connector has learned.
        self.learned: list[Mapping[str, str]] = []
        #: What each detection was told that the user received of removals.
        self.arrivals: list[Sequence[RemovalArrival]] = []
        #: Changes each page before it is returned.
        self.edit: Callable[[Page], Page] = lambda page: page
        #: If set, the result of a detection.
        self.findings: Findings | None = None

    def set_records(
        self, dataset: str, *names: str, at: datetime | None = None, value: str = "1"
    ) -> None:
        self.records[dataset] = [
            Record(name, msgspec.json.encode({"value": value}), at=at) for name in names
        ]


class ScriptedConnector:
    """Returns ten records a page. The cursor is the index of the next record."""

    name = "demo"
    label = "Scripted"
    settings = DemoConnectionSettings
    removals = (RemovalColumns("stock", "order", "sku", "fnsku", "tracking"),)

    @property
    def datasets(self) -> Sequence[Dataset]:
        datasets = (ORDERS, STOCK, CASES, PAYMENTS)
        return [dataset for dataset in datasets if dataset.name in self._script.records]

    def __init__(self, script: Script) -> None:
        self._script = script

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        token = connection.settings.refresh_token
        self._script.tokens.append(token)
        if error := self._script.refused.get(token):
            raise error
        owner = self._script.owners.get(token) if self._script.check_names_account else None
        marketplaces = self._script.marketplaces
        settings = msgspec.structs.replace(connection.settings, marketplace_ids=marketplaces)
        return Account(self._script.store, settings, id=owner)

    def plan(self, connection: Connection, windows: Mapping[str, Window]) -> Plan:
        return {name: Way("as scripted") for name in windows}

    async def read(
        self,
        connection: Connection,
        dataset: Dataset,
        window: Window,
        cursor: Cursor | None,
        waiting: Waiting,
    ) -> AsyncIterator[Page]:
        script = self._script
        script.windows.append((dataset.name, window))
        records = script.records[dataset.name]
        begin = int(cursor or 0)
        while True:
            if gate := script.gates.get(dataset.name):
                await gate.wait()
            if (errors := script.errors[dataset.name]) and (error := errors.pop(0)):
                raise error
            script.pages += 1
            end = begin + 10
            more = end < len(records)
            token = connection.settings.refresh_token
            owner = script.owners.get(token) if dataset.names_account else None
            page = Page(records[begin:end], Cursor(str(end)) if more else None, account=owner)
            yield script.edit(page)
            if not more:
                return
            begin = end

    def detect(self, records: Records, as_of: datetime) -> Findings:
        names = [dataset.name for dataset in self.datasets]
        self._script.detecting.append(tuple(name for name in names if records.complete(name)))
        self._script.learned.append(dict(records.learned))
        self._script.arrivals.append(records.arrivals())
        if self._script.findings:
            return self._script.findings
        ran = tuple({claim.rule for claim in self._script.claims})
        return Findings(tuple(self._script.claims), ran, settled=tuple(self._script.settled))


def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    """Make a scripted source the only one of the service, under the name `demo`."""
    script = Script()

    @asynccontextmanager
    async def opened(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[ScriptedConnector]:
        yield ScriptedConnector(script)

    monkeypatch.setattr(connectors, "names", lambda: ("demo",))
    monkeypatch.setattr(connectors, "find", lambda name: opened)
    return script
