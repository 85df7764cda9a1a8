"""A sync counts the stored records whose amount the source has changed, and by how much."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import msgspec
import pytest

import connectors
from connectors.amazon.transactions import total_of
from connectors.base import Clock, Record, Retryable
from connectors.claims import Money
from service.progress import MAX_RESTATED_DAYS, Restated
from service.store.engine import Values
from service.store.records import RecordStore
from tests.service.scripted import Script, ScriptedConnector
from tests.serving import Json, User, read, serve

pytestmark = pytest.mark.anyio

NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0)
INVALID = {"nan": Money("NaN", "USD"), "word": Money("ten", "USD"), "code": Money("1", "dollars")}


class RestatingConnector(ScriptedConnector):
    """Has orders that look like Amazon's transactions."""

    def amount(self, dataset: str, data: bytes) -> Money | None:
        if dataset != "orders":
            return None
        note = msgspec.json.decode(data).get("note", "")
        return INVALID.get(note) or total_of(data)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = Script()

    @asynccontextmanager
    async def opened(environ: Mapping[str, str], clock: Clock) -> AsyncIterator[RestatingConnector]:
        yield RestatingConnector(script)

    monkeypatch.setattr(connectors, "names", lambda: ("demo",))
    monkeypatch.setattr(connectors, "find", lambda name: opened)
    return script


def paid(
    name: str, amount: float | str | None, days: int = 1, currency: str = "USD", **more: Any
) -> Record:
    """A transaction of some days ago."""
    total = None if amount is None else {"currencyAmount": amount, "currencyCode": currency}
    data = {"transactionId": name, "totalAmount": total, **more}
    return Record(name, msgspec.json.encode(data), at=NOON - timedelta(days=days))


@asynccontextmanager
async def connected(folder: Path) -> AsyncIterator[User]:
    async with serve(folder) as service:
        ann = service.user()
        await ann.connect()
        yield ann


async def read_all(user: User, script: Script, *orders: Record, **options: Any) -> Json:
    """A sync of these orders; its orders."""
    script.records["orders"] = list(orders)
    done = await user.whole_sync(**options)
    assert (done["status"], done["warnings"]) == ("complete", [])
    assert (
        read(await user.get(f"/api/sync/history/{done['syncId']}"))["datasets"]
        == (done["datasets"])
    )
    found: Json = next(dataset for dataset in done["datasets"] if dataset["name"] == "orders")
    return found


def usd(records: int, days: int, amount: str) -> Json:
    return {
        "records": records,
        "days": days,
        "amounts": [{"amount": amount, "currency": "USD"}],
    }


async def test_restated_days_and_amounts_are_counted(tmp_path: Path, script: Script) -> None:
    async with connected(tmp_path) as ann:
        first = [paid("a", 10.5), paid("b", -3, days=2), paid("c", 7, days=2), paid("d", 1, days=3)]
        assert (await read_all(ann, script, *first))["restated"] is None
        assert (await read_all(ann, script, *first))["restated"] is None
        changed = [paid("a", 8), paid("b", "-4.25", days=2), paid("c", 8, days=2), first[3]]
        orders = await read_all(ann, script, *changed, paid("new", 99, days=4))
        assert (orders["created"], orders["updated"], orders["unchanged"]) == (1, 3, 1)
        assert orders["restated"] == usd(3, 2, "-2.75")
        assert (await read_all(ann, script, *changed))["restated"] is None


async def test_changes_without_another_amount_are_no_restatement(
    tmp_path: Path, script: Script
) -> None:
    async with connected(tmp_path) as ann:
        await read_all(
            ann,
            script,
            paid("released", 5, transactionStatus="DEFERRED"),
            paid("described", 5),
            paid("same", "5.00"),
            paid("unknown before", None),
            paid("unknown now", 5),
        )
        orders = await read_all(
            ann,
            script,
            paid("released", 5, transactionStatus="RELEASED"),
            paid("described", 5, description="Order payment"),
            paid("same", 5),
            paid("unknown before", 5),
            paid("unknown now", None),
        )
        assert (orders["updated"], orders["restated"]) == (5, None)


async def test_changes_that_cancel_each_other_out_and_other_currencies_are_shown(
    tmp_path: Path, script: Script
) -> None:
    async with connected(tmp_path) as ann:
        await read_all(
            ann,
            script,
            *(paid("a", 5), paid("b", 5), paid("yen", 500, 2, "JPY"), paid("moves", 2, 3, "GBP")),
        )
        orders = await read_all(
            ann,
            script,
            *(paid("a", 4), paid("b", 6), paid("yen", 400.0, 2, "JPY"), paid("moves", 3, 3, "EUR")),
        )
        assert orders["restated"] == {
            "records": 4,
            "days": 3,
            "amounts": [
                {"amount": "3.00", "currency": "EUR"},
                {"amount": "-2.00", "currency": "GBP"},
                {"amount": "-100", "currency": "JPY"},
                {"amount": "0.00", "currency": "USD"},
            ],
        }


async def test_amounts_of_several_pages_add_up_and_an_interrupted_read_counts_each_once(
    tmp_path: Path, script: Script
) -> None:
    async with connected(tmp_path) as ann:
        names = [f"order-{number:02}" for number in range(25)]
        await read_all(ann, script, *(paid(name, 10, days=int(name[-1]) % 3) for name in names))
        script.errors["orders"] = [None, Retryable("Busy."), None]
        changed = [paid(name, 10.01, days=int(name[-1]) % 3) for name in names]
        orders = await read_all(ann, script, *changed)
        assert script.errors["orders"] == []
        assert orders["restated"] == usd(25, 3, "0.25")


async def test_a_dry_run_counts_what_it_would_change(tmp_path: Path, script: Script) -> None:
    async with connected(tmp_path) as ann:
        await read_all(ann, script, paid("a", 5))
        script.records["orders"] = [paid("a", 4)]
        dry = await ann.whole_sync(dryRun=True)
        assert dry["datasets"][0]["restated"] == usd(1, 1, "-1.00")
        assert (await read_all(ann, script, paid("a", 4)))["restated"] == usd(1, 1, "-1.00")


async def test_amounts_that_are_not_amounts_are_left_out(tmp_path: Path, script: Script) -> None:
    async with connected(tmp_path) as ann:
        names = ["a", *INVALID]
        await read_all(ann, script, *(paid(name, 5) for name in names))
        spoiled = [paid(name, 6, note=name) for name in names]
        assert (await read_all(ann, script, *spoiled))["restated"] == usd(1, 1, "1.00")


async def test_stored_records_are_read_once_a_page_and_only_the_changed_ones(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Sequence[str]] = []
    by_id = RecordStore.by_id

    async def counted(
        self: RecordStore, connection_id: str, dataset: str, ids: Sequence[str]
    ) -> Sequence[Values]:
        asked.append(ids)
        return await by_id(self, connection_id, dataset, ids)

    monkeypatch.setattr(RecordStore, "by_id", counted)
    async with connected(tmp_path) as ann:
        names = [f"order-{number:02}" for number in range(25)]
        script.set_records("stock", "sku", value="1")
        await read_all(ann, script, *(paid(name, 10) for name in names))
        await read_all(ann, script, *(paid(name, 10) for name in names))
        script.set_records("stock", "sku", value="2")
        assert asked == []
        changed = {"order-01", "order-02", "order-21"}
        await read_all(ann, script, *(paid(name, 11 if name in changed else 10) for name in names))
        assert asked == [["order-01", "order-02"], ["order-21"]]


def test_days_are_counted_once_and_up_to_a_limit() -> None:
    total: Restated | None = None
    for number in [*range(MAX_RESTATED_DAYS + 5), 0, 1]:
        day = date(2020, 1, 1) + timedelta(days=number)
        total = Restated(1, (day,), {"USD": Decimal("0.01")}).plus(total)
    assert total is not None
    assert (total.records, len(total.days)) == (MAX_RESTATED_DAYS + 7, MAX_RESTATED_DAYS)
    assert total.differences == {"USD": Decimal("10.07")}


async def test_erasing_a_connection_erases_the_amounts(tmp_path: Path, script: Script) -> None:
    async with connected(tmp_path) as ann:
        await read_all(ann, script, paid("a", 5))
        assert (await read_all(ann, script, paid("a", 6)))["restated"]
        (connection,) = read(await ann.get("/api/connections"))["connections"]
        erased = await ann.http.delete(f"/api/connections/{connection['id']}?data=erase")
        assert erased.status_code == 204
        params = {"expand": "datasets"}
        for sync in read(await ann.get("/api/sync/history", params=params))["syncs"]:
            assert [dataset["restated"] for dataset in sync["datasets"]] == [None] * 3
