"""What the service tells unasked, once each: claims that were found, claims that soon close, and
stale connections."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import pytest

from connectors.base import SourceError
from connectors.claims import Claim, Findings
from service.notices import Notices
from service.schedules import ScheduleRequest, twice_missed
from service.store import findings as storing
from service.store.engine import Engine
from tests.service.api.answers import TINY, problem
from tests.service.api.test_feeds import page, whole
from tests.service.api.test_recoveries import claim
from tests.service.clocks import FastClock, ManualClock
from tests.service.scripted import Script, scripted
from tests.serving import PATIENCE, Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

BEGIN = datetime(2026, 3, 1, 0, 30, tzinfo=UTC)
TODAY = BEGIN.date()
DAY = timedelta(days=1)


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch) -> Script:
    return scripted(monkeypatch)


async def events(service: Serving, user: User, type: str) -> list[Json]:
    return await whole(service, user, "/api/events", type=type)


async def until_events(service: Serving, user: User, type: str, count: int) -> list[Json]:
    with anyio.fail_after(PATIENCE):
        while len(found := await events(service, user, type)) < count:
            await anyio.sleep(0.02)
    return found


def lasting(number: int, **changes: Any) -> Claim:
    """A claim that closes in a year."""
    return claim(number, **{"closes": TODAY + 365 * DAY, "opens": TODAY - DAY} | changes)


# recovery.found -------------------------------------------------------------------------------


async def test_a_sync_tells_of_the_claims_that_were_not_known(
    tmp_path: Path, script: Script
) -> None:
    async with serve(tmp_path) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        script.findings = Findings(
            [
                lasting(1),
                lasting(2, amount="0.75"),
                lasting(3, amount=None),
                lasting(4, currency="EUR"),
                lasting(5, amount=None, currency=None),
            ],
            ran=["R1"],
        )
        first = await ann.whole_sync()
        (found,) = await events(service, ann, "recovery.found")
        assert found["data"] == {
            "syncId": first["syncId"],
            "connectionId": connection,
            "connector": "demo",
            "claims": 5,
            "totals": [
                {"currency": None, "claims": 1, "unvalued": 1, "amount": None},
                {"currency": "EUR", "claims": 1, "unvalued": 0, "amount": "10.50"},
                {"currency": "USD", "claims": 3, "unvalued": 1, "amount": "11.25"},
            ],
        }
        await ann.whole_sync()
        assert len(await events(service, ann, "recovery.found")) == 1, "all are known"
        script.findings = Findings([lasting(2), lasting(6)], ran=["R1"])
        third = await ann.whole_sync()
        _, later = await events(service, ann, "recovery.found")
        assert (later["data"]["syncId"], later["data"]["claims"]) == (third["syncId"], 1)
        script.findings = Findings([lasting(1), lasting(2)], ran=["R1"])
        await ann.whole_sync()
        assert len(await events(service, ann, "recovery.found")) == 2, (
            "1 was known before it closed"
        )
        types = [event["type"] for event in await whole(service, ann, "/api/events")]
        assert types[:3] == ["sync.started", "recovery.found", "sync.completed"]
        assert await events(service, service.user("bob"), "recovery.found") == []


async def test_claims_of_an_interrupted_detection_are_told_by_the_next_one(
    tmp_path: Path, script: Script, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first part was stored, then the sync ended: it told of nothing."""
    monkeypatch.setattr(storing, "ROWS_AT_ONCE", 2)
    async with serve(tmp_path) as service:
        ann = service.user()
        await ann.connect()
        script.findings = Findings([lasting(number) for number in range(4)], ran=["R1"])
        part, stop = storing._part, SourceError("the process was killed")

        def fails_later(sync: Any, chunk: Any, *rest: Any) -> Any:
            if any(getattr(item, "id", "") == lasting(2).id for item in chunk):
                raise stop
            return part(sync, chunk, *rest)

        monkeypatch.setattr(storing, "_part", fails_later)
        failed = await ann.whole_sync()
        assert failed["status"] != "complete"
        assert len(read(await ann.get("/api/recoveries"))["recoveries"]) == 2
        assert await events(service, ann, "recovery.found") == []
        monkeypatch.setattr(storing, "_part", part)
        done = await ann.whole_sync()
        (found,) = await events(service, ann, "recovery.found")
        assert (found["data"]["syncId"], found["data"]["claims"]) == (done["syncId"], 4)
        await ann.whole_sync()
        assert len(await events(service, ann, "recovery.found")) == 1


async def test_claims_of_another_connection_of_the_account_are_known(
    tmp_path: Path, script: Script
) -> None:
    script.check_names_account = True
    script.owners = {"good": "shop", "better": "shop"}
    script.findings = Findings([lasting(1)], ran=["R1"])
    async with serve(tmp_path) as service:
        ann = service.user()
        first = (await ann.connect())["id"]
        await ann.whole_sync()
        assert (await ann.http.delete(f"/api/connections/{first}")).status_code == 204
        await ann.connect(refreshToken="better")
        await ann.whole_sync()
        assert len(await events(service, ann, "recovery.found")) == 1


# recovery.closing -----------------------------------------------------------------------------


async def test_a_claim_is_told_once_before_it_closes(tmp_path: Path, script: Script) -> None:
    clock = FastClock(now=BEGIN)
    closes = TODAY + 10 * DAY
    script.findings = Findings([lasting(1, closes=closes), lasting(2)], ran=["R1"])
    async with serve(tmp_path, clock) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        await ann.whole_sync()
        clock.jump(2 * DAY)
        await ann.whole_sync()
        assert await events(service, ann, "recovery.closing") == [], "eight days are left"
        clock.jump(DAY)
        (told,) = await until_events(service, ann, "recovery.closing", 1)
        (shown,) = read(await ann.get("/api/recoveries", params={"q": "sku-1"}))["recoveries"]
        assert told["data"] == {
            "recoveryId": shown["id"],
            "connectionId": connection,
            "connector": "demo",
            "rule": "R1",
            "title": "Lost in the warehouse",
            "units": 1,
            "amount": "10.50",
            "currency": "USD",
            "opens": shown["opens"],
            "closes": closes.isoformat(),
        }
        await ann.whole_sync()  # stores the claim again
    clock.jump(DAY)
    async with serve(tmp_path, clock, STALE_AFTER="3600") as service:
        ann = service.user()
        await until_told_again(service, ann, clock)
        assert await events(service, ann, "recovery.closing") == [told], "not again after a restart"


async def until_told_again(service: Serving, user: User, clock: FastClock) -> None:
    """Until the housekeeping has looked again, as the stale connection of another user shows."""
    eve = service.user("eve")
    await eve.connect()
    await eve.whole_sync()
    clock.jump(timedelta(hours=2))
    await until_events(service, eve, "connection.stale", 1)


@pytest.mark.parametrize(
    "changes", [{"opens": TODAY + DAY}, {"closes": TODAY - DAY}, {"settled": 1}]
)
async def test_claims_that_cannot_be_filed_are_not_told(
    tmp_path: Path, script: Script, changes: dict[str, Any]
) -> None:
    clock = ManualClock(BEGIN)
    settled = [lasting(1).id] if changes.pop("settled", None) else []
    near = lasting(1, **{"closes": TODAY + 3 * DAY} | changes)
    async with serve(tmp_path, FastClock(0.001, now=BEGIN)) as service:
        ann = service.user()
        await ann.connect()
        script.findings = Findings([near, lasting(2, closes=TODAY + 7 * DAY)], ran=["R1"])
        await ann.whole_sync()
        if settled:
            script.findings = Findings([], ran=[], settled=settled)
            await ann.whole_sync()
        woken: list[str] = []
        await tell(service, clock, woken)
        (told,) = await events(service, ann, "recovery.closing")
        assert told["data"]["closes"] == (TODAY + 7 * DAY).isoformat()
        assert len(woken) == 1


async def tell(service: Serving, clock: ManualClock, woken: list[str]) -> None:
    engine: Engine = service.parts.changes._engine
    notices = Notices(engine, clock, 2 * DAY, woken.append)
    await notices.publish()


async def test_several_processes_tell_each_claim_once(tmp_path: Path, script: Script) -> None:
    script.findings = Findings(
        [lasting(number, closes=TODAY + 6 * DAY) for number in range(500)], ran=["R1"]
    )
    async with serve(tmp_path, FastClock(0.001, now=BEGIN)) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(tell, service, ManualClock(BEGIN), [])
        await tell(service, ManualClock(BEGIN), [])  # what a process left to the others
        told = await events(service, ann, "recovery.closing")
        assert len(told) == len({event["data"]["recoveryId"] for event in told}) == 500
        assert len({event["id"] for event in told}) == 500
        later = ManualClock(BEGIN + 3 * DAY)
        await tell(service, later, [])
        assert len(await events(service, ann, "recovery.closing")) == 500


async def test_claims_of_removed_connections_are_not_told(tmp_path: Path, script: Script) -> None:
    script.findings = Findings([lasting(1, closes=TODAY + 3 * DAY)], ran=["R1"])
    async with serve(tmp_path, FastClock(0.001, now=BEGIN)) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        await ann.whole_sync()
        await ann.http.delete(f"/api/connections/{connection}")
        await tell(service, ManualClock(BEGIN + 3 * DAY), [])
        types = {event["type"] for event in await whole(service, ann, "/api/events")}
        assert types == {"sync.started", "recovery.found", "sync.completed"}


# connection.stale -----------------------------------------------------------------------------


async def test_a_connection_without_a_schedule_is_stale_after_a_while(tmp_path: Path) -> None:
    clock = FastClock(now=BEGIN)
    async with serve(tmp_path, clock, STALE_AFTER="86400", **TINY) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        done = await ann.whole_sync()
        clock.jump(timedelta(hours=20))
        await service.user("bob").connect()
        assert await events(service, ann, "connection.stale") == []
        clock.jump(timedelta(hours=5))
        (told,) = await until_events(service, ann, "connection.stale", 1)
        since = datetime.fromisoformat(done["completedAt"]) + DAY
        assert told["data"] == {
            "connectionId": connection,
            "lastCompletedAt": done["completedAt"],
            "staleSince": f"{since:%Y-%m-%dT%H:%M:%S}.{since.microsecond // 1000:03}Z",
        }
        assert await events(service, service.user("bob"), "connection.stale") == []
    clock.jump(timedelta(hours=5))
    async with serve(tmp_path, clock, STALE_AFTER="86400", **TINY) as service:
        ann, bob = service.user(), service.user("bob")
        clock.jump(DAY)
        (never,) = await until_events(service, bob, "connection.stale", 1)
        assert never["data"]["lastCompletedAt"] is None, "bob has never synced"
        assert await events(service, ann, "connection.stale") == [told], "once"
        await ann.whole_sync()
        clock.jump(2 * DAY)
        assert len(await until_events(service, ann, "connection.stale", 2)) == 2
        _, headers = await page(ann, "/api/events", type="connection.stale")
        assert headers["stream-up-to-date"] == "true"


async def test_a_schedule_decides_when_its_connection_is_stale(tmp_path: Path) -> None:
    """Its syncs fail; the setting does not count."""
    async with serve(tmp_path, FastClock(0.001, now=BEGIN), **TINY) as service:
        ann = service.user()
        connection = (await ann.connect())["id"]
        hourly = {"cron": "0 * * * *", "timezone": "UTC"}
        await ann.http.put(f"/api/connections/{connection}/schedule", json=hourly)
        await ann.whole_sync()
        await tell(service, ManualClock(BEGIN + timedelta(minutes=119)), [])
        assert await events(service, ann, "connection.stale") == []
        woken: list[str] = []
        async with anyio.create_task_group() as group:
            for _ in range(4):
                group.start_soon(tell, service, ManualClock(BEGIN + timedelta(minutes=121)), woken)
        assert len(await events(service, ann, "connection.stale")) == len(woken) == 1
        weekly = {"cron": "0 1 * * 1", "timezone": "UTC"}
        await ann.http.put(f"/api/connections/{connection}/schedule", json=weekly)
        await ann.whole_sync()
        await tell(service, ManualClock(BEGIN + 13 * DAY), [])
        assert len(await events(service, ann, "connection.stale")) == 1
        disabled = weekly | {"enabled": False}
        await ann.http.put(f"/api/connections/{connection}/schedule", json=disabled)
        await tell(service, ManualClock(BEGIN + 3 * DAY), [])
        assert len(await events(service, ann, "connection.stale")) == 2


@pytest.mark.parametrize(
    ("cron", "last", "stale"),
    [
        ("0 2 * * *", "2026-03-02T02:10", "2026-03-04T02:10"),
        ("0 2 * * *", "2026-03-02T20:00", "2026-03-04T20:00"),
        ("0 9 * * MON-FRI", "2026-03-06T09:10", "2026-03-10T09:00"),
        ("0 9 * * MON-FRI", "2026-03-05T09:10", "2026-03-09T09:10"),
        ("*/10 * * * *", "2026-03-02T02:01", "2026-03-02T02:21"),
    ],
)
def test_two_runs_and_two_intervals_must_have_passed(cron: str, last: str, stale: str) -> None:
    schedule = ScheduleRequest(cron).to_schedule(BEGIN, "")
    since = datetime.fromisoformat(f"{last}Z")
    assert twice_missed(schedule, since) == datetime.fromisoformat(f"{stale}Z")


async def test_an_unknown_type_of_events_is_refused_and_names_the_types(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        answer = await service.user().get("/api/events", params={"type": "recovery.lost"})
        (error,) = problem(answer, 422, "invalid")["errors"]
        for name in ("recovery.found", "recovery.closing", "connection.stale", "connection.lost"):
            assert name in error["message"]
