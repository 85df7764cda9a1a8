"""One sync from its start to its end, with the real service and the demo source."""

from pathlib import Path

import msgspec
import pytest

from service.credentials import encrypt, read_keys
from service.progress import Stage
from service.store.engine import Statement
from tests.serving import KEY, Json, Serving, json_of, serve

pytestmark = pytest.mark.anyio


async def test_a_sync_stores_every_record_and_counts_it_once(service: Serving) -> None:
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


async def test_an_unreadable_record_fails_alone_with_its_reason(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_BAD="100") as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        orders = done["datasets"][0]
        assert (orders["status"], orders["failed"], orders["created"]) == ("partial", 2, 248)
        path = f"/api/sync/history/{done['syncId']}/items"
        items = (await ann.get(path, params={"status": "failed"})).json()["items"]
        assert [item["recordId"] for item in items] == ["orders-0000099", "orders-0000199"]
        assert "made unreadable by DEMO_BAD" in items[0]["error"]
        assert len(await ann.records("orders")) == 248


async def test_the_stages_begin_at_their_percentages_and_progress_never_falls(
    tmp_path: Path,
) -> None:
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


async def test_lost_credentials_pause_the_sync(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="0.05", DEMO_PAGE="10") as service:
        ann = service.user()
        connection = await ann.connect()
        await _spoil_credentials(service, connection["id"])
        paused = await ann.whole_sync()
        assert paused["status"] == "paused"
        assert paused["error"]["code"] == "connection_lost"
        shown = (await ann.get(f"/api/connections/{connection['id']}")).json()
        assert shown["status"] == "lost"


async def test_a_cancelled_sync_resumes_from_its_checkpoint(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="0.05", DEMO_PAGE="20") as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 60)
        cancelled = (await ann.post(f"/api/sync/cancel/{sync_id}")).json()
        assert cancelled["status"] == "cancelled"
        assert cancelled["datasets"][0]["status"] == "partial"
        assert 60 <= len(await ann.records("orders")) < 250
        assert (await ann.post(f"/api/sync/resume/{sync_id}")).status_code == 202
        done = await ann.until(sync_id)
        assert (done["status"], done["attempt"]) == ("complete", 2)
        assert done["datasets"][0]["created"] == 250
        assert len(await ann.records("orders")) == 250


async def test_a_chosen_dataset_is_read_alone(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    done = await ann.whole_sync(datasets=["inventory"])
    assert [dataset["name"] for dataset in done["datasets"]] == ["inventory", "claims"]
    assert done["ordersProcessed"] == 0 and done["totalOrders"] is None
    assert await ann.records("orders") == []


async def test_events_show_what_a_poll_shows(service: Serving) -> None:
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
    """Replace the refresh token by one that the source refuses."""
    secret = encrypt(read_keys(KEY), {"refreshToken": "revoked"})
    sql = "UPDATE connections SET credentials = :secret WHERE id = :id RETURNING id"
    assert await service.parts.store.write(
        Statement(sql, [{"secret": secret, "id": connection_id}])
    )
