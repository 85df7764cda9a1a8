"""A clock that was wrong and is set right: the newest sync stays the newest, nothing waits long."""

import json
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Window
from service.errors import Overtaken
from service.progress import Coverage, window_to_read
from tests.service.api.answers import problem
from tests.service.clocks import FastClock
from tests.serving import Json, User, read, serve

pytestmark = pytest.mark.anyio

HOURLY = {"cron": "0 * * * *", "timezone": "UTC"}
NIGHT = {"cron": "0 2 * * *", "timezone": "UTC"}
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


async def history(user: User, **params: str) -> list[str]:
    listed = read(await user.get("/api/sync/history", params=params))["syncs"]
    return [each["syncId"] for each in listed]


async def newest(user: User) -> str:
    found: str = read(await user.get("/api/sync/status"))["syncId"]
    return found


@pytest.mark.parametrize("hours", [-2, -720])
async def test_the_newest_sync_stays_the_newest(tmp_path: Path, hours: int) -> None:
    clock = FastClock()
    made: list[str] = []
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await ann.connect()
        for _ in range(2):
            made.append((await ann.whole_sync())["syncId"])
            clock.jump(timedelta(hours=hours))
        made.append((await ann.whole_sync())["syncId"])
        assert await newest(ann) == made[-1]
    clock.jump(timedelta(hours=hours))
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        assert await newest(ann) == made[-1]
        made.append((await ann.whole_sync())["syncId"])
        assert await newest(ann) == made[-1]
        assert await history(ann) == sorted(made, reverse=True) == made[::-1]


async def test_each_sync_is_the_newest_when_it_starts(tmp_path: Path) -> None:
    """Whatever way the clock jumps, forward and back, with restarts between."""
    for number, jumps in enumerate(([720, -720, 0], [-48, 2, -2, -2], [1, -720, 720, -1])):
        clock = FastClock()
        made: list[str] = []
        for hours in jumps:
            async with serve(tmp_path / str(number), clock, RETENTION_DAYS="3650") as service:
                ann = service.user()
                if not made:
                    await ann.connect()
                for _ in range(2):
                    made.append((await ann.whole_sync())["syncId"])
                    assert await history(ann) == made[::-1]
                clock.jump(timedelta(hours=hours))


async def test_a_start_that_lost_a_race_is_refused_not_filed_below(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        store = service.parts.registry._store
        real = store.newest_id

        async def stale(user: str) -> str:  # asked before another sync started and ended
            found = await real(user)
            store.newest_id = real  # type: ignore[method-assign]
            clock_ahead = FastClock()
            clock_ahead.jump(timedelta(hours=1))
            service.parts.registry._clock = clock_ahead
            await ann.whole_sync()
            service.parts.registry._clock = FastClock()
            return found

        await ann.whole_sync()
        store.newest_id = stale  # type: ignore[method-assign]
        problem(await ann.post("/api/sync/start", {}), 409, Overtaken.code)
        assert len(await history(ann)) == 2


async def test_syncs_a_day_are_counted_by_when_they_started(tmp_path: Path) -> None:
    clock = FastClock(now=NOON)
    plans = json.dumps({"small": {"syncsPerDay": 2}})
    async with serve(tmp_path, clock, PLANS=plans) as service:
        ann = service.user("ann", plan="small")
        await ann.connect()
        clock.jump(timedelta(days=30))
        for _ in range(2):
            await ann.whole_sync()
        problem(await ann.post("/api/sync/start", {}), 403, "plan_limit")
        clock.jump(timedelta(days=-30))
        for _ in range(2):  # those of the wrong day do not count today,
            await ann.whole_sync()
        problem(await ann.post("/api/sync/start", {}), 403, "plan_limit")
        clock.jump(timedelta(days=1))  # nor does any of today count tomorrow
        await ann.whole_sync()


async def test_a_filter_by_time_finds_a_sync_whose_id_is_ahead(tmp_path: Path) -> None:
    clock = FastClock(now=NOON)
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await ann.connect()
        first = (await ann.whole_sync())["syncId"]
        clock.jump(timedelta(hours=-5))
        second = (await ann.whole_sync())["syncId"]
        assert await history(ann, to="2026-03-10T11:00:00Z") == [second]
        assert await history(ann, **{"from": "2026-03-10T11:00:00Z"}) == [first]
        assert await history(ann, **{"from": "2026-03-10T06:00:00Z"}) == [second, first]


async def test_the_audit_log_is_in_the_order_of_what_happened(tmp_path: Path) -> None:
    clock = FastClock()
    made: list[str] = []
    for _ in range(3):
        async with serve(tmp_path, clock) as service:
            ann = service.user()
            if not made:
                await ann.connect()
            made.append((await ann.whole_sync())["syncId"])
            found = read(await ann.get("/api/audit"))["entries"]
            told = [each["syncId"] for each in found if each["action"] == "completed"]
            assert told == made[::-1]
            clock.jump(timedelta(hours=-2))


async def test_retention_never_takes_the_newest(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock, RETENTION_DAYS="1") as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        clock.jump(timedelta(days=-60))
        second = (await ann.whole_sync())["syncId"]
        clock.jump(timedelta(days=90))
        with anyio.fail_after(20):
            while await history(ann) != [second]:
                await anyio.sleep(0.05)
        assert await newest(ann) == second


# Schedules -----------------------------------------------------------------------------------


async def scheduled(user: User, body: Json) -> str:
    connection: str = (await user.connect())["id"]
    path = f"/api/connections/{connection}"
    assert (await user.http.put(f"{path}/schedule", json=body)).status_code == 200
    return path


async def next_run_at(user: User, path: str) -> str:
    found: str = read(await user.get(path))["schedule"]["nextRunAt"]
    return found


async def test_a_schedule_does_not_wait_for_a_month_that_comes_again(tmp_path: Path) -> None:
    clock = FastClock(now=NOON)
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        path = await scheduled(ann, NIGHT)
        clock.jump(timedelta(days=-30))
        with anyio.fail_after(20):
            while not (await next_run_at(ann, path)).startswith("2026-02-09T02:00"):
                await anyio.sleep(0.05)
        clock.jump(timedelta(hours=15))
        with anyio.fail_after(20):
            while len(await history(ann)) < 1:
                await anyio.sleep(0.05)


@pytest.mark.parametrize("body", [NIGHT, HOURLY])
async def test_a_run_that_was_made_is_not_made_again(tmp_path: Path, body: Json) -> None:
    """The hour that comes again does not start the sync of that hour again."""
    clock = FastClock(now=datetime(2026, 3, 10, 1, 59, 30, tzinfo=UTC))
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        path = await scheduled(ann, body)
        clock.jump(timedelta(minutes=1))
        with anyio.fail_after(20):
            while len(await history(ann)) < 1:
                await anyio.sleep(0.05)
        due = await next_run_at(ann, path)
        clock.jump(timedelta(minutes=-15))
        await anyio.sleep(0.5)  # some rounds of the housekeeping,
        clock.jump(timedelta(minutes=15))  # and 02:00 comes for the second time
        await anyio.sleep(0.5)
        assert len(await history(ann)) == 1
        assert await next_run_at(ann, path) == due


# What is kept for a time ---------------------------------------------------------------------


async def test_a_key_is_not_kept_for_a_month_that_comes_again(tmp_path: Path) -> None:
    clock = FastClock(now=NOON)
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await ann.connect()
        headers = {"Idempotency-Key": "once"}
        begun = await ann.post("/api/sync/start", {}, headers=headers)
        first = read(begun)["syncId"]
        await ann.until(first)
        clock.jump(timedelta(days=-30))
        again = await ann.post("/api/sync/start", {}, headers=headers)
        assert read(again)["syncId"] == first, "a client that tries again gets its sync"
        await until(tmp_path, "SELECT MAX(at) < '2026-02-09' FROM idempotency_keys")
        clock.jump(timedelta(hours=25))
        later = await ann.post("/api/sync/start", {}, headers=headers)
        assert read(later)["syncId"] != first


async def until(folder: Path, sql: str) -> None:
    with anyio.fail_after(20):
        while True:
            with sqlite3.connect(folder / "sync.db") as database:
                found = database.execute(sql).fetchone()[0]
            database.close()
            if found:
                return
            await anyio.sleep(0.05)


async def test_a_ticket_of_the_future_is_not_good(tmp_path: Path) -> None:
    clock = FastClock(now=NOON)
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await ann.connect()
        sync_id = (await ann.whole_sync())["syncId"]
        ticket = read(await ann.post("/api/sse/ticket", {"syncId": sync_id}))["ticket"]
        clock.jump(timedelta(hours=-2))
        async with service.anonymous() as client:
            path = f"/api/sse/sync-progress/{sync_id}?ticket={ticket}"
            problem(await client.get(path), 401, "unauthenticated")


async def test_an_account_is_checked_again_although_the_last_check_is_to_come(
    tmp_path: Path,
) -> None:
    clock = FastClock(now=NOON)
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        clock.jump(timedelta(days=-30))
        await ann.whole_sync()
        kept = await service.parts.connections.find(connection)
        assert kept and kept.checked_at and kept.checked_at < NOON - timedelta(days=29)


# Windows -------------------------------------------------------------------------------------

DAYS = timedelta(days=1)
SPANS = st.timedeltas(timedelta(minutes=1), timedelta(days=90))


@given(st.timedeltas(timedelta(days=-60), timedelta(days=60)), SPANS, st.timedeltas(0 * DAYS, DAYS))
def test_a_window_begins_before_it_ends_and_before_what_is_believed(
    ahead: timedelta, reach: timedelta, overlap: timedelta
) -> None:
    """A watermark that lies in the future was set by a wrong clock: the whole reach is read."""
    known = Coverage(NOON - 2 * reach, NOON + ahead)
    window = window_to_read(reach, overlap, NOON, known)
    assert window.since < window.until == NOON
    assert window.since <= max(known.until - overlap, NOON - reach)
    if ahead > overlap:
        assert window == Window(NOON - reach, NOON)


async def test_a_watermark_of_the_future_is_replaced_by_a_true_one(tmp_path: Path) -> None:
    clock = FastClock(now=NOON + timedelta(days=30))
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        path = f"/api/connections/{(await ann.connect())['id']}/sync-status"
        await ann.whole_sync()
        clock.jump(timedelta(days=-30))
        assert read(await ann.get(path))["syncNeeded"]
        await ann.whole_sync()
        found = read(await ann.get(path))
        orders = next(each for each in found["datasets"] if each["name"] == "orders")
        assert orders["watermark"] < "2026-03-12", orders
        assert not found["syncNeeded"]
