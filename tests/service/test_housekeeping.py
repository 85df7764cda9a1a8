"""Periodic work: scheduled syncs and retention."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.errors import Invalid
from service.schedules import ScheduleRequest, next_run, next_runs
from tests.service.api.answers import SLOW, problem
from tests.service.clocks import FastClock
from tests.serving import PATIENCE, Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

NIGHT = {"cron": "0 2 * * *", "timezone": "Europe/Berlin"}


async def history(user: User) -> list[Json]:
    syncs: list[Json] = read(await user.get("/api/sync/history"))["syncs"]
    return syncs


async def until_syncs(user: User, count: int) -> list[Json]:
    with anyio.fail_after(PATIENCE):
        while len(syncs := await history(user)) < count or syncs[0]["status"] == "in_progress":
            await anyio.sleep(0.02)
    return syncs


# Schedules -------------------------------------------------------------------------------------


async def test_a_schedule_starts_a_sync_at_its_time(tmp_path: Path) -> None:
    clock = FastClock(now=datetime(2026, 3, 1, 0, 30, tzinfo=UTC))
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        connection = await ann.connect()
        path = f"/api/connections/{connection['id']}"
        shown = read(await ann.http.put(f"{path}/schedule", json=NIGHT))
        runs = [f"2026-03-0{day}T01:00:00.000Z" for day in (1, 2)]
        times = {"nextRuns": runs, "nextRunAt": runs[0]}
        assert shown["schedule"] == {**NIGHT, "enabled": True, **times}
        clock.jump(timedelta(minutes=31))
        (sync,) = await until_syncs(ann, 1)
        assert sync["status"] == "complete"
        after = read(await ann.get(path))["schedule"]
        assert after["nextRunAt"] == "2026-03-02T01:00:00.000Z"
        audit = read(await ann.get("/api/audit", params={"action": "started"}))["entries"]
        assert [entry["actor"] for entry in audit] == ["schedule"]


async def test_a_disabled_schedule_is_kept_and_starts_no_sync(tmp_path: Path) -> None:
    clock = FastClock(now=datetime(2026, 3, 1, 0, 30, tzinfo=UTC))
    async with serve(tmp_path, clock) as service:
        ann, bob = service.user("ann"), service.user("bob")
        paths = {user: f"/api/connections/{(await user.connect())['id']}" for user in (ann, bob)}
        off = NIGHT | {"enabled": False}
        for user, path in paths.items():
            assert (await user.http.put(f"{path}/schedule", json=NIGHT)).status_code == 200
        shown = read(await ann.http.put(f"{paths[ann]}/schedule", json=off))["schedule"]
        assert shown == {**off, "nextRuns": [], "nextRunAt": None}
        clock.jump(timedelta(days=1))
        await until_syncs(bob, 1)
        assert await history(ann) == []
        assert read(await ann.get(paths[ann]))["schedule"] == shown
        status = read(await ann.get(f"{paths[ann]}/sync-status"))
        assert status["schedule"] == shown
        again = read(await ann.http.put(f"{paths[ann]}/schedule", json=NIGHT))["schedule"]
        assert (again["enabled"], len(again["nextRuns"])) == (True, 2)
        assert again["nextRunAt"] == again["nextRuns"][0]


def test_a_postponed_run_is_the_first_of_the_next_runs() -> None:
    at = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
    hourly = ScheduleRequest("0 * * * *").to_schedule(at, "")
    postponed = msgspec.structs.replace(hourly, next=at + timedelta(minutes=1))
    runs = next_runs(postponed, at)
    assert runs == [at + timedelta(minutes=1), at + timedelta(minutes=30)]
    late = next_runs(postponed, at + timedelta(hours=5))
    assert late == [at + timedelta(minutes=1), at + timedelta(hours=5, minutes=30)]


async def test_several_missed_runs_start_one_sync(tmp_path: Path) -> None:
    clock = FastClock(now=datetime(2026, 3, 1, 0, 30, tzinfo=UTC))
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        connection = await ann.connect()
        await ann.http.put(f"/api/connections/{connection['id']}/schedule", json=NIGHT)
    clock.jump(timedelta(days=5))
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        await until_syncs(ann, 1)
        clock.jump(timedelta(minutes=5))
        await anyio.sleep(0.5)  # some rounds of the housekeeping
        assert len(await history(ann)) == 1
        shown = read(await ann.get(f"/api/connections/{connection['id']}"))
        assert shown["schedule"]["nextRunAt"].startswith("2026-03-06T01:00")


async def test_a_scheduled_sync_waits_for_a_running_one(tmp_path: Path) -> None:
    clock = FastClock(now=datetime(2026, 3, 1, 0, 30, tzinfo=UTC))
    async with serve(tmp_path, clock, **SLOW | {"DEMO_PAUSE": "100"}) as service:
        ann = service.user()
        connection = await ann.connect()
        await ann.http.put(f"/api/connections/{connection['id']}/schedule", json=NIGHT)
        running = await ann.start()
        clock.jump(timedelta(hours=1))
        with anyio.fail_after(PATIENCE):
            while True:
                shown = read(await ann.get(f"/api/connections/{connection['id']}"))["schedule"]
                if not shown["nextRunAt"].startswith("2026-03-01T01:00"):
                    break
                await anyio.sleep(0.02)
        assert len(await history(ann)) == 1
        await ann.post(f"/api/sync/cancel/{running}")
        clock.jump(timedelta(minutes=2))
        with anyio.fail_after(PATIENCE):
            while len(await history(ann)) < 2:
                await anyio.sleep(0.02)


async def test_a_schedule_can_be_removed_and_ends_with_its_connection(tmp_path: Path) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        connection = await ann.connect()
        path = f"/api/connections/{connection['id']}"
        assert read(await ann.http.put(f"{path}/schedule", json=NIGHT))["schedule"]
        ended = await ann.http.put(f"{path}/schedule", content="null")
        assert read(ended)["schedule"] is None
        await ann.http.put(f"{path}/schedule", json=NIGHT)
        await ann.http.delete(path)
        later = datetime(2100, 1, 1, tzinfo=UTC)
        assert await service.parts.registry._connections.due(later) == []


INVALID = [
    ({"cron": "* * * *"}, "cron"),
    ({"cron": "0 0 30 2 *"}, "cron"),
    ({"cron": "0 2 * * * *"}, "cron"),
    ({"cron": "not a cron expression at"}, "cron"),
    ({"cron": "60 2 * * *"}, "cron"),
    ({"cron": "0 2 * * *", "timezone": "Mars/Olympus"}, "timezone"),
    ({"cron": "0 2 * * *", "timezone": "../etc/passwd"}, "timezone"),
    ({"cron": "0 2 * * *", "timezone": ""}, "timezone"),
    ({"cron": "0 2 * * *", "zone": "UTC"}, "zone"),
    ({"cron": "0 2 * * *", "enabled": None}, "enabled"),
    ({"cron": "60 2 * * *", "enabled": False}, "cron"),
    ({"cron": 5}, "cron"),
    ({}, "cron"),
]


async def test_an_invalid_schedule_is_refused_and_the_old_one_is_kept(
    service: Serving, subtests: pytest.Subtests
) -> None:
    ann = service.user()
    path = f"/api/connections/{(await ann.connect())['id']}"
    before = read(await ann.http.put(f"{path}/schedule", json=NIGHT))
    for body, field in INVALID:
        with subtests.test(body=body):
            refusal = problem(await ann.http.put(f"{path}/schedule", json=body), 422, "invalid")
            assert [error["field"] for error in refusal["errors"]] == [field]
            assert read(await ann.get(path)) == before


def test_a_schedule_follows_daylight_saving_time() -> None:
    schedule = ScheduleRequest("0 2 * * *", "Europe/Berlin")
    for day, hour in (
        (datetime(2026, 1, 10, tzinfo=UTC), 1),
        (datetime(2026, 7, 10, tzinfo=UTC), 0),
    ):
        run = schedule.to_schedule(day, "").next
        assert run is not None and run.hour == hour


@given(
    cron=st.sampled_from(
        ["* * * * *", "30 2 * * *", "0 0 1 * *", "15 3 29 2 *", "0 9 * * MON-FRI"]
    ),
    zone=st.sampled_from(["UTC", "Europe/Berlin", "America/New_York", "Asia/Kathmandu"]),
    now=st.datetimes(datetime(2025, 1, 1), datetime(2035, 1, 1)),
)
def test_each_run_is_later_than_the_one_before(cron: str, zone: str, now: datetime) -> None:
    """This also holds in the hours that daylight saving time skips or repeats."""
    at = now.replace(tzinfo=UTC)
    schedule = ScheduleRequest(cron, zone).to_schedule(at, "")
    for _ in range(3):
        later = next_run(schedule, at)
        assert at < later
        at = later


def test_day_names_are_valid_and_impossible_dates_are_not() -> None:
    weekly = ScheduleRequest("0 9 * * mon-fri").to_schedule(
        datetime(2026, 1, 2, 10, tzinfo=UTC), ""
    )
    assert weekly.next == datetime(2026, 1, 5, 9, tzinfo=UTC), "a Monday"
    with pytest.raises(Invalid):
        ScheduleRequest("0 0 31 4 *").to_schedule(datetime(2026, 1, 1, tzinfo=UTC), "")


# Retention -------------------------------------------------------------------------------------


async def test_retention_deletes_old_history_but_never_the_newest_sync(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock, DEMO_BAD="100") as service:
        ann, bob = service.user("ann"), service.user("bob")
        for user in (ann, bob):
            await user.connect()
        old = [(await ann.whole_sync())["syncId"] for _ in range(3)]
        only = (await bob.whole_sync())["syncId"]
        clock.jump(timedelta(days=29))
        with anyio.fail_after(PATIENCE):
            while len(await history(ann)) < 3:
                await anyio.sleep(0.02)
        clock.jump(timedelta(days=2))
        newer = (await ann.whole_sync())["syncId"]
        with anyio.fail_after(PATIENCE):
            while len(syncs := await history(ann)) > 1:
                clock.jump(timedelta(hours=1))
                await anyio.sleep(0.05)
        assert [sync["syncId"] for sync in syncs] == [newer]
        whole = read(await ann.get("/api/sync/history"))
        assert whole["total"] == 1
        for sync_id in old:
            problem(await ann.get(f"/api/sync/status/{sync_id}"), 404, "not_found")
        assert [sync["syncId"] for sync in await history(bob)] == [only]
        rows = await service.parts.store.items(old[0], None, None, 10, None)
        assert list(rows) == []
        assert len(await ann.records("orders")) == 248, "records are kept"


async def test_the_newest_sync_can_be_resumed_regardless_of_its_age(
    tmp_path: Path,
) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock, DEMO_PAUSE="1", DEMO_PAGE="50") as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        await ann.until_processed(sync_id, "orders", 50)
        await ann.post(f"/api/sync/cancel/{sync_id}")
        clock.jump(timedelta(days=100))
        await anyio.sleep(0.5)
        assert (await ann.post(f"/api/sync/resume/{sync_id}")).status_code == 202
        assert (await ann.until(sync_id))["status"] == "complete"


async def test_the_audit_log_is_kept_longer_than_the_history(tmp_path: Path) -> None:
    clock = FastClock()
    async with serve(tmp_path, clock, AUDIT_RETENTION_DAYS="60") as service:
        ann = service.user()
        await ann.connect()
        clock.jump(timedelta(days=59))
        await anyio.sleep(0.5)
        assert len(read(await ann.get("/api/audit"))["entries"]) == 1
        clock.jump(timedelta(days=2))
        with anyio.fail_after(PATIENCE):
            while read(await ann.get("/api/audit"))["entries"]:
                await anyio.sleep(0.02)
