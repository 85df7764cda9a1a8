"""Limits, keys, tickets and schedules of users with the same `sub` in two tenants are separate."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest

from tests.service.api.answers import SLOW, TINY, problem
from tests.service.api.streams import data, stream, until_streams
from tests.service.clocks import FastClock
from tests.serving import PATIENCE, Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio


def same_sub_users(service: Serving) -> tuple[User, User]:
    return service.user("ann", tenant="acme"), service.user("ann", tenant="other")


async def connect_user(service: Serving) -> tuple[User, User]:
    one, two = same_sub_users(service)
    await one.connect()
    await two.connect()
    return one, two


def ids(answer: httpx.Response) -> list[str]:
    return [sync["syncId"] for sync in read(answer)["syncs"]]


async def test_idempotency_keys_are_separate_for_each_tenant(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        one, two = await connect_user(service)
        key: Any = {"headers": {"Idempotency-Key": "monday"}}
        first = read(await one.post("/api/sync/start", **key))["syncId"]
        second = read(await two.post("/api/sync/start", **key))["syncId"]
        assert first != second
        for user, own in ((one, first), (two, second)):
            assert read(await user.post("/api/sync/start", **key))["syncId"] == own
        other = await two.post("/api/sync/start", {"dryRun": True}, **key)
        problem(other, 422, "idempotency_key_reused")


async def test_a_start_attaches_to_the_live_sync_of_its_own_tenant(tmp_path: Path) -> None:
    async with serve(tmp_path, **SLOW) as service:
        one, two = await connect_user(service)
        first, second = await one.start(), await two.start()
        for user, own in ((one, first), (two, second)):
            assert await user.start(onConflict="attach") == own
            running = problem(await user.post("/api/sync/start"), 409, "sync_already_running")
            assert running["syncId"] == own


async def test_the_limit_of_a_tenant_does_not_count_the_same_sub_of_another_tenant(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, MAX_SYNCS_PER_TENANT="1", **SLOW) as service:
        one, two = await connect_user(service)
        await one.start()
        await two.start()
        for tenant in ("acme", "other"):
            bob = service.user("bob", tenant=tenant)
            await bob.connect()
            problem(await bob.post("/api/sync/start"), 429, "too_many_syncs")


async def test_syncs_a_day_are_counted_for_each_tenant(tmp_path: Path) -> None:
    plans = '{"free":{"syncsPerDay":1}}'
    async with serve(tmp_path, PLANS=plans, **TINY) as service:
        users = [service.user("ann", tenant=tenant, plan="free") for tenant in ("acme", "other")]
        for user in users:
            await user.connect()
        for user in users:
            await user.whole_sync()
            problem(await user.post("/api/sync/start"), 403, "plan_limit")


async def test_requests_are_counted_for_each_tenant(tmp_path: Path) -> None:
    async with serve(tmp_path, MAX_REQUESTS_PER_MINUTE="3", **TINY) as service:
        for user in same_sub_users(service):
            for _ in range(3):
                assert (await user.get("/api/connections")).status_code == 200
            problem(await user.get("/api/connections"), 429, "too_many_requests")


async def test_streams_are_counted_for_each_tenant_and_send_only_its_syncs(
    tmp_path: Path,
) -> None:
    async with serve(tmp_path, MAX_STREAMS_PER_USER="1", **SLOW) as service:
        one, two = await connect_user(service)
        async with stream(one, "/api/sse/syncs") as first, stream(two, "/api/sse/syncs") as second:
            await until_streams(service, 2)
            sync_ids = [await one.start(), await two.start()]
            for opened, own, user in zip((first, second), sync_ids, (one, two), strict=True):
                assert (await user.post(f"/api/sync/cancel/{own}")).status_code == 200
                kinds, sync_ids_seen = [], set()
                while "cancelled" not in kinds:
                    event = await opened.event()
                    kinds.append(event["event"])
                    sync_ids_seen.add(data(event)["syncId"])
                assert sync_ids_seen == {own} and "evicted" not in kinds


async def test_a_ticket_is_valid_for_one_tenant_only(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        one, two = await connect_user(service)
        done = (await one.whole_sync())["syncId"]
        other = (await two.whole_sync())["syncId"]
        problem(await two.post("/api/sse/ticket", {"syncId": done}), 404, "not_found")
        params = {"ticket": read(await one.post("/api/sse/ticket", {"syncId": done}))["ticket"]}
        async with service.anonymous() as client:
            path = "/api/sse/sync-progress"
            assert (await client.get(f"{path}/{done}", params=params)).status_code == 200
            answer = await client.get(f"{path}/{other}", params=params)
            problem(answer, 401, "unauthenticated")


async def test_a_schedule_starts_syncs_of_its_own_tenant_only(tmp_path: Path) -> None:
    clock = FastClock(now=datetime(2026, 3, 1, 0, 30, tzinfo=UTC))
    async with serve(tmp_path, clock, **TINY) as service:
        one, two = same_sub_users(service)
        connection = await one.connect()
        await two.connect()
        schedule = {"cron": "0 1 * * *", "timezone": "UTC"}
        await one.http.put(f"/api/connections/{connection['id']}/schedule", json=schedule)
        clock.jump(timedelta(minutes=31))
        with anyio.fail_after(PATIENCE):
            while not ids(await one.get("/api/sync/history")):
                await anyio.sleep(0.02)
        assert ids(await two.get("/api/sync/history")) == []


async def test_the_audit_log_shows_the_sub_and_no_internal_user_id(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        users = [service.user("a/nn", tenant=tenant) for tenant in ("ac/me", "a%2Fb")]
        for user in users:
            await user.connect()
            sync_id = (await user.whole_sync())["syncId"]
            entries: list[Json] = read(await user.get("/api/audit"))["entries"]
            actions = [(entry["action"], entry["actor"]) for entry in entries]
            assert actions == [("completed", "service"), ("started", "a/nn"), ("connected", "a/nn")]
            texts = [(await user.get(path)).text for path in ("/api/audit", "/api/connections")]
            texts.append((await user.get(f"/api/sync/history/{sync_id}")).text)
            assert not [text for text in texts if "ac%2Fme" in text or "a%252Fb" in text]
