"""`GET /api/me`: the user of the request, and the limits of their plan."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests.service.api.answers import TINY
from tests.service.clocks import FastClock
from tests.serving import Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

PLANS = '{"free":{"syncsPerDay":3,"historyDays":30,"concurrency":1},"pro":{}}'


async def me(user: User) -> Json:
    answer = await user.get("/api/me")
    assert answer.status_code == 200, answer.text
    return read(answer)


async def test_me_shows_the_sub_the_tenant_and_the_limits_of_the_plan(tmp_path: Path) -> None:
    async with serve(tmp_path, PLANS=PLANS, **TINY) as service:
        ann = service.user("a/nn", tenant="ac/me", plan="free")
        plan: Json = {"name": "free", "syncsPerDay": 3, "historyDays": 30, "concurrency": 1}
        expected: Json = {"user": "a/nn", "tenant": "ac/me", "role": None}
        assert await me(ann) == {**expected, "plan": {**plan, "syncsToday": 0}}
        await ann.connect()
        await ann.whole_sync()
        assert (await me(ann))["plan"]["syncsToday"] == 1
        other = service.user("a/nn", tenant="other", plan="free")
        assert (await me(other))["plan"]["syncsToday"] == 0


async def test_missing_limits_are_null_except_the_concurrency_of_the_tenant(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, PLANS=PLANS, MAX_SYNCS_PER_TENANT="7", **TINY) as service:
        for claims, name in (({"plan": "pro"}, "pro"), ({"plan": "gold"}, "gold"), ({}, "")):
            limits = (await me(service.user("ann", **claims)))["plan"]
            none: Json = {"syncsPerDay": None, "historyDays": None, "syncsToday": 0}
            assert limits == {**none, "name": name, "concurrency": 7}


async def test_syncs_today_counts_from_midnight_utc(tmp_path: Path) -> None:
    clock = FastClock(now=datetime(2026, 3, 1, 23, 30, tzinfo=UTC), speed=1.0)
    async with serve(tmp_path, clock, **TINY) as service:
        ann = service.user()
        await ann.connect()
        await ann.whole_sync()
        assert (await me(ann))["plan"]["syncsToday"] == 1
        clock.jump(timedelta(hours=1))
        assert (await me(ann))["plan"]["syncsToday"] == 0


async def test_only_the_role_operator_is_shown(service: Serving) -> None:
    roles: list[tuple[Any, str | None]] = [
        ("operator", "operator"),
        ("Operator", None),
        ("admin", None),
        (["operator"], None),
        (1, None),
    ]
    for number, (role, shown) in enumerate(roles):
        assert (await me(service.user(f"user-{number}", role=role)))["role"] == shown


async def test_me_shows_the_demo_user_in_demo_mode(tmp_path: Path) -> None:
    async with serve(tmp_path, AUTH_MODE="demo", **TINY) as service:
        body = await me(service.user())
        assert (body["user"], body["tenant"], body["plan"]["name"]) == ("demo", "demo", "demo")
