"""A source that does what a test says: it brings these records, fails just then, or waits."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

import anyio
import msgspec
import pytest

import connectors
from connectors.base import (
    Account,
    Claim,
    Clock,
    Connection,
    ConnectorError,
    Cursor,
    Dataset,
    Findings,
    Page,
    Plan,
    Record,
    Records,
    Waiting,
    Way,
    Window,
)

ORDERS = Dataset("orders", "orders", timedelta(days=90), overlap=timedelta(days=1))
STOCK = Dataset("stock", "stock levels")
CASES = Dataset("cases", "cases", lasting=True)
PAYMENTS = Dataset("payments", "payments", names_account=True)


class Script:
    """What the source has, by dataset, and what goes wrong: `errors` are raised one after the
    other, each before the next page of its dataset; `gates` hold a page back until they open.
    `windows` is what was asked for, `pages` how many were read, `tokens` who was checked.
    `owners` are the accounts by their tokens, which the payments name, and with `check_tells` the
    check. `claims` is what a detection finds. `edit` changes each page before it is handed over;
    `findings`, if set, is
    all that a detection returns."""

    def __init__(self) -> None:
        self.records: dict[str, list[Record]] = {"orders": [], "stock": []}
        self.errors: dict[str, list[Exception | None]] = {
            name: [] for name in ("orders", "stock", "cases", "payments")
        }
        self.owners: dict[str, str] = {}
        self.check_tells = False
        self.store = "Scripted"
        self.claims: list[Claim] = []
        self.settled: list[str] = []
        self.gates: dict[str, anyio.Event] = {}
        self.windows: list[tuple[str, Window]] = []
        self.pages = 0
        self.tokens: list[str] = []
        self.refused: dict[str, ConnectorError] = {}
        self.marketplaces = ("ONE",)
        self.detecting: list[tuple[str, ...]] = []
        self.edit: Callable[[Page], Page] = lambda page: page
        self.findings: Findings | None = None

    def has(self, dataset: str, *names: str, at: datetime | None = None, value: str = "1") -> None:
        self.records[dataset] = [
            Record(name, msgspec.json.encode({"value": value}), at=at) for name in names
        ]


class ScriptedConnector:
    """Ten records a page; its cursor is the number of the next."""

    name = "demo"

    @property
    def datasets(self) -> Sequence[Dataset]:
        found = (ORDERS, STOCK, CASES, PAYMENTS)
        return [each for each in found if each.name in self._script.records]

    def __init__(self, script: Script) -> None:
        self._script = script

    async def check(self, connection: Connection, waiting: Waiting) -> Account:
        self._script.tokens.append(connection.refresh_token)
        if error := self._script.refused.get(connection.refresh_token):
            raise error
        told = (
            self._script.owners.get(connection.refresh_token) if self._script.check_tells else None
        )
        return Account(self._script.store, self._script.marketplaces, id=told)

    def plan(self, connection: Connection, windows: Mapping[str, Window]) -> Plan:
        return {name: Way("as told") for name in windows}

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
            owner = script.owners.get(connection.refresh_token) if dataset.names_account else None
            page = Page(records[begin:end], Cursor(str(end)) if more else None, account=owner)
            yield script.edit(page)
            if not more:
                return
            begin = end

    def detect(self, records: Records, as_of: datetime) -> Findings:
        complete = tuple(each.name for each in self.datasets if records.complete(each.name))
        self._script.detecting.append(complete)
        if self._script.findings:
            return self._script.findings
        ran = tuple({each.rule for each in self._script.claims})
        return Findings(tuple(self._script.claims), ran, settled=tuple(self._script.settled))


def scripted(monkeypatch: pytest.MonkeyPatch) -> Script:
    """From now on the service's only source is this one, under the name of the demo's."""
    script = Script()

    @asynccontextmanager
    async def opened(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[ScriptedConnector]:
        yield ScriptedConnector(script)

    monkeypatch.setattr(connectors, "names", lambda: ("demo",))
    monkeypatch.setattr(connectors, "find", lambda name: opened)
    return script
