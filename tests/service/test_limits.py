"""Limits of a plan, of a tenant, and of the rate of requests."""

import re
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from service.errors import StartupError
from service.plans import Plan, read_plans
from tests.service.api.answers import SLOW, problem
from tests.service.clocks import FastClock
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

PLANS = '{"free": {"syncsPerDay": 2, "historyDays": 30, "concurrency": 1}, "pro": {}}'


async def connect_user(service: Serving, name: str = "ann", **claims: str) -> User:
    user = service.user(name, **claims)
    await user.connect()
    return user


def span(status: Json, dataset: str = "orders") -> timedelta:
    window = next(d for d in status["datasets"] if d["name"] == dataset)["window"]
    since, until = (datetime.fromisoformat(window[end]) for end in ("since", "until"))
    return until - since


# Plans -----------------------------------------------------------------------------------------


async def test_a_plan_limits_the_syncs_of_a_day(tmp_path: Path) -> None:
    clock = FastClock(now=datetime(2026, 3, 1, 23, 0, tzinfo=UTC))
    async with serve(tmp_path, clock, PLANS=PLANS) as service:
        ann = await connect_user(service, plan="free")
        for _ in range(2):
            await ann.whole_sync()
        refused = await ann.post("/api/sync/start")
        body = problem(refused, 403, "plan_limit")
        assert (body["limit"], body["allowed"]) == ("syncsPerDay", 2)
        assert 0 < int(refused.headers["retry-after"]) <= 3600, "until midnight in UTC"
        assert read(await ann.get("/api/sync/history"))["total"] == 2
        clock.jump(timedelta(hours=1))
        assert (await ann.whole_sync())["status"] == "complete"


async def test_another_plan_and_an_unknown_plan_have_no_limit(tmp_path: Path) -> None:
    async with serve(tmp_path, PLANS=PLANS) as service:
        for name in ("pro", "gold"):
            user = await connect_user(service, name, plan=name)
            for _ in range(3):
                await user.whole_sync()


async def test_a_plan_limits_how_far_back_a_sync_reads(tmp_path: Path) -> None:
    async with serve(tmp_path, PLANS=PLANS) as service:
        ann = await connect_user(service, plan="free")
        assert span(await ann.whole_sync()) == timedelta(days=30)
        since = (datetime.now(UTC) - timedelta(days=31)).isoformat()
        body = problem(await ann.post("/api/sync/start", {"since": since}), 403, "plan_limit")
        assert body["limit"] == "historyDays"
        since = (datetime.now(UTC) - timedelta(days=29)).isoformat()
        assert (await ann.whole_sync(since=since))["status"] == "complete"


async def test_a_plan_limits_the_live_syncs_of_a_tenant(tmp_path: Path) -> None:
    async with serve(tmp_path, PLANS=PLANS, **SLOW) as service:
        ann = await connect_user(service, "ann", tenant="acme", plan="free")
        bob = await connect_user(service, "bob", tenant="acme", plan="free")
        sync_id = await ann.start()
        refused = await bob.post("/api/sync/start")
        problem(refused, 429, "too_many_syncs")
        assert int(refused.headers["retry-after"]) > 0
        await ann.post(f"/api/sync/cancel/{sync_id}")
        await bob.start()


async def test_a_downgrade_does_not_end_a_running_sync(tmp_path: Path) -> None:
    async with serve(tmp_path, PLANS=PLANS, DEMO_PAUSE="0.05") as service:
        ann = await connect_user(service, "ann", plan="pro")
        sync_id = await ann.start()
        downgraded = Serving(service.url, service.parts, {}).user("ann", plan="free")
        assert (await downgraded.until(sync_id))["status"] == "complete"
        await downgraded.http.aclose()


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
def test_invalid_plans_are_refused_at_startup(text: str) -> None:
    with pytest.raises(StartupError, match="PLANS must be JSON like"):
        read_plans(text)


def test_without_plans_there_are_no_limits() -> None:
    assert read_plans("") == {} and read_plans('{"pro": {}}') == {"pro": Plan()}


async def test_the_limit_of_the_tenant_also_applies_to_a_resume(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_SYNCS_PER_TENANT="1", **SLOW) as service:
        ann = await connect_user(service, "ann", tenant="acme")
        bob = await connect_user(service, "bob", tenant="acme")
        sync_id = await ann.start()
        await ann.post(f"/api/sync/cancel/{sync_id}")
        await bob.start()
        refused = await ann.post(f"/api/sync/resume/{sync_id}")
        problem(refused, 429, "too_many_syncs")
        assert refused.headers["retry-after"] == "60"
        assert (await ann.status(sync_id))["status"] == "cancelled"


# Request rates ---------------------------------------------------------------------------------


async def test_a_rate_limit_applies_to_each_user_separately(tmp_path: Path) -> None:
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


LIMITS = ("ratelimit-policy", "ratelimit")


def limits_of(answer: httpx.Response) -> list[list[str]]:
    """RateLimit-Policy and RateLimit."""
    return [answer.headers.get_list(name) for name in LIMITS]


async def test_each_response_names_the_limit_and_what_is_left_of_it(tmp_path: Path) -> None:
    clock = FastClock(speed=0.001)
    async with serve(tmp_path, clock, MAX_REQUESTS_PER_MINUTE="5") as service:
        ann, bob = service.user("ann"), service.user("bob")
        policy = '"default";q=5;w=60'
        paths = {"/api/connections": 200, "/api/nowhere": 404, "/api/sync/status": 404}
        paths |= {"/api/history?x": 404, "/api/sse/syncs": 200}
        for left, (path, code) in zip((4, 3, 2, 1, 0), paths.items(), strict=True):
            async with ann.http.stream("GET", path) as answer:
                assert answer.status_code == code
            seconds = left * 12 or 12
            assert limits_of(answer) == [[policy], [f'"default";r={left};t={seconds}']]
        refused = await ann.get("/api/connections")
        problem(refused, 429, "too_many_requests")
        assert refused.headers["retry-after"] == "12"
        assert limits_of(refused) == [[policy], ['"default";r=0;t=12']]
        clock.jump(timedelta(seconds=5))
        refused = await ann.get("/api/connections")
        assert refused.headers["retry-after"] == "7"
        assert limits_of(refused) == [[policy], ['"default";r=0;t=7']]
        other = await bob.get("/api/connections")
        assert limits_of(other) == [[policy], ['"default";r=4;t=48']]
        clock.jump(timedelta(seconds=60))
        assert limits_of(await ann.get("/api/connections"))[1] == ['"default";r=4;t=48']


async def test_a_client_that_keeps_to_the_limit_is_never_refused(tmp_path: Path) -> None:
    clock = FastClock(speed=0.001)
    async with serve(tmp_path, clock, MAX_REQUESTS_PER_MINUTE="7") as service:
        ann = service.user()
        for _ in range(40):
            answer = await ann.get("/api/connections")
            assert answer.status_code == 200
            left, seconds = re.findall(r"\d+", answer.headers["ratelimit"])
            if left == "0":
                clock.jump(timedelta(seconds=int(seconds)))


async def test_a_response_to_an_uncounted_request_names_no_limit(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_REQUESTS_PER_MINUTE="5") as service:
        async with service.anonymous() as client:
            for path in ("/", "/healthz", "/nowhere", "/api/connections"):
                assert limits_of(await client.get(path)) == [[], []], path
        assert all(limits_of(await service.user().get("/api/me")))


async def test_without_a_limit_no_response_names_one(service: Serving) -> None:
    for path in ("/api/connections", "/api/nowhere", "/"):
        assert limits_of(await service.user().get(path)) == [[], []]


async def test_a_clock_set_back_does_not_block_requests(tmp_path: Path) -> None:
    clock = FastClock(speed=0.001)
    async with serve(tmp_path, clock, MAX_REQUESTS_PER_MINUTE="2") as service:
        ann = service.user()
        await ann.get("/api/connections")
        clock.jump(timedelta(days=-400))
        answer = await ann.get("/api/connections")
        assert answer.status_code == 200
        assert limits_of(answer)[1] == ['"default";r=1;t=30']
