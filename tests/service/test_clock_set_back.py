"""A clock that was ahead is set back: the newest sync stays the newest, and no task waits long."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Window
from service.errors import Overtaken
from service.progress import Coverage, window_to_read
from tests.databases import DATABASES
from tests.service.api.answers import problem
from tests.service.clocks import FastClock
from tests.serving import PATIENCE, Json, User, read, serve

pytestmark = pytest.mark.anyio

HOURLY = {"cron": "0 * * * *", "timezone": "UTC"}
NIGHT = {"cron": "0 2 * * *", "timezone": "UTC"}
NOON = datetime(2026, 3, 10, 12, 0, tzinfo=UTC)


async def history(user: User, **params: str) -> list[str]:
    listed = read(await user.get("/api/sync/history", params=params))["syncs"]
    return [sync["syncId"] for sync in listed]


async def newest(user: User) -> str:
    sync_id: str = read(await user.get("/api/sync/status"))["syncId"]
    return sync_id


@pytest.mark.parametrize("hours", [-2, -720])
async def test_the_newest_sync_stays_the_newest_after_a_clock_change(
    tmp_path: Path, hours: int
) -> None:
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
    """The clock jumps forward and back, with restarts between."""
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


async def test_a_start_that_lost_a_race_is_refused(tmp_path: Path) -> None:
    """Its id would sort before the id of the winner, in the wrong place of the history."""
    clock = FastClock()
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await ann.connect()
        store = service.parts.store
        newest_id = store.newest_id

        async def stale_newest_id(user: str) -> str:  # read before another sync started and ended
            newest = await newest_id(user)
            store.newest_id = newest_id  # type: ignore[method-assign]
            clock.jump(timedelta(hours=1))
            await ann.whole_sync()
            clock.jump(timedelta(hours=-1))
            return newest

        await ann.whole_sync()
        store.newest_id = stale_newest_id  # type: ignore[method-assign]
        problem(await ann.post("/api/sync/start", {}), 409, Overtaken.code)
        assert len(await history(ann)) == 2


async def test_syncs_a_day_are_counted_by_their_start_time(tmp_path: Path) -> None:
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
        for _ in range(2):  # syncs of the wrong day do not count today
            await ann.whole_sync()
        problem(await ann.post("/api/sync/start", {}), 403, "plan_limit")
        clock.jump(timedelta(days=1))  # syncs of today do not count tomorrow
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


async def test_the_audit_log_is_in_the_order_of_events(tmp_path: Path) -> None:
    clock = FastClock()
    made: list[str] = []
    for _ in range(3):
        async with serve(tmp_path, clock) as service:
            ann = service.user()
            if not made:
                await ann.connect()
            made.append((await ann.whole_sync())["syncId"])
            entries = read(await ann.get("/api/audit"))["entries"]
            completed = [entry["syncId"] for entry in entries if entry["action"] == "completed"]
            assert completed == made[::-1]
            clock.jump(timedelta(hours=-2))


async def test_retention_never_deletes_the_newest_sync(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock, RETENTION_DAYS="1") as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        clock.jump(timedelta(days=-60))
        second = (await ann.whole_sync())["syncId"]
        clock.jump(timedelta(days=90))
        with anyio.fail_after(PATIENCE):
            while await history(ann) != [second]:
                await anyio.sleep(0.05)
        assert await newest(ann) == second


# Schedules -----------------------------------------------------------------------------------


async def add_schedule(user: User, body: Json) -> str:
    connection: str = (await user.connect())["id"]
    path = f"/api/connections/{connection}"
    assert (await user.http.put(f"{path}/schedule", json=body)).status_code == 200
    return path


async def next_run_at(user: User, path: str) -> str:
    next_run: str = read(await user.get(path))["schedule"]["nextRunAt"]
    return next_run


async def test_a_schedule_does_not_wait_until_a_repeated_month_has_passed(tmp_path: Path) -> None:
    clock = FastClock(now=NOON)
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        path = await add_schedule(ann, NIGHT)
        clock.jump(timedelta(days=-30))
        with anyio.fail_after(PATIENCE):
            while not (await next_run_at(ann, path)).startswith("2026-02-09T02:00"):
                await anyio.sleep(0.05)
        clock.jump(timedelta(hours=15))
        with anyio.fail_after(PATIENCE):
            while len(await history(ann)) < 1:
                await anyio.sleep(0.05)


@pytest.mark.parametrize("body", [NIGHT, HOURLY])
async def test_a_scheduled_run_is_not_repeated(tmp_path: Path, body: Json) -> None:
    """An hour that the clock repeats does not start its sync twice."""
    clock = FastClock(now=datetime(2026, 3, 10, 1, 0, tzinfo=UTC))
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        path = await add_schedule(ann, body)
        clock.jump(timedelta(minutes=61))
        with anyio.fail_after(PATIENCE):
            while len(await history(ann)) < 1:
                await anyio.sleep(0.05)
        due = await next_run_at(ann, path)
        clock.jump(timedelta(minutes=-15))
        await anyio.sleep(0.5)  # some rounds of the housekeeping
        clock.jump(timedelta(minutes=15))  # 02:00 for the second time
        await anyio.sleep(0.5)
        assert len(await history(ann)) == 1
        assert await next_run_at(ann, path) == due


# Keys, tickets and checks that expire ----------------------------------------------------------


async def test_a_key_is_not_stored_for_a_repeated_month(tmp_path: Path) -> None:
    clock = FastClock(now=NOON)
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await ann.connect()
        headers = {"Idempotency-Key": "once"}
        answer = await ann.post("/api/sync/start", {}, headers=headers)
        first = read(answer)["syncId"]
        await ann.until(first)
        clock.jump(timedelta(days=-30))
        again = await ann.post("/api/sync/start", {}, headers=headers)
        assert read(again)["syncId"] == first, "a client that retries gets its sync"
        await wait_until(tmp_path, "SELECT MAX(at) < '2026-02-09' FROM idempotency_keys")
        clock.jump(timedelta(hours=25))
        later = await ann.post("/api/sync/start", {}, headers=headers)
        assert read(later)["syncId"] != first


async def wait_until(folder: Path, sql: str) -> None:
    with anyio.fail_after(PATIENCE):
        while True:
            with DATABASES.opened(folder) as database:
                result = database.execute(sql).fetchone()[0]
            if result:
                return
            await anyio.sleep(0.05)


async def test_a_ticket_issued_in_the_future_is_refused(tmp_path: Path) -> None:
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


async def test_an_account_is_checked_again_if_the_last_check_is_in_the_future(
    tmp_path: Path,
) -> None:
    clock = FastClock(now=NOON)
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        clock.jump(timedelta(days=-30))
        await ann.whole_sync()
        stored = await service.parts.connections.find(connection)
        assert stored and stored.checked_at and stored.checked_at < NOON - timedelta(days=29)


# Windows -------------------------------------------------------------------------------------

DAYS = timedelta(days=1)
SPANS = st.timedeltas(timedelta(minutes=1), timedelta(days=90))


@given(st.timedeltas(timedelta(days=-60), timedelta(days=60)), SPANS, st.timedeltas(0 * DAYS, DAYS))
def test_a_window_is_not_empty_and_overlaps_the_coverage(
    ahead: timedelta, reach: timedelta, overlap: timedelta
) -> None:
    """A watermark in the future comes from a wrong clock, so the whole reach is read."""
    coverage = Coverage(NOON - 2 * reach, NOON + ahead)
    window = window_to_read(reach, overlap, NOON, coverage)
    assert window.since < window.until == NOON
    assert window.since <= max(coverage.until - overlap, NOON - reach)
    if ahead > overlap:
        assert window == Window(NOON - reach, NOON)


async def test_a_watermark_in_the_future_is_replaced_by_the_true_one(tmp_path: Path) -> None:
    clock = FastClock(now=NOON + timedelta(days=30))
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        path = f"/api/connections/{(await ann.connect())['id']}/sync-status"
        await ann.whole_sync()
        clock.jump(timedelta(days=-30))
        assert read(await ann.get(path))["syncNeeded"]
        await ann.whole_sync()
        status = read(await ann.get(path))
        orders = next(d for d in status["datasets"] if d["name"] == "orders")
        assert orders["watermark"] < "2026-03-12", orders
        assert not status["syncNeeded"]
