"""What a start may ask for: a dry run, a full refresh, a window, items, the same start twice."""

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest

from connectors.base import Record, Retryable
from tests.service.api.answers import problem
from tests.service.clocks import FastClock
from tests.service.scripted import ORDERS, Script, scripted
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    found = scripted(monkeypatch)
    found.has("orders", *(f"order-{number:02}" for number in range(30)))
    found.has("stock", "sku-1", "sku-2")
    return found


@pytest.fixture
async def service(tmp_path: Path, script: Script) -> AsyncIterator[Serving]:
    """The service over that source."""
    async with serve(tmp_path) as serving:
        yield serving


async def items(user: User, sync_id: str, **params: str) -> list[tuple[str, str]]:
    path = f"/api/sync/history/{sync_id}/items"
    answer = read(await user.get(path, params={"limit": "100", **params}))
    return [(each["recordId"], each["outcome"]) for each in answer["items"]]


async def ids(user: User, dataset: str = "orders") -> set[str]:
    return {record["id"] for record in await user.records(dataset)}


def orders(status: Json) -> Json:
    found: Json = status["datasets"][0]
    return found


async def connected(service: Serving) -> User:
    ann = service.user()
    await ann.connect()
    return ann


# Dry runs --------------------------------------------------------------------------------------


async def test_a_dry_run_says_what_would_change_and_lands_nothing(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    await ann.whole_sync()
    before = await ann.records("orders")
    script.has("orders", *(f"order-{number:02}" for number in range(25)), value="1")
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
    assert script.detecting == [("orders", "stock")], "claims were looked for once, before"
    real = await ann.whole_sync()
    assert orders(real)["created"] == 1, "the dry run moved no watermark and landed nothing"


async def test_a_dry_run_counts_a_record_once_however_often_it_comes(
    service: Serving, script: Script
) -> None:
    script.records["orders"] *= 3
    ann = await connected(service)
    dry = await ann.whole_sync(dryRun=True)
    assert (orders(dry)["created"], orders(dry)["processed"]) == (30, 30)


async def test_an_interrupted_dry_run_goes_on_counting_where_it_was(
    tmp_path: Path, script: Script
) -> None:
    script.errors["orders"] = [None, None, Retryable("Busy.")]
    async with serve(tmp_path, FastClock()) as service:
        ann = await connected(service)
        dry = await ann.whole_sync(dryRun=True)
        assert (orders(dry)["created"], dry["attempt"]) == (30, 1)


async def test_a_dry_refresh_says_what_would_be_deleted(service: Serving, script: Script) -> None:
    ann = await connected(service)
    await ann.whole_sync()
    script.records["orders"].pop()
    dry = await ann.whole_sync(dryRun=True, overwrite=True)
    assert orders(dry)["deleted"] == 1
    assert await items(ann, dry["syncId"], status="deleted") == [("order-29", "deleted")]
    assert len(await ids(ann)) == 30


# Full refreshes --------------------------------------------------------------------------------


async def test_a_refresh_deletes_what_the_source_has_no_more(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    await ann.whole_sync()
    del script.records["orders"][:3]
    done = await ann.whole_sync(overwrite=True, items="all")
    assert (done["status"], orders(done)["deleted"], done["warnings"]) == ("complete", 3, [])
    assert await ids(ann) == {f"order-{number:02}" for number in range(3, 30)}
    assert len(await items(ann, done["syncId"], status="deleted")) == 3
    kept = read(await ann.get(f"/api/connections/{done['connectionId']}/sync-status"))
    assert {each["name"]: each["records"] for each in kept["datasets"]} == {
        "orders": 27,
        "stock": 2,
    }


async def test_without_a_refresh_nothing_is_deleted(service: Serving, script: Script) -> None:
    ann = await connected(service)
    await ann.whole_sync()
    script.records["orders"].clear()
    assert orders(await ann.whole_sync())["deleted"] == 0
    assert len(await ids(ann)) == 30


async def test_a_refresh_that_would_delete_over_a_tenth_deletes_nothing(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    await ann.whole_sync()
    del script.records["orders"][:4]
    refused = await ann.whole_sync(overwrite=True)
    assert (orders(refused)["deleted"], len(await ids(ann))) == (0, 30)
    assert any("4 of 30" in warning for warning in refused["warnings"])
    told = await ann.whole_sync(overwrite=True, allowMassDelete=True)
    assert (orders(told)["deleted"], len(await ids(ann))) == (4, 26)


async def test_what_may_only_have_changed_is_deleted_only_when_told_to(
    tmp_path: Path, script: Script
) -> None:
    script.has("cases", *(f"case-{number}" for number in range(20)))
    async with serve(tmp_path) as service:
        ann = await connected(service)
        await ann.whole_sync()
        script.records["cases"].pop()
        kept = await ann.whole_sync(overwrite=True)
        assert len(await ids(ann, "cases")) == 20
        assert any("may only have changed" in warning for warning in kept["warnings"])
        await ann.whole_sync(overwrite=True, allowMassDelete=True)
        assert len(await ids(ann, "cases")) == 19


async def test_an_empty_answer_deletes_nothing(service: Serving, script: Script) -> None:
    ann = await connected(service)
    await ann.whole_sync()
    script.records["orders"].clear()
    await ann.whole_sync(overwrite=True)
    assert len(await ids(ann)) == 30


async def test_a_refresh_in_which_anything_failed_deletes_nothing(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    await ann.whole_sync()
    script.records["orders"][0] = Record("order-00", b"", error="Cannot be read.")
    script.records["orders"].pop()
    done = await ann.whole_sync(overwrite=True, allowMassDelete=True)
    assert (orders(done)["deleted"], len(await ids(ann))) == (0, 30)
    assert any("not all of them could be read" in warning for warning in done["warnings"])


async def test_a_refresh_of_a_window_leaves_what_lies_outside_of_it(
    service: Serving, script: Script
) -> None:
    old, new = LONG_AGO, datetime.now(UTC) - timedelta(days=2)
    script.has("orders", *(f"new-{number}" for number in range(20)), at=new)
    script.records["orders"].append(Record("old", b"{}", at=old))
    ann = await connected(service)
    await ann.whole_sync(since=old.isoformat())
    script.has("orders", *(f"new-{number}" for number in range(19)), at=new)
    since = (new - timedelta(days=1)).isoformat()
    done = await ann.whole_sync(since=since, overwrite=True, datasets=["orders"])
    assert orders(done)["deleted"] == 1
    assert "old" in await ids(ann) and "new-19" not in await ids(ann)


# Windows ---------------------------------------------------------------------------------------


async def test_a_later_sync_reads_from_where_the_last_one_ended(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    first = await ann.whole_sync()
    await ann.whole_sync()
    (_, whole), (_, later) = [each for each in script.windows if each[0] == "orders"]
    assert ORDERS.reach and whole.until - whole.since == ORDERS.reach
    assert later.since == whole.until - ORDERS.overlap and later.until > whole.until
    assert script.detecting == [("orders", "stock")] * 2, "what was read before still counts"
    kept = read(await ann.get(f"/api/connections/{first['connectionId']}/sync-status"))
    told = kept["datasets"][0]
    assert told["readSince"].startswith(f"{whole.since:%Y-%m-%dT%H:%M}")
    assert told["watermark"].startswith(f"{later.until:%Y-%m-%dT%H:%M}")
    assert (kept["syncNeeded"], kept["reason"]) == (False, "up_to_date")


async def test_what_was_not_read_whole_is_read_again(service: Serving, script: Script) -> None:
    script.records["orders"][0] = Record("order-00", b"", error="Cannot be read.")
    ann = await connected(service)
    await ann.whole_sync()
    await ann.whole_sync()
    first, second = [window for name, window in script.windows if name == "orders"]
    assert second.until - second.since == first.until - first.since
    assert script.detecting == [("stock",)] * 2


async def test_a_window_of_ones_own_is_no_ground_for_claims_and_leaves_no_gap(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    await ann.whole_sync(since=(datetime.now(UTC) - timedelta(days=3)).isoformat())
    await ann.whole_sync()
    _, second = [window for name, window in script.windows if name == "orders"]
    assert second.until - second.since == ORDERS.reach, "the first had not read so far back"
    assert script.detecting == [("stock",), ("orders", "stock")]


async def test_a_window_in_the_past_moves_no_watermark_back(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    await ann.whole_sync()
    await ann.whole_sync(since="2026-01-01T00:00:00Z", until="2026-02-01T00:00:00Z")
    await ann.whole_sync()
    first, _, third = [window for name, window in script.windows if name == "orders"]
    assert third.since == first.until - ORDERS.overlap


# The same start twice --------------------------------------------------------------------------


async def start(user: User, key: str, **body: object) -> Json:
    answer = await user.post("/api/sync/start", body, headers={"Idempotency-Key": key})
    assert answer.status_code == 202, answer.text
    return read(answer)


async def test_the_same_key_starts_once_also_after_the_end(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    first = await start(ann, "k-1")
    assert (await start(ann, "k-1")) == first
    await ann.until(first["syncId"])
    assert (await start(ann, "k-1"))["syncId"] == first["syncId"]
    assert (await start(ann, "k-2"))["syncId"] != first["syncId"]


async def test_a_key_is_good_for_one_request_only(service: Serving, script: Script) -> None:
    ann = await connected(service)
    await ann.until((await start(ann, "k", datasets=["orders"]))["syncId"])
    headers = {"Idempotency-Key": "k"}
    answer = await ann.post("/api/sync/start", {"datasets": ["stock"]}, headers=headers)
    problem(answer, 422, "idempotency_key_reused")
    bob = service.user("bob")
    await bob.connect()
    assert (await start(bob, "k", datasets=["stock"]))["syncId"], "keys are each user's own"


async def test_a_hundred_at_once_with_one_key_are_one_sync(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    found: list[str] = []

    async def one() -> None:
        found.append((await start(ann, "k"))["syncId"])

    async with anyio.create_task_group() as group:
        for _ in range(100):
            group.start_soon(one)
    assert len(set(found)) == 1 and len(found) == 100


async def test_a_start_that_had_not_seen_its_key_used_is_the_same_all_the_same(
    service: Serving, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database told a start that its key is new; until it heard that, its twin had begun."""
    ann = await connected(service)
    script.gates["orders"] = anyio.Event()
    used_key, told, begun = service.parts.store.used_key, anyio.Event(), anyio.Event()

    async def slowly(user: str, key: str, at: datetime) -> tuple[str, str] | None:
        found = await used_key(user, key, at)
        if not told.is_set():
            told.set()
            await begun.wait()
        return found

    monkeypatch.setattr(service.parts.store, "used_key", slowly)
    found: list[str] = []

    async def late() -> None:
        found.append((await start(ann, "k"))["syncId"])

    async with anyio.create_task_group() as group:
        group.start_soon(late)
        await told.wait()
        first = (await start(ann, "k"))["syncId"]
        begun.set()
    assert found == [first]
    script.gates["orders"].set()


async def test_a_key_means_the_sync_that_it_was_attached_to(tmp_path: Path, script: Script) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock) as service:
        ann = await connected(service)
        first = await start(ann, "k")
        await ann.until(first["syncId"])
        clock.jump(timedelta(hours=25))
        script.gates["orders"] = anyio.Event()
        running = await ann.start()
        for key in ("k", "new"):  # the old one means nothing any more
            attached = await start(ann, key, onConflict="attach")
            assert attached["syncId"] == running
        headers = {"Idempotency-Key": "new"}
        answer = await ann.post("/api/sync/start", {"dryRun": True}, headers=headers)
        problem(answer, 422, "idempotency_key_reused")
        script.gates["orders"].set()
        await ann.until(running)
        for key in ("k", "new"):
            assert (await start(ann, key, onConflict="attach"))["syncId"] == running
        assert read(await ann.get("/api/sync/history"))["total"] == 2


async def test_a_key_is_forgotten_after_a_day(tmp_path: Path, script: Script) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock) as service:
        ann = await connected(service)
        first = await start(ann, "k")
        await ann.until(first["syncId"])
        clock.jump(timedelta(hours=23))
        assert (await start(ann, "k"))["syncId"] == first["syncId"]
        clock.jump(timedelta(hours=2))
        assert (await start(ann, "k"))["syncId"] != first["syncId"]


async def test_a_refused_start_uses_up_no_key(service: Serving, script: Script) -> None:
    ann = service.user()
    headers = {"Idempotency-Key": "k"}
    problem(await ann.post("/api/sync/start", {}, headers=headers), 409, "not_connected")
    await ann.connect()
    assert (await ann.post("/api/sync/start", {}, headers=headers)).status_code == 202


@pytest.mark.parametrize("key", ["", "x" * 256, "a b"])
async def test_a_key_that_is_none_is_refused(service: Serving, script: Script, key: str) -> None:
    ann = await connected(service)
    answer = await ann.post("/api/sync/start", {}, headers={"Idempotency-Key": key})
    problem(answer, 422, "invalid")
    assert read(await ann.get("/api/sync/history"))["total"] == 0


# Items -----------------------------------------------------------------------------------------


async def test_items_tell_of_every_record_if_the_start_asks(
    service: Serving, script: Script
) -> None:
    ann = await connected(service)
    first = await ann.whole_sync(items="all")
    assert len(await items(ann, first["syncId"], dataset="orders")) == 30
    script.records["orders"][1] = Record("order-01", b'{"value":"2"}')
    second = await ann.whole_sync(items="all")
    assert await items(ann, second["syncId"], status="updated") == [("order-01", "updated")]
    assert len(await items(ann, second["syncId"], status="unchanged", dataset="orders")) == 29
    third = await ann.whole_sync()
    assert await items(ann, third["syncId"]) == []


async def test_items_tell_of_every_record_if_the_operator_wants(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path, HISTORY_ITEMS="all") as service:
        ann = await connected(service)
        done = await ann.whole_sync()
        assert len(await items(ann, done["syncId"])) == 32
        assert await items(ann, (await ann.whole_sync(items="failed"))["syncId"]) == []
