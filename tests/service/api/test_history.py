"""Pages of syncs, of items and of records."""

from pathlib import Path
from typing import Any

import pytest

from tests.service.api.answers import TINY, problem
from tests.service.api.test_syncs import check_status
from tests.service.clocks import FastClock
from tests.serving import Json, User, read, serve

pytestmark = pytest.mark.anyio


async def history(user: User, **params: Any) -> Json:
    answer = await user.get("/api/sync/history", params=params)
    assert answer.status_code == 200, answer.text
    return read(answer)


async def pages(user: User, path: str, name: str, **params: Any) -> list[Json]:
    """The entries of all pages."""
    entries: list[Json] = []
    while True:
        page = read(await user.get(path, params=params))
        entries += page[name]
        assert len(page[name]) <= params["limit"]
        if page["nextCursor"] is None:
            return entries
        assert len(page[name]) == params["limit"]
        params["cursor"] = page["nextCursor"]


def ids(syncs: list[Json]) -> list[str]:
    return [sync["syncId"] for sync in syncs]


async def test_pages_add_up_to_the_whole_history_while_new_syncs_arrive(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann, bob = service.user("ann"), service.user("bob")
        await ann.connect()
        await bob.connect()
        await bob.whole_sync()
        made = [(await ann.whole_sync())["syncId"] for _ in range(7)][::-1]
        whole = await history(ann)
        assert ids(whole["syncs"]) == made
        assert (whole["total"], whole["nextCursor"]) == (7, None)
        expanded = await history(ann, expand="datasets")
        for row, sync in zip(whole["syncs"], expanded["syncs"], strict=True):
            assert check_status(sync) == await ann.status(row["syncId"])
            one = read(await ann.get(f"/api/sync/history/{sync['syncId']}"))
            moves = [move["action"] for move in one.pop("moves")]
            assert moves == ["started", "completed"]
            assert one.pop("attempts") and one.pop("waited") == [] and one == sync
            assert row == {name: sync[name] for name in row}
            assert not {"datasets", "warnings", "options"} & set(row)
        first = await history(ann, limit=3)
        assert (ids(first["syncs"]), first["total"]) == (made[:3], 7)
        newer = await ann.whole_sync()
        second = await history(ann, limit=3, cursor=first["nextCursor"])
        assert (ids(second["syncs"]), second["total"]) == (made[3:6], None)
        last = await history(ann, limit=3, cursor=second["nextCursor"])
        assert (ids(last["syncs"]), last["nextCursor"]) == (made[6:], None)
        for limit in (1, 2, 4, 8):
            syncs = await pages(ann, "/api/sync/history", "syncs", limit=limit)
            assert ids(syncs) == [newer["syncId"], *made]
        # With an offset, the cursor continues after the page. A page beyond the last is empty.
        page = await history(ann, limit=3, offset=3)
        assert (ids(page["syncs"]), page["total"]) == (made[2:5], 8)
        after = await history(ann, limit=3, cursor=page["nextCursor"])
        assert ids(after["syncs"]) == made[5:]
        beyond = await history(ann, offset=10_000)
        assert (beyond["syncs"], beyond["total"], beyond["nextCursor"]) == ([], 8, None)


async def test_syncs_with_warnings_can_be_listed_alone(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY | {"DEMO_BAD": "1"}) as service:
        ann = service.user()
        await ann.connect()
        warned = await ann.whole_sync()
        clean = await ann.whole_sync(datasets=["inventory"])
        page = await history(ann, warnings="true")
        assert ids(page["syncs"]) == [warned["syncId"]] and page["total"] == 1
        (row,) = page["syncs"]
        failed = warned["datasets"][0]["failed"]
        assert (row["warningsCount"], row["recordsFailed"]) == (len(warned["warnings"]), failed)
        assert warned["warnings"][0] == {
            "dataset": "orders",
            "code": "records_failed",
            "message": f"{failed} of {warned['ordersProcessed']} orders could not be read.",
            "count": failed,
        }
        assert ids((await history(ann))["syncs"]) == [clean["syncId"], warned["syncId"]]
        answer = await ann.get("/api/sync/history", params={"warnings": "false"})
        assert answer.status_code == 422


async def test_filters_narrow_the_history_and_its_total(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        first_id = (await ann.connect())["id"]
        second_id = (await ann.connect(region="EU", refreshToken="another"))["id"]
        one = await ann.whole_sync(connectionId=first_id)
        two = await ann.whole_sync(connectionId=second_id)
        three = await ann.whole_sync(connectionId=second_id)
        made = [sync["syncId"] for sync in (three, two, one)]
        begins = [sync["startedAt"] for sync in (three, two, one)]
        for params, expected in (
            ({"status": "complete"}, made),
            ({"status": "failed"}, []),
            ({"status": "in_progress"}, []),
            ({"connector": "demo"}, made),
            ({"connector": "amazon"}, []),
            ({"connector": "'; DROP TABLE sync_progress; --"}, []),
            ({"connectionId": first_id}, made[2:]),
            ({"connectionId": second_id}, made[:2]),
            ({"connectionId": "x"}, []),
            ({"from": "2020-01-01T00:00:00Z"}, made),
            ({"to": "2020-01-01T00:00:00Z"}, []),
            ({"from": begins[1]}, made[:2]),
            ({"from": begins[1].replace("Z", "+00:00")}, made[:2]),
            ({"connectionId": second_id, "status": "complete", "from": begins[1]}, made[:2]),
        ):
            page = await history(ann, **params)
            assert (ids(page["syncs"]), page["total"]) == (expected, len(expected)), params
        first = await history(ann, limit=1, connectionId=second_id)
        assert first["total"] == 2
        second = await history(ann, limit=1, connectionId=second_id, cursor=first["nextCursor"])
        assert (ids(second["syncs"]), second["nextCursor"]) == ([made[1]], None)


async def test_a_user_without_syncs_has_an_empty_history(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        assert await history(service.user()) == {"syncs": [], "total": 0, "nextCursor": None}


async def test_failed_records_are_listed_as_items_in_pages(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_BAD="10") as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        assert done["recordsFailed"] == 25
        path = f"/api/sync/history/{done['syncId']}/items"
        items = await pages(ann, path, "items", limit=10)
        assert [item["recordId"] for item in items] == [
            f"orders-{number:07}" for number in range(9, 250, 10)
        ]
        for item in items:
            assert set(item) == {"dataset", "recordId", "name", "outcome", "error", "at"}
            assert (item["dataset"], item["outcome"]) == ("orders", "failed")
            assert "Cannot be read" in item["error"]
        assert await pages(ann, path, "items", limit=7, status="failed") == items
        assert await pages(ann, path, "items", limit=5, dataset="orders") == items
        assert await pages(ann, path, "items", limit=5, dataset="inventory") == []
        assert await pages(ann, path, "items", limit=5, status="created") == []
        problem(await service.user("bob").get(path), 404, "not_found")


async def test_pages_of_records_span_connections(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_ORDERS="25") as service:
        ann = service.user()
        tokens = ("one", "two", "three")
        connections = [(await ann.connect(refreshToken=token))["id"] for token in tokens]
        for connection in (connections[0], connections[2]):
            done = await ann.whole_sync(connectionId=connection)
        expected = [
            (connection, f"orders-{number:07}")
            for connection in (connections[0], connections[2])
            for number in range(25)
        ]
        for limit in (1, 7, 25, 49, 50, 1000):
            records = await pages(ann, "/api/data/orders", "records", limit=limit)
            assert [(record["connectionId"], record["id"]) for record in records] == expected, limit
        assert records[-1]["data"] == {"id": "orders-0000024", "number": 24}
        assert records[-1]["syncId"] == done["syncId"]
        assert set(records[0]) == {"id", "connectionId", "syncId", "updatedAt", "data"}
        for connection, count in zip(connections, (25, 0, 25), strict=True):
            params = {"limit": 10, "connectionId": connection}
            assert len(await pages(ann, "/api/data/orders", "records", **params)) == count


async def test_the_data_of_a_forgotten_connection_is_kept_or_erased_on_request(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, DEMO_ORDERS="25") as service:
        ann = service.user()
        kept_id = (await ann.connect())["id"]
        erased_id = (await ann.connect(refreshToken="another"))["id"]
        for connection_id in (kept_id, erased_id):
            await ann.whole_sync(connectionId=connection_id)
        assert (await ann.http.delete(f"/api/connections/{kept_id}")).status_code == 204
        assert (
            await ann.http.delete(f"/api/connections/{erased_id}?data=erase")
        ).status_code == 204
        assert {record["connectionId"] for record in await ann.records("orders")} == {kept_id}
        assert len(await ann.records("orders")) == 25
        params = {"limit": 50, "connectionId": kept_id}
        assert len(await pages(ann, "/api/data/orders", "records", **params)) == 25
        params["connectionId"] = erased_id
        assert await pages(ann, "/api/data/orders", "records", **params) == []
        assert (await history(ann))["total"] == 2  # the syncs stay in the history


async def test_a_sync_says_how_long_it_waited_in_each_attempt(tmp_path: Path) -> None:
    """The source takes 30 s for each of four pages."""
    async with serve(tmp_path, FastClock(), DEMO_PAUSE="30") as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        whole = read(await ann.get(f"/api/sync/history/{done['syncId']}"))
        (attempt,) = whole["attempts"]
        (waited,) = whole["waited"]
        assert attempt["waited"] == [waited]
        assert waited["operation"] is None and 0 < waited["seconds"] <= 4 * 30
        assert "waited" not in done, "not in events"
