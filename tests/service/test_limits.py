"""Limits: of a tenant, of a plan, of requests; and fair turns for those who wait."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path

import anyio
import msgspec
import pytest

from service.errors import StartupError
from service.model import Options, Sync
from service.plans import Plan, read_plans
from service.runner.runner import Runner
from tests.service.api.answers import SLOW, problem
from tests.service.clocks import FastClock
from tests.service.test_model import new_sync
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

PLANS = '{"free": {"syncsPerDay": 2, "historyDays": 30, "concurrency": 1}, "pro": {}}'


async def connected(service: Serving, name: str = "ann", **claims: str) -> User:
    user = service.user(name, **claims)
    await user.connect()
    return user


def span(status: Json, dataset: str = "orders") -> timedelta:
    window = next(each for each in status["datasets"] if each["name"] == dataset)["window"]
    since, until = (datetime.fromisoformat(window[end]) for end in ("since", "until"))
    return until - since


# Plans -----------------------------------------------------------------------------------------


async def test_a_plan_allows_so_many_syncs_a_day(tmp_path: Path) -> None:
    clock = FastClock(now=datetime(2026, 3, 1, 23, 0, tzinfo=UTC))
    async with serve(tmp_path, clock, PLANS=PLANS) as service:
        ann = await connected(service, plan="free")
        for _ in range(2):
            await ann.whole_sync()
        refused = await ann.post("/api/sync/start")
        body = problem(refused, 403, "plan_limit")
        assert (body["limit"], body["allowed"]) == ("syncsPerDay", 2)
        assert 0 < int(refused.headers["retry-after"]) <= 3600, "until midnight in UTC"
        assert read(await ann.get("/api/sync/history"))["total"] == 2
        clock.jump(timedelta(hours=1))
        assert (await ann.whole_sync())["status"] == "complete"


async def test_another_plan_and_an_unknown_one_have_no_such_limit(tmp_path: Path) -> None:
    async with serve(tmp_path, PLANS=PLANS) as service:
        for name in ("pro", "gold"):
            user = await connected(service, name, plan=name)
            for _ in range(3):
                await user.whole_sync()


async def test_a_plan_reaches_back_so_many_days(tmp_path: Path) -> None:
    async with serve(tmp_path, PLANS=PLANS) as service:
        ann = await connected(service, plan="free")
        assert span(await ann.whole_sync()) == timedelta(days=30)
        since = (datetime.now(UTC) - timedelta(days=31)).isoformat()
        body = problem(await ann.post("/api/sync/start", {"since": since}), 403, "plan_limit")
        assert body["limit"] == "historyDays"
        since = (datetime.now(UTC) - timedelta(days=29)).isoformat()
        assert (await ann.whole_sync(since=since))["status"] == "complete"


async def test_a_plan_has_so_many_live_syncs_of_a_tenant(tmp_path: Path) -> None:
    async with serve(tmp_path, PLANS=PLANS, **SLOW) as service:
        ann = await connected(service, "ann", tenant="acme", plan="free")
        bob = await connected(service, "bob", tenant="acme", plan="free")
        sync_id = await ann.start()
        refused = await bob.post("/api/sync/start")
        problem(refused, 429, "too_many_syncs")
        assert int(refused.headers["retry-after"]) > 0
        await ann.post(f"/api/sync/cancel/{sync_id}")
        await bob.start()


async def test_a_downgrade_ends_no_running_sync(tmp_path: Path) -> None:
    async with serve(tmp_path, PLANS=PLANS, DEMO_PAUSE="0.05") as service:
        ann = await connected(service, "ann", plan="pro")
        sync_id = await ann.start()
        less = Serving(service.url, service.parts, {}).user("ann", plan="free")
        assert (await less.until(sync_id))["status"] == "complete"
        await less.http.aclose()


@pytest.mark.parametrize(
    "text",
    [
        "[]",
        "{",
        '{"free": {"syncsPerDay": -1}}',
        '{"free": {"other": 1}}',
        '{"a": {"concurrency": 0}}',
    ],
)
def test_plans_that_cannot_be_are_told(text: str) -> None:
    with pytest.raises(StartupError, match="PLANS must be JSON like"):
        read_plans(text)


def test_no_plans_are_no_limits() -> None:
    assert read_plans("") == {} and read_plans('{"pro": {}}') == {"pro": Plan()}


async def test_a_resume_too_is_held_to_the_limit_of_the_tenant(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_SYNCS_PER_TENANT="1", **SLOW) as service:
        ann = await connected(service, "ann", tenant="acme")
        bob = await connected(service, "bob", tenant="acme")
        sync_id = await ann.start()
        await ann.post(f"/api/sync/cancel/{sync_id}")
        await bob.start()
        problem(await ann.post(f"/api/sync/resume/{sync_id}"), 429, "too_many_syncs")
        assert (await ann.status(sync_id))["status"] == "cancelled"


# Request rates ---------------------------------------------------------------------------------


async def test_a_user_may_ask_so_often_and_another_is_not_held_back(tmp_path: Path) -> None:
    clock = FastClock(speed=0.001)
    async with serve(tmp_path, clock, MAX_REQUESTS_PER_MINUTE="5") as service:
        ann, bob = service.user("ann"), service.user("bob")
        for _ in range(5):
            assert (await ann.get("/api/connections")).status_code == 200
        refused = await ann.get("/api/connections")
        problem(refused, 429, "too_many_requests")
        assert refused.headers["retry-after"] == "12"
        assert (await bob.get("/api/connections")).status_code == 200
        clock.jump(timedelta(seconds=12))
        assert (await ann.get("/api/connections")).status_code == 200
        assert (await ann.get("/api/connections")).status_code == 429


async def test_a_clock_that_is_set_back_locks_nobody_out(tmp_path: Path) -> None:
    clock = FastClock(speed=0.001)
    async with serve(tmp_path, clock, MAX_REQUESTS_PER_MINUTE="2") as service:
        ann = service.user()
        await ann.get("/api/connections")
        clock.jump(timedelta(days=-400))
        assert (await ann.get("/api/connections")).status_code == 200


# Turns -----------------------------------------------------------------------------------------


async def test_waiting_tenants_take_turns_however_many_syncs_each_has() -> None:
    order = await _order([("big", 0)] * 6 + [("small", 0)] + [("other", 0)], at_once=2)
    assert order.index("small-6") < 4 and order.index("other-7") < 5, order


async def test_a_higher_priority_goes_first_among_a_tenants_own() -> None:
    order = await _order([("a", 0), ("a", 0), ("a", 5), ("a", -5), ("a", 9)], at_once=1)
    assert order == ["a-0", "a-4", "a-2", "a-1", "a-3"], "the first had begun already"


async def test_a_priority_does_not_pass_another_tenant() -> None:
    order = await _order([("a", 9), ("a", 9), ("a", 9), ("b", 0)], at_once=1)
    assert order == ["a-0", "b-3", "a-1", "a-2"]


async def test_a_tenant_that_runs_least_is_next_whatever_the_priority() -> None:
    order = await _order([("a", 0), ("a", 0), ("b", 0), ("a", 9), ("b", -9)], at_once=2)
    assert order == ["a-0", "a-1", "b-2", "a-3", "b-4"]


async def _order(waiting: list[tuple[str, int]], at_once: int) -> list[str]:
    """The ids of the syncs in the order in which they began."""
    began: list[str] = []
    runner = Runner(at_once)

    async def run(sync_id: str) -> None:
        began.append(sync_id)
        await anyio.sleep(0.005)

    async with runner.open(run):
        for number, (tenant, priority) in enumerate(waiting):
            runner.submit(_sync(f"{tenant}-{number}", tenant, priority))
        with anyio.fail_after(5):
            while len(began) < len(waiting):
                await anyio.sleep(0.002)
    return began


def _sync(sync_id: str, tenant: str, priority: int) -> Sync:
    changes: Mapping[str, object] = {"tenant": tenant, "options": Options(priority=priority)}
    return msgspec.structs.replace(new_sync(), id=sync_id, **changes)


async def test_what_is_submitted_while_its_last_run_ends_runs_again() -> None:
    runs = 0
    runner = Runner(5)
    sync = _sync("sync-1", "a", 0)

    async def run(sync_id: str) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            runner.submit(sync)
            runner.submit(sync)

    async with runner.open(run):
        runner.submit(sync)
        with anyio.fail_after(5):
            while runs < 2:
                await anyio.sleep(0.002)
        await anyio.sleep(0.05)
    assert runs == 2
