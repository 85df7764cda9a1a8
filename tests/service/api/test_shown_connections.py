"""What a connection shows of its settings, status and activity; its name and its estimate."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pytest

from connectors.base import Connection, Plan, Window
from service.store.connections import UNDECRYPTABLE
from tests.service.api.answers import SLOW, fields, problem, replace_token
from tests.service.clocks import FastClock
from tests.service.scripted import scripted
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

CONNECTION = frozenset(
    {
        *("id", "connector", "name", "settings", "settingsTitles", "status", "statusSince"),
        *("statusReason", "accountId", "authorisedUntil", "schedule", "records", "lastSync"),
        *("liveSyncId", "reason", "createdAt", "checkedAt"),
    }
)


async def one(user: User, connection_id: str) -> Json:
    return read(await user.get(f"/api/connections/{connection_id}"))


# Settings and status ------------------------------------------------------------------------------


async def test_every_call_shows_a_connection_with_the_same_fields(service: Serving) -> None:
    ann = service.user()
    made = await ann.connect(region="eu")
    path = f"/api/connections/{made['id']}"
    shown = await one(ann, made["id"])
    assert shown["settings"] == {
        "region": "EU",
        "marketplaceIds": ["DEMO"],
        "environment": "production",
    }
    assert set(shown) == CONNECTION | shown["settings"].keys()
    assert shown["settings"].items() <= shown.items()
    assert (shown["settingsTitles"], shown["authorisedUntil"]) == ({}, None)
    assert shown["statusSince"] == shown["createdAt"]
    schedule = await ann.http.put(f"{path}/schedule", content="null")
    renamed = await ann.http.patch(path, json={"name": shown["name"]})
    (listed,) = read(await ann.get("/api/connections"))["connections"]
    assert made == {**shown, "sync": None}
    assert read(schedule) == read(renamed) == listed == shown
    again = read(await ann.post(f"{path}/reconnect", {"refreshToken": "good"}))
    assert set(again) == set(made)


async def test_the_status_has_the_time_since_when_and_the_reason(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        made = await ann.connect()
        clock.jump(timedelta(hours=2))
        await replace_token(service, made["id"])
        paused = await ann.until(await ann.start(), "paused")
        lost = await one(ann, made["id"])
        assert lost["status"] == "lost"
        assert lost["statusSince"] > made["statusSince"]
        assert lost["statusReason"] == lost["reason"] == paused["error"]["message"]
        clock.jump(timedelta(hours=2))
        await service.parts.connections.mark_lost(made["id"], "Refused again.")
        still = await one(ann, made["id"])
        assert still == {**lost, "statusReason": "Refused again.", "reason": "Refused again."}
        path = f"/api/connections/{made['id']}/reconnect"
        back = read(await ann.post(path, {"refreshToken": "good"}))
        assert (back["status"], back["statusReason"]) == ("connected", None)
        assert back["statusSince"] > lost["statusSince"]


async def test_a_connection_that_recovers_is_connected_since_then(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        made = await ann.connect()
        await ann.whole_sync()
        assert (await one(ann, made["id"]))["statusSince"] == made["statusSince"]
        await service.parts.connections.mark_lost(made["id"], UNDECRYPTABLE)
        lost = await one(ann, made["id"])
        clock.jump(timedelta(hours=2))
        await ann.whole_sync()  # the key is back
        shown = await one(ann, made["id"])
        assert shown["status"] == "connected"
        assert shown["statusSince"] > lost["statusSince"] > made["statusSince"]


# Activity -----------------------------------------------------------------------------------------


async def test_each_connection_shows_its_records_its_last_and_its_live_sync(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW | {"DEMO_ORDERS": "5"}) as service:
        ann, bob = service.user("ann"), service.user("bob")
        first, second = [(await ann.connect(refreshToken=name))["id"] for name in ("a", "b")]
        await bob.connect(refreshToken="a")
        done = await ann.whole_sync(connectionId=first)
        live = await ann.start(connectionId=second)
        shown = {row["id"]: row for row in read(await ann.get("/api/connections"))["connections"]}
        assert shown[first]["lastSync"] == {
            "syncId": done["syncId"],
            "status": "complete",
            "completedAt": done["completedAt"],
        }
        assert (shown[first]["records"], shown[first]["liveSyncId"]) == (6, None)
        assert (shown[second]["lastSync"], shown[second]["liveSyncId"]) == (None, live)
        await ann.post(f"/api/sync/cancel/{live}")
        ended = await one(ann, second)
        assert (ended["lastSync"]["status"], ended["liveSyncId"]) == ("cancelled", None)
        (other,) = read(await bob.get("/api/connections"))["connections"]
        assert (other["records"], other["lastSync"], other["liveSyncId"]) == (0, None, None)


async def test_a_started_first_sync_is_the_live_one(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        made = await service.user().connect(skipHistoricalSync=False)
        assert made["liveSyncId"] == made["sync"]["syncId"]


async def test_a_list_of_connections_takes_the_same_number_of_queries_at_any_length(
    service: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = service.user()
    engine = service.parts.activity._engine
    queries: list[str] = []

    def counting(name: str) -> Any:
        call = getattr(engine, name)

        async def counted(sql: str, *args: Any) -> Any:
            of_user = "user_id = :user" in sql  # not of the housekeeping
            if of_user and not sql.startswith("SELECT json_group_array"):  # of `fetch`
                queries.append(sql)
            return await call(sql, *args)

        return counted

    counts = []
    for tokens in ("a", "bcde"):
        for token in tokens:
            await ann.connect(refreshToken=token)
        with monkeypatch.context() as patched:
            for name in ("read", "fetch"):
                patched.setattr(engine, name, counting(name))
            queries.clear()
            await ann.get("/api/connections")
            counts.append(len(queries))
    assert counts == [2, 2]


# Names --------------------------------------------------------------------------------------------


async def test_a_name_of_the_user_outlives_a_reconnect(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = scripted(monkeypatch)
    async with serve(tmp_path) as service:
        ann = service.user()
        ids = [(await ann.connect(refreshToken=token))["id"] for token in ("a", "b")]
        renamed = read(await ann.http.patch(f"/api/connections/{ids[0]}", json={"name": " Mugs "}))
        assert renamed["name"] == "Mugs"
        script.store = "Another store"
        names = [
            read(await ann.post(f"/api/connections/{id}/reconnect", {"refreshToken": token}))
            for id, token in zip(ids, ("a2", "b2"), strict=True)
        ]
        assert [shown["name"] for shown in names] == ["Mugs", "Another store"]
        assert (await one(ann, ids[0]))["name"] == "Mugs"
        entries = read(await ann.get("/api/audit", params={"action": "renamed"}))["entries"]
        assert [(entry["connectionId"], entry["details"]["name"]) for entry in entries] == [
            (ids[0], "Mugs")
        ]


async def test_erased_data_includes_the_name(service: Serving) -> None:
    ann = service.user()
    connection_id = (await ann.connect())["id"]
    await ann.http.patch(f"/api/connections/{connection_id}", json={"name": "Ann's mugs"})
    path = f"/api/connections/{connection_id}?data=erase"
    assert (await ann.http.delete(path)).status_code == 204
    (entry,) = read(await ann.get("/api/audit", params={"action": "renamed"}))["entries"]
    assert "name" not in entry["details"]
    sql = "SELECT name, given_name FROM connections WHERE id = :id"
    (row,) = await service.parts.activity._engine.read(sql, {"id": connection_id})
    assert (row["name"], row["given_name"]) == ("", None)


INVALID = [
    *(({"name": name}, "name") for name in ("", "   ", "\u2003", "x" * 101, 5, None, ["x"])),
    *(({"name": name}, "name") for name in ("a\0b", "a\nb", "a\x85b", "a\u2028b")),
    ({}, "name"),
    ({"name": "Mugs", "region": "EU"}, "region"),
]


async def test_an_invalid_name_is_refused(service: Serving, subtests: pytest.Subtests) -> None:
    ann = service.user()
    before = await one(ann, (await ann.connect())["id"])
    path = f"/api/connections/{before['id']}"
    for body, field in INVALID:
        with subtests.test(body=body):
            answer = await ann.http.patch(path, content=msgspec.json.encode(body))
            assert fields(problem(answer, 422, "invalid")) == [field]
            assert await one(ann, before["id"]) == before


async def test_a_name_may_have_any_letters(service: Serving) -> None:
    ann = service.user()
    path = f"/api/connections/{(await ann.connect())['id']}"
    for name in ("x", "ü" * 100, "Tassen & Töpfe 👩\u200d💻", "'; DROP TABLE connections"):
        assert read(await ann.http.patch(path, json={"name": name}))["name"] == name
    problem(await ann.http.patch("/api/connections/conn_x", json={}), 404, "not_found")
    assert (await ann.http.patch(path, content=b"{")).status_code == 400


# Estimates ----------------------------------------------------------------------------------------


async def estimate(user: User, connection_id: str, **query: str) -> Json:
    path = f"/api/connections/{connection_id}/estimate"
    return read(await user.get(path, params=query))


async def test_an_estimate_is_that_of_the_slowest_dataset(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="10") as service:
        ann = service.user()
        connection_id = (await ann.connect())["id"]
        assert await estimate(ann, connection_id) == {"seconds": 30, "calls": 4}
        await replace_token(service, connection_id)  # the source is not called
        assert await estimate(ann, connection_id) == {"seconds": 30, "calls": 4}


async def test_an_estimate_plans_the_windows_that_a_start_reads(
    service: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    ann = service.user()
    connection_id = (await ann.connect())["id"]
    connector: Any = service.parts.sources.get("demo")
    plan, planned = connector.plan, []

    def recording(connection: Connection, windows: dict[str, Window]) -> Plan:
        planned.append(windows["orders"])
        result: Plan = plan(connection, windows)
        return result

    monkeypatch.setattr(connector, "plan", recording)
    span = {"since": "2026-01-01T00:00:00Z", "until": "2026-01-02T00:00:00+01:00"}
    for options in ({}, span):
        await estimate(ann, connection_id, **options)
        await ann.whole_sync(**options)
        estimated, read_by_sync = planned[-2:]
        for name in ("since", "until"):
            apart = abs(getattr(estimated, name) - getattr(read_by_sync, name))
            assert apart < timedelta(minutes=1)
    assert planned[-2] == planned[-1]


async def test_an_unknown_duration_is_null(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scripted(monkeypatch)
    async with serve(tmp_path) as service:
        ann = service.user()
        connection_id = (await ann.connect())["id"]
        assert await estimate(ann, connection_id) == {"seconds": None, "calls": None}


async def test_the_duration_is_unknown_without_usable_credentials(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        connection_id = (await ann.connect())["id"]
        assert (await estimate(ann, connection_id))["seconds"] == 0
    other = "b3RoZXIga2V5IHRoYXQgb25seSB0ZXN0cyBrbm93Li4="
    async with serve(tmp_path, SECRETS_KEYS=other) as service:
        assert (await estimate(service.user(), connection_id))["seconds"] is None


async def test_an_estimate_refuses_what_a_start_refuses(tmp_path: Path) -> None:
    plans = '{"default": {"historyDays": 30}}'
    async with serve(tmp_path, PLANS=plans) as service:
        ann = service.user(plan="default")
        path = f"/api/connections/{(await ann.connect())['id']}/estimate"
        for query, field in (
            ({"since": "yesterday"}, "since"),
            ({"until": "2026-01-01T00:00:00"}, "until"),
            ({"since": "2026-01-02T00:00:00Z", "until": "2026-01-01T00:00:00Z"}, "since"),
            ({"datasets": "orders"}, "datasets"),
        ):
            assert fields(problem(await ann.get(path, params=query), 422, "invalid")) == [field]
        long_ago = {"since": "2001-01-01T00:00:00Z"}
        problem(await ann.get(path, params=long_ago), 403, "plan_limit")
        problem(await ann.get("/api/connections/conn_x/estimate"), 404, "not_found")
