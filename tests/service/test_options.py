"""The options of a start: dry run, full refresh, window, items."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from connectors.base import Record, Retryable
from tests.service.clocks import FastClock
from tests.service.scripted import ORDERS, Script, scripted
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    script = scripted(monkeypatch)
    script.set_records("orders", *(f"order-{number:02}" for number in range(30)))
    script.set_records("stock", "sku-1", "sku-2")
    return script


@pytest.fixture
async def service(tmp_path: Path, script: Script) -> AsyncIterator[Serving]:
    """The service over the scripted source."""
    async with serve(tmp_path) as serving:
        yield serving


async def items(user: User, sync_id: str, **params: str) -> list[tuple[str, str]]:
    path = f"/api/sync/history/{sync_id}/items"
    answer = read(await user.get(path, params={"limit": "100", **params}))
    return [(item["recordId"], item["outcome"]) for item in answer["items"]]


async def ids(user: User, dataset: str = "orders") -> set[str]:
    return {record["id"] for record in await user.records(dataset)}


def orders(status: Json) -> Json:
    progress: Json = status["datasets"][0]
    return progress


async def connect_user(service: Serving) -> User:
    ann = service.user()
    await ann.connect()
    return ann


# Dry runs --------------------------------------------------------------------------------------


async def test_a_dry_run_reports_changes_and_stores_no_records(
    service: Serving, script: Script
) -> None:
    ann = await connect_user(service)
    await ann.whole_sync()
    before = await ann.records("orders")
    script.set_records("orders", *(f"order-{number:02}" for number in range(25)), value="1")
    script.records["orders"][0] = Record("order-00", b'{"value":"2"}')
    script.records["orders"].append(Record("order-99", b'{"value":"1"}'))
    script.records["orders"].append(Record("order-98", b"", error="Cannot be read."))
    dry = await ann.whole_sync(dryRun=True)
    counted = orders(dry)
    assert (dry["status"], dry["dryRun"], dry["options"]) == ("complete", True, {"dryRun": True})
    assert [counted[name] for name in ("created", "updated", "unchanged", "failed")] == [
        *(1, 1, 24, 1),
    ]
    assert await ann.records("orders") == before
    assert await items(ann, dry["syncId"], status="created") == [("order-99", "created")]
    assert await items(ann, dry["syncId"], status="updated") == [("order-00", "updated")]
    claims = dry["datasets"][-1]
    assert (claims["name"], claims["status"]) == ("claims", "unknown")
    assert script.detecting == [("orders", "stock")], "claims were detected only by the first sync"
    real = await ann.whole_sync()
    assert orders(real)["created"] == 1, "the dry run moved no watermark and stored no records"


async def test_a_dry_run_counts_a_repeated_record_once(service: Serving, script: Script) -> None:
    script.records["orders"] *= 3
    ann = await connect_user(service)
    dry = await ann.whole_sync(dryRun=True)
    assert (orders(dry)["created"], orders(dry)["processed"]) == (30, 30)


async def test_an_interrupted_dry_run_continues_its_counts(tmp_path: Path, script: Script) -> None:
    script.errors["orders"] = [None, None, Retryable("Busy.")]
    async with serve(tmp_path, FastClock()) as service:
        ann = await connect_user(service)
        dry = await ann.whole_sync(dryRun=True)
        assert (orders(dry)["created"], dry["attempt"]) == (30, 1)


async def test_a_dry_refresh_reports_what_it_would_delete(service: Serving, script: Script) -> None:
    ann = await connect_user(service)
    await ann.whole_sync()
    script.records["orders"].pop()
    dry = await ann.whole_sync(dryRun=True, overwrite=True)
    assert orders(dry)["deleted"] == 1
    assert await items(ann, dry["syncId"], status="deleted") == [("order-29", "deleted")]
    assert len(await ids(ann)) == 30


# Full refreshes --------------------------------------------------------------------------------


async def test_a_refresh_deletes_what_the_source_no_longer_has(
    service: Serving, script: Script
) -> None:
    ann = await connect_user(service)
    await ann.whole_sync()
    del script.records["orders"][:3]
    done = await ann.whole_sync(overwrite=True, items="all")
    assert (done["status"], orders(done)["deleted"], done["warnings"]) == ("complete", 3, [])
    assert await ids(ann) == {f"order-{number:02}" for number in range(3, 30)}
    assert len(await items(ann, done["syncId"], status="deleted")) == 3
    status = read(await ann.get(f"/api/connections/{done['connectionId']}/sync-status"))
    assert {dataset["name"]: dataset["records"] for dataset in status["datasets"]} == {
        "orders": 27,
        "stock": 2,
    }


async def test_without_a_refresh_nothing_is_deleted(service: Serving, script: Script) -> None:
    ann = await connect_user(service)
    await ann.whole_sync()
    script.records["orders"].clear()
    assert orders(await ann.whole_sync())["deleted"] == 0
    assert len(await ids(ann)) == 30


async def test_a_refresh_that_would_delete_over_a_tenth_deletes_nothing(
    service: Serving, script: Script
) -> None:
    ann = await connect_user(service)
    await ann.whole_sync()
    del script.records["orders"][:4]
    refused = await ann.whole_sync(overwrite=True)
    assert (orders(refused)["deleted"], len(await ids(ann))) == (0, 30)
    assert any("4 of 30 records" in warning["message"] for warning in refused["warnings"])
    allowed = await ann.whole_sync(overwrite=True, allowMassDelete=True)
    assert (orders(allowed)["deleted"], len(await ids(ann))) == (4, 26)


async def test_records_that_may_only_have_changed_are_deleted_only_if_allowed(
    tmp_path: Path, script: Script
) -> None:
    script.set_records("cases", *(f"case-{number}" for number in range(20)))
    async with serve(tmp_path) as service:
        ann = await connect_user(service)
        await ann.whole_sync()
        script.records["cases"].pop()
        refused = await ann.whole_sync(overwrite=True)
        assert len(await ids(ann, "cases")) == 20
        assert any("may only have changed" in warning["message"] for warning in refused["warnings"])
        await ann.whole_sync(overwrite=True, allowMassDelete=True)
        assert len(await ids(ann, "cases")) == 19


async def test_an_empty_response_deletes_nothing(service: Serving, script: Script) -> None:
    ann = await connect_user(service)
    await ann.whole_sync()
    script.records["orders"].clear()
    await ann.whole_sync(overwrite=True)
    assert len(await ids(ann)) == 30


async def test_an_emptiness_that_is_not_confirmed_deletes_nothing(
    service: Serving, script: Script
) -> None:
    """Not even if mass deletes are allowed: the refresh must really have read that it is empty."""
    ann = await connect_user(service)
    await ann.whole_sync()
    script.records["orders"].clear()
    script.edit = lambda page: msgspec.structs.replace(page, presumed_empty=not page.records)
    done = await ann.whole_sync(overwrite=True, allowMassDelete=True)
    assert (orders(done)["status"], orders(done)["deleted"], len(await ids(ann))) == (
        *("complete", 0, 30),
    )
    assert any(
        "not confirmed yet that it has no records" in text["message"] for text in done["warnings"]
    )
    script.edit = lambda page: page
    await ann.whole_sync(overwrite=True, allowMassDelete=True)
    assert await ids(ann) == set()


async def test_a_detection_knows_what_was_learned_in_the_same_sync(
    service: Serving, script: Script
) -> None:
    script.edit = lambda page: msgspec.structs.replace(page, learned={"empty": str(script.pages)})
    ann = await connect_user(service)
    await ann.whole_sync()
    assert script.learned == [{"empty": str(script.pages)}]


async def test_a_refresh_with_a_failed_record_deletes_nothing(
    service: Serving, script: Script
) -> None:
    ann = await connect_user(service)
    await ann.whole_sync()
    script.records["orders"][0] = Record("order-00", b"", error="Cannot be read.")
    script.records["orders"].pop()
    done = await ann.whole_sync(overwrite=True, allowMassDelete=True)
    assert (orders(done)["deleted"], len(await ids(ann))) == (0, 30)
    assert any(
        "not all records could be read" in warning["message"] for warning in done["warnings"]
    )


async def test_a_refresh_of_a_window_deletes_nothing_outside_it(
    service: Serving, script: Script
) -> None:
    old, new = LONG_AGO, datetime.now(UTC) - timedelta(days=2)
    script.set_records("orders", *(f"new-{number}" for number in range(20)), at=new)
    script.records["orders"].append(Record("old", b"{}", at=old))
    ann = await connect_user(service)
    await ann.whole_sync(since=old.isoformat())
    script.set_records("orders", *(f"new-{number}" for number in range(19)), at=new)
    since = (new - timedelta(days=1)).isoformat()
    done = await ann.whole_sync(since=since, overwrite=True, datasets=["orders"])
    assert orders(done)["deleted"] == 1
    assert "old" in await ids(ann) and "new-19" not in await ids(ann)


# Windows ---------------------------------------------------------------------------------------


async def test_a_sync_begins_where_the_last_one_ended(service: Serving, script: Script) -> None:
    ann = await connect_user(service)
    first = await ann.whole_sync()
    await ann.whole_sync()
    whole, later = [window for name, window in script.windows if name == "orders"]
    assert ORDERS.reach and whole.until - whole.since == ORDERS.reach
    assert later.since == whole.until - ORDERS.overlap and later.until > whole.until
    assert script.detecting == [("orders", "stock")] * 2, "what the first sync read still counts"
    status = read(await ann.get(f"/api/connections/{first['connectionId']}/sync-status"))
    coverage = status["datasets"][0]
    assert coverage["readSince"].startswith(f"{whole.since:%Y-%m-%dT%H:%M}")
    assert coverage["watermark"].startswith(f"{later.until:%Y-%m-%dT%H:%M}")
    assert (status["syncNeeded"], status["reason"]) == (False, "up_to_date")


async def test_a_window_that_was_not_read_completely_is_read_again(
    service: Serving, script: Script
) -> None:
    script.records["orders"][0] = Record("order-00", b"", error="Cannot be read.")
    ann = await connect_user(service)
    await ann.whole_sync()
    await ann.whole_sync()
    first, second = [window for name, window in script.windows if name == "orders"]
    assert second.until - second.since == first.until - first.since
    assert script.detecting == [("stock",)] * 2


async def test_a_short_window_supports_no_claims_and_leaves_no_gap(
    service: Serving, script: Script
) -> None:
    ann = await connect_user(service)
    await ann.whole_sync(since=(datetime.now(UTC) - timedelta(days=3)).isoformat())
    await ann.whole_sync()
    _, second = [window for name, window in script.windows if name == "orders"]
    assert second.until - second.since == ORDERS.reach, "the first sync had not read as far back"
    assert script.detecting == [("stock",), ("orders", "stock")]


async def test_a_window_in_the_past_does_not_move_the_watermark_back(
    service: Serving, script: Script
) -> None:
    ann = await connect_user(service)
    await ann.whole_sync()
    await ann.whole_sync(since="2026-01-01T00:00:00Z", until="2026-02-01T00:00:00Z")
    await ann.whole_sync()
    first, _, third = [window for name, window in script.windows if name == "orders"]
    assert third.since == first.until - ORDERS.overlap


# Items -----------------------------------------------------------------------------------------


async def test_items_list_every_record_if_the_start_requests_all(
    service: Serving, script: Script
) -> None:
    ann = await connect_user(service)
    first = await ann.whole_sync(items="all")
    assert len(await items(ann, first["syncId"], dataset="orders")) == 30
    script.records["orders"][1] = Record("order-01", b'{"value":"2"}')
    second = await ann.whole_sync(items="all")
    assert await items(ann, second["syncId"], status="updated") == [("order-01", "updated")]
    assert len(await items(ann, second["syncId"], status="unchanged", dataset="orders")) == 29
    third = await ann.whole_sync()
    assert await items(ann, third["syncId"]) == []


async def test_items_list_every_record_if_the_operator_sets_all(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path, HISTORY_ITEMS="all") as service:
        ann = await connect_user(service)
        done = await ann.whole_sync()
        assert len(await items(ann, done["syncId"])) == 32
        assert await items(ann, (await ann.whole_sync(items="failed"))["syncId"]) == []
