"""One sync from its start to its end, over the real service and the demo source."""

from pathlib import Path

import anyio
import msgspec
import pytest

from service import pipeline
from service.credentials import encrypt, read_keys
from service.progress import Stage
from service.store.engine import Statement
from tests.serving import KEY, Json, Serving, json_of, serve

pytestmark = pytest.mark.anyio


async def test_a_sync_lands_every_record_and_counts_it_once(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    done = await ann.whole_sync()
    assert done["status"] == "complete"
    assert (done["progress"], done["stage"]) == (100, Stage.COMPLETE)
    assert done["ordersProcessed"] == done["totalOrders"] == 250
    assert done["datasets"][0]["created"] == 250
    assert len({record["id"] for record in await ann.records("orders")}) == 250


async def test_a_second_sync_finds_nothing_new(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    first = await ann.whole_sync()
    orders = (await ann.whole_sync())["datasets"][0]
    assert (orders["created"], orders["updated"], orders["unchanged"]) == (0, 0, 250)
    assert {r["syncId"] for r in await ann.records("orders")} == {first["syncId"]}


async def test_a_bad_record_costs_one_record_and_says_why(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_BAD="100") as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        orders = done["datasets"][0]
        assert (orders["status"], orders["failed"], orders["created"]) == ("partial", 2, 248)
        path = f"/api/sync/history/{done['syncId']}/items"
        items = (await ann.get(path, params={"status": "failed"})).json()["items"]
        assert [item["recordId"] for item in items] == ["orders-0000099", "orders-0000199"]
        assert "wants this one to fail" in items[0]["error"]
        assert len(await ann.records("orders")) == 248


async def test_the_stages_begin_at_their_floors_and_the_bar_never_falls(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="0.02") as service:
        ann = service.user()
        await ann.connect()
        seen: list[tuple[str, int]] = []
        async with ann.http.stream("GET", "/api/sse/syncs") as response:
            lines = response.aiter_lines()
            assert await anext(lines) == "retry: 3000"
            await ann.start()
            async for line in lines:
                if line.startswith("data: "):
                    status = msgspec.json.decode(line.removeprefix("data: "), type=Json)
                    seen.append((status["stage"], status["progress"]))
                    if status["status"] == "complete":
                        break
        begins = {stage: progress for stage, progress in reversed(seen)}
        assert list(dict.fromkeys(stage for stage, _ in seen)) == [
            "queued",
            "starting",
            "fetching",
            "processing",
            "finalizing",
            "complete",
        ]
        assert [begins[stage] for stage in list(begins)[::-1]] == [0, 10, 30, 60, 90, 100]
        assert [progress for _, progress in seen] == sorted(progress for _, progress in seen)
        assert all(progress < 100 for stage, progress in seen if stage != "complete")


async def test_lost_credentials_pause_the_sync_and_say_so(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="0.05", DEMO_PAGE="10") as service:
        ann = service.user()
        connection = await ann.connect()
        await _spoil_credentials(service, connection["id"])
        paused = await ann.whole_sync()
        assert paused["status"] == "paused"
        assert paused["error"]["code"] == "connection_lost"
        shown = (await ann.get(f"/api/connections/{connection['id']}")).json()
        assert shown["status"] == "lost"


async def test_a_cancelled_sync_resumes_where_it_was(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="0.05", DEMO_PAGE="20") as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 60)
        cancelled = (await ann.post(f"/api/sync/cancel/{sync_id}")).json()
        assert cancelled["status"] == "cancelled"
        assert cancelled["datasets"][0]["status"] == "partial"
        kept = len(await ann.records("orders"))
        assert 60 <= kept < 250
        assert (await ann.post(f"/api/sync/resume/{sync_id}")).status_code == 202
        done = await ann.until(sync_id)
        assert (done["status"], done["attempt"]) == ("complete", 2)
        assert done["datasets"][0]["created"] == 250
        assert len(await ann.records("orders")) == 250


async def test_a_chosen_dataset_is_read_alone(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    done = await ann.whole_sync(datasets=["inventory"])
    assert [each["name"] for each in done["datasets"]] == ["inventory", "claims"]
    assert done["ordersProcessed"] == 0 and done["totalOrders"] is None
    assert await ann.records("orders") == []


async def test_events_tell_what_a_poll_shows(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    sync_id = await ann.start()
    last = None
    async for event in ann.events(sync_id):
        last = event
    assert last is not None and last.event == "complete"
    assert json_of(last) == await ann.status(sync_id)
    assert last.id == str(json_of(last)["version"])


async def _spoil_credentials(service: Serving, connection_id: str) -> None:
    """What a seller does who withdraws the authorisation: only the source can tell."""
    secret = encrypt(read_keys(KEY), {"refreshToken": "revoked"})
    sql = "UPDATE connections SET credentials = :secret WHERE id = :id RETURNING id"
    assert await service.parts.store.write(
        Statement(sql, [{"secret": secret, "id": connection_id}])
    )


async def test_where_all_are_busy_a_sync_rests_until_a_cancel_and_alone_it_never_does(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline, "BUSY", -1.0)  # always
    monkeypatch.setattr(pipeline, "REST", 1e9)
    monkeypatch.setattr(pipeline, "LONGEST_REST", 3600.0)
    give_way, woken = pipeline.Pipeline.give_way, []

    async def watched(self: pipeline.Pipeline, worked: float) -> None:
        try:
            await give_way(self, worked)
        except anyio.get_cancelled_exc_class():
            woken.append(worked)
            raise

    monkeypatch.setattr(pipeline.Pipeline, "give_way", watched)
    async with serve(tmp_path, DEMO_ORDERS="40", DEMO_PAGE="10", DEMO_PAUSE="0.1") as here:
        ann, bob = here.user("ann"), here.user("bob")
        await ann.connect()
        await bob.connect()
        assert (await ann.whole_sync())["status"] == "complete"
        begun = [(ann, await ann.start()), (bob, await bob.start())]
        for user, sync_id in begun:
            await user.until_processed(sync_id, "orders", 10)
        for user, sync_id in begun[::-1]:
            assert (await user.post(f"/api/sync/cancel/{sync_id}")).status_code == 200
        with anyio.fail_after(10):
            while not woken:
                await anyio.sleep(0.005)
