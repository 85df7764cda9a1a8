"""The audit log: who did what, when and from where. A failed write never fails a sync."""

from pathlib import Path

import pytest

from service.store.engine import Statement
from tests.service.api.answers import SLOW, paused_sync, problem
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio


async def entries(user: User, **params: str) -> list[Json]:
    answer = await user.get("/api/audit", params=params)
    assert answer.status_code == 200, answer.text
    log: list[Json] = read(answer)["entries"]
    return log


async def actions(user: User, **params: str) -> list[str]:
    return [entry["action"] for entry in await entries(user, **params)][::-1]


async def test_every_move_of_a_sync_is_in_the_audit_log(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        ann = service.user()
        connection = await ann.connect()
        sync_id = await ann.start(datasets=["orders"])
        await ann.post(f"/api/sync/cancel/{sync_id}")
        await ann.post(f"/api/sync/resume/{sync_id}")
        await ann.post(f"/api/sync/cancel/{sync_id}")
        assert await actions(ann) == ["connected", "started", "cancelled", "resumed", "cancelled"]
        started = (await entries(ann, action="started"))[0]
        assert (started["actor"], started["syncId"]) == ("ann", sync_id)
        assert started["connectionId"] == connection["id"]
        assert started["address"] == "127.0.0.1"
        assert started["userAgent"].startswith("python-httpx/")
        assert started["details"] == {"attempt": 1, "options": {"datasets": ["orders"]}}
        assert await actions(ann, syncId=sync_id) == [
            "started",
            "cancelled",
            "resumed",
            "cancelled",
        ]


async def test_the_actor_of_automatic_moves_is_the_service(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    done = await ann.whole_sync()
    (entry,) = await entries(ann, action="completed")
    assert (entry["actor"], entry["address"], entry["userAgent"]) == ("service", None, None)
    assert entry["details"] == {"attempt": 1, "records": done["recordsProcessed"], "claims": 0}


async def test_the_entry_of_a_pause_has_its_reason(service: Serving) -> None:
    ann = service.user()
    sync_id = await paused_sync(service, ann)
    (entry,) = await entries(ann, action="paused")
    assert (entry["syncId"], entry["details"]["code"]) == (sync_id, "connection_lost")


async def test_changes_of_a_connection_are_in_the_audit_log(service: Serving) -> None:
    ann = service.user()
    path = f"/api/connections/{(await ann.connect())['id']}"
    await ann.http.put(f"{path}/schedule", json={"cron": "0 2 * * *"})
    await ann.http.put(f"{path}/schedule", content="null")
    await ann.http.patch(path, json={"name": "My shop"})
    await ann.post(f"{path}/reconnect", {"refreshToken": "another secret"})
    await ann.http.delete(path, params={"data": "erase"})
    whole = await entries(ann)
    assert [entry["action"] for entry in whole][::-1] == [
        "connected",
        "scheduled",
        "unscheduled",
        "renamed",
        "reconnected",
        "disconnected",
    ]
    assert "secret" not in str(whole) and "good" not in str(whole)
    assert whole[0]["details"]["data"] == "erased"


async def test_pages_add_up_to_the_whole_log_and_show_nothing_to_other_users(
    service: Serving,
) -> None:
    ann, bob = service.user("ann"), service.user("bob")
    await ann.connect()
    for _ in range(4):
        await ann.whole_sync()
    whole = await entries(ann, limit="100")
    assert len(whole) == 9
    log: list[Json] = []
    cursor = None
    while True:
        params = {"limit": "2"} | ({"cursor": cursor} if cursor else {})
        page = read(await ann.get("/api/audit", params=params))
        log += page["entries"]
        if (cursor := page["nextCursor"]) is None:
            break
    assert log == whole
    assert await entries(bob) == []


async def test_entries_can_be_filtered_by_time(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    assert (
        await entries(ann, **{"from": "2020-01-01T00:00:00Z", "to": "2020-02-01T00:00:00Z"}) == []
    )
    assert len(await entries(ann, **{"from": "2020-01-01T00:00:00Z"})) == 1


@pytest.mark.parametrize(
    "params",
    [{"limit": "0"}, {"limit": "101"}, {"cursor": "x"}, {"from": "yesterday"}, {"who": "ann"}],
)
async def test_invalid_queries_are_refused(service: Serving, params: dict[str, str]) -> None:
    problem(await service.user().get("/api/audit", params=params), 422, "invalid")


async def test_a_sync_completes_if_its_audit_entries_cannot_be_written(service: Serving) -> None:
    ann = service.user()
    await ann.connect()
    drop = Statement("DROP TABLE audit_logs", [{}])
    assert await service.parts.store.write(Statement("SELECT 1", [{}]), drop)
    done = await ann.whole_sync()
    assert (done["status"], len(await ann.records("orders"))) == ("complete", 250)


async def test_a_sync_completes_if_its_items_cannot_be_written(tmp_path: Path) -> None:
    async with serve(tmp_path, HISTORY_ITEMS="all") as service:
        ann = service.user()
        await ann.connect()
        drop = Statement("DROP TABLE sync_history_items", [{}])
        assert await service.parts.store.write(Statement("SELECT 1", [{}]), drop)
        done = await ann.whole_sync()
        assert (done["status"], done["datasets"][0]["created"]) == ("complete", 250)
