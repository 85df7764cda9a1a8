"""What has been: pages of syncs, of items and of records."""

from pathlib import Path
from typing import Any

import pytest

from tests.service.api.answers import TINY, problem
from tests.service.api.test_syncs import check_status
from tests.serving import Json, User, read, serve

pytestmark = pytest.mark.anyio


async def history(user: User, **params: Any) -> Json:
    answer = await user.get("/api/sync/history", params=params)
    assert answer.status_code == 200, answer.text
    return read(answer)


async def pages(user: User, path: str, of: str, **params: Any) -> list[Json]:
    """Every page's entries, after each other."""
    found: list[Json] = []
    while True:
        page = read(await user.get(path, params=params))
        found += page[of]
        assert len(page[of]) <= params["limit"]
        if page["nextCursor"] is None:
            return found
        assert len(page[of]) == params["limit"]
        params["cursor"] = page["nextCursor"]


def ids(syncs: list[Json]) -> list[str]:
    return [each["syncId"] for each in syncs]


async def test_pages_make_up_the_whole_and_stay_while_new_syncs_arrive(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann, bob = service.user("ann"), service.user("bob")
        await ann.connect()
        await bob.connect()
        await bob.whole_sync()
        made = [(await ann.whole_sync())["syncId"] for _ in range(7)][::-1]
        whole = await history(ann)
        assert ids(whole["syncs"]) == made
        assert (whole["total"], whole["nextCursor"]) == (7, None)
        for each in whole["syncs"]:
            assert check_status(each) == await ann.status(each["syncId"])
            one = read(await ann.get(f"/api/sync/history/{each['syncId']}"))
            assert one.pop("attempts") and one == each
        first = await history(ann, limit=3)
        assert (ids(first["syncs"]), first["total"]) == (made[:3], 7)
        newer = await ann.whole_sync()
        second = await history(ann, limit=3, cursor=first["nextCursor"])
        assert (ids(second["syncs"]), second["total"]) == (made[3:6], None)
        last = await history(ann, limit=3, cursor=second["nextCursor"])
        assert (ids(last["syncs"]), last["nextCursor"]) == (made[6:], None)
        for limit in (1, 2, 4, 8):
            found = await pages(ann, "/api/sync/history", "syncs", limit=limit)
            assert ids(found) == [newer["syncId"], *made]
        # By number: no page beyond the last, and a cursor that goes on from there.
        page = await history(ann, limit=3, offset=3)
        assert (ids(page["syncs"]), page["total"]) == (made[2:5], 8)
        after = await history(ann, limit=3, cursor=page["nextCursor"])
        assert ids(after["syncs"]) == made[5:]
        beyond = await history(ann, offset=10_000)
        assert (beyond["syncs"], beyond["total"], beyond["nextCursor"]) == ([], 8, None)


async def test_filters_narrow_the_history_and_its_total(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        here = (await ann.connect())["id"]
        there = (await ann.connect(region="EU", refreshToken="another"))["id"]
        one = await ann.whole_sync(connectionId=here)
        two = await ann.whole_sync(connectionId=there)
        three = await ann.whole_sync(connectionId=there)
        made = [each["syncId"] for each in (three, two, one)]
        begins = [each["startedAt"] for each in (three, two, one)]
        for params, wanted in (
            ({"status": "complete"}, made),
            ({"status": "failed"}, []),
            ({"status": "in_progress"}, []),
            ({"connector": "demo"}, made),
            ({"connector": "amazon"}, []),
            ({"connector": "'; DROP TABLE sync_progress; --"}, []),
            ({"connectionId": here}, made[2:]),
            ({"connectionId": there}, made[:2]),
            ({"connectionId": "x"}, []),
            ({"from": "2020-01-01T00:00:00Z"}, made),
            ({"to": "2020-01-01T00:00:00Z"}, []),
            ({"from": begins[1]}, made[:2]),
            ({"from": begins[1].replace("Z", "+00:00")}, made[:2]),
            ({"connectionId": there, "status": "complete", "from": begins[1]}, made[:2]),
        ):
            found = await history(ann, **params)
            assert (ids(found["syncs"]), found["total"]) == (wanted, len(wanted)), params
        first = await history(ann, limit=1, connectionId=there)
        assert first["total"] == 2
        second = await history(ann, limit=1, connectionId=there, cursor=first["nextCursor"])
        assert (ids(second["syncs"]), second["nextCursor"]) == ([made[1]], None)


async def test_a_user_without_syncs_has_an_empty_history(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        assert await history(service.user()) == {"syncs": [], "total": 0, "nextCursor": None}


async def test_failed_records_are_items_in_pages(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_BAD="10") as service:
        ann = service.user()
        await ann.connect()
        done = await ann.whole_sync()
        assert done["recordsFailed"] == 25
        path = f"/api/sync/history/{done['syncId']}/items"
        items = await pages(ann, path, "items", limit=10)
        assert [each["recordId"] for each in items] == [
            f"orders-{number:07}" for number in range(9, 250, 10)
        ]
        for each in items:
            assert set(each) == {"dataset", "recordId", "name", "outcome", "error", "at"}
            assert (each["dataset"], each["outcome"]) == ("orders", "failed")
            assert "Cannot be read" in each["error"]
        assert await pages(ann, path, "items", limit=7, status="failed") == items
        assert await pages(ann, path, "items", limit=5, dataset="orders") == items
        assert await pages(ann, path, "items", limit=5, dataset="inventory") == []
        assert await pages(ann, path, "items", limit=5, status="created") == []
        problem(await service.user("bob").get(path), 404, "not_found")


async def test_records_come_in_pages_across_connections(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_ORDERS="25") as service:
        ann = service.user()
        tokens = ("one", "two", "three")
        connections = [(await ann.connect(refreshToken=each))["id"] for each in tokens]
        for each in (connections[0], connections[2]):
            done = await ann.whole_sync(connectionId=each)
        wanted = [
            (connection, f"orders-{number:07}")
            for connection in (connections[0], connections[2])
            for number in range(25)
        ]
        for limit in (1, 7, 25, 49, 50, 1000):
            found = await pages(ann, "/api/data/orders", "records", limit=limit)
            assert [(each["connectionId"], each["id"]) for each in found] == wanted, limit
        assert found[-1]["data"] == {"id": "orders-0000024", "number": 24}
        assert found[-1]["syncId"] == done["syncId"]
        assert set(found[0]) == {"id", "connectionId", "syncId", "updatedAt", "data"}
        for connection, count in zip(connections, (25, 0, 25), strict=True):
            of = {"limit": 10, "connectionId": connection}
            assert len(await pages(ann, "/api/data/orders", "records", **of)) == count


async def test_what_is_forgotten_is_kept_or_erased_as_asked(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_ORDERS="25") as service:
        ann = service.user()
        kept = (await ann.connect())["id"]
        erased = (await ann.connect(refreshToken="another"))["id"]
        for each in (kept, erased):
            await ann.whole_sync(connectionId=each)
        assert (await ann.http.delete(f"/api/connections/{kept}")).status_code == 204
        assert (await ann.http.delete(f"/api/connections/{erased}?data=erase")).status_code == 204
        assert {each["connectionId"] for each in await ann.records("orders")} == {kept}
        assert len(await ann.records("orders")) == 25
        of = {"limit": 50, "connectionId": kept}
        assert len(await pages(ann, "/api/data/orders", "records", **of)) == 25
        of["connectionId"] = erased
        assert await pages(ann, "/api/data/orders", "records", **of) == []
        assert (await history(ann))["total"] == 2  # that it was is not forgotten
