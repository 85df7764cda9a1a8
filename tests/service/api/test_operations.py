"""`GET /api/operations`: what runs where, what waits, and what stands still; for operators."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import anyio
import httpx
import pytest

from connectors.base import QuotaReason, Waiting
from connectors.demo.connector import DemoConnector
from service import nodes as service_nodes
from service.operations import is_overdue
from service.store.connections import Schedule
from service.store.operations import Scheduled
from tests.databases import ON_POSTGRES
from tests.journeys.process import Process, free_port, worker
from tests.journeys.process import service as web_process
from tests.service.api.answers import TINY, problem
from tests.service.clocks import FastClock
from tests.serving import PATIENCE, Json, Serving, User, read, serve

pytestmark = pytest.mark.anyio

MONDAY = datetime(2026, 3, 2, 12, tzinfo=UTC)


def operator(service: Serving) -> User:
    return service.user("olga", tenant="staff", role="operator")


async def operations(service: Serving) -> Json:
    answer = await operator(service).get("/api/operations")
    assert answer.status_code == 200, answer.text
    return read(answer)


async def owned(service: Serving, sync_id: str) -> Json:
    """The overview, as soon as a process runs the sync."""
    with anyio.fail_after(PATIENCE):
        while True:
            body = await operations(service)
            for sync in body["syncs"]:
                if sync["syncId"] == sync_id and sync["owner"] and sync["stage"] == "fetching":
                    return body
            await anyio.sleep(0.05)


async def test_an_operator_sees_the_syncs_of_all_tenants_and_who_runs_them(tmp_path: Path) -> None:
    environ = {"DEMO_PAUSE": "1000000", "MAX_RUNNING_SYNCS": "1"}
    async with serve(tmp_path, None, **environ) as service:
        ann, bob = service.user(tenant="alder"), service.user("bob", tenant="birch")
        for user in (ann, bob):
            await user.connect()
        first = await ann.start()
        await owned(service, first)
        second = await bob.start()
        body = await owned(service, first)
        running, waiting = sorted(body["syncs"], key=lambda sync: str(sync["tenant"]))
        assert (running["syncId"], running["user"], running["status"]) == (
            (first, "ann", "in_progress")
        )
        assert (waiting["syncId"], waiting["stage"], waiting["owner"]) == (second, "queued", None)
        assert running["takeovers"] == 0 and running["stuck"] is False
        assert body["waiting"] == 1 and body["oldestWaitingSeconds"] >= 0
        node = next(node for node in body["nodes"] if node["id"] == running["owner"])
        assert (node["running"], node["slots"], node["streams"]) == (1, 1, 0)
        assert node["role"] == "all" and node["startedAt"] and node["lastSeenAt"]
        assert running["ownedSince"]
        assert (body["webhookLagSeconds"], body["relay"]) == (None, None)
        assert body["quotas"] == [] and body["outboxLagSeconds"] >= 0
        for user, sync_id in ((bob, second), (ann, first)):
            await user.post(f"/api/sync/cancel/{sync_id}")


async def test_without_syncs_nothing_waits(tmp_path: Path) -> None:
    async with serve(tmp_path, **TINY) as service:
        body = await operations(service)
        assert (body["syncs"], body["waiting"], body["oldestWaitingSeconds"]) == ([], 0, None)
        with anyio.fail_after(PATIENCE):  # a worker of a cluster registers soon
            while not (body := await operations(service))["nodes"][0]["slots"]:
                await anyio.sleep(0.05)
        assert [node["running"] for node in body["nodes"]] == [0]


@pytest.mark.skipif(not ON_POSTGRES, reason="ROLE=web needs PostgreSQL")
async def test_a_process_that_runs_no_syncs_is_listed_by_itself(tmp_path: Path) -> None:
    async with serve(tmp_path, ROLE="web", **TINY) as service:
        (node,) = (await operations(service))["nodes"]
        assert (node["role"], node["slots"], node["streams"]) == ("web", 0, 0)


@pytest.mark.parametrize("role", [None, "Operator", "admin", ["operator"]])
async def test_others_are_refused(service: Serving, role: object) -> None:
    answer = await service.user("eve", role=role).get("/api/operations")
    assert "role `operator`" in problem(answer, 403, "operator_only")["detail"]


async def test_nobody_is_refused(service: Serving) -> None:
    async with service.anonymous() as client:
        problem(await client.get("/api/operations"), 401, "unauthenticated")


async def test_a_sync_without_a_page_for_long_is_stuck(tmp_path: Path) -> None:
    clock = FastClock(speed=1.0)
    environ = {"DEMO_PAUSE": "1000000", "STALL_TIMEOUT": "100000"}
    async with serve(tmp_path, clock, **environ) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        with anyio.fail_after(PATIENCE):
            while not (until := (await owned(service, sync_id))["syncs"][0]["waitingUntil"]):
                await anyio.sleep(0.05)
        clock.jump(datetime.fromisoformat(until) - clock.now() + timedelta(minutes=14))
        assert (await operations(service))["syncs"][0]["stuck"] is False
        clock.jump(timedelta(minutes=2))
        assert (await operations(service))["syncs"][0]["stuck"] is True
        await ann.post(f"/api/sync/cancel/{sync_id}")


@pytest.mark.parametrize(
    ("cron", "hours_ago", "expected"),
    [
        ("0 2 * * *", 47, False),
        ("0 2 * * *", 49, True),
        ("*/10 * * * *", 1, True),
        ("0 2 * * 1-5", 100, False),  # from Friday to Monday are three days
        ("0 2 * * 1-5", 145, True),
        ("0 2 1 * *", 24 * 61, False),
        ("0 2 1 * *", 24 * 63, True),
    ],
)
def test_a_schedule_is_overdue_after_twice_its_time(
    cron: str, hours_ago: int, expected: bool
) -> None:
    done = MONDAY - timedelta(hours=hours_ago)
    scheduled = Scheduled("conn_1", Schedule(cron, "UTC", None), MONDAY - timedelta(900), done)
    assert is_overdue(scheduled, MONDAY) is expected
    never = Scheduled("conn_1", scheduled.schedule, done, None)
    assert is_overdue(never, MONDAY) is expected


async def test_schedules_of_any_number_are_looked_at(tmp_path: Path) -> None:
    clock = FastClock(speed=1.0)
    async with serve(tmp_path, clock, **TINY) as service:
        ann = service.user()
        await ann.connect()
        connection = (await ann.get("/api/connections")).json()["connections"][0]["id"]
        answer = await ann.http.put(
            f"/api/connections/{connection}/schedule", json={"cron": "0 2 1 * *"}
        )
        assert answer.status_code == 200, answer.text
        assert (await service.parts.operations.backlog()).overdue == 0
        clock.jump(timedelta(days=70))
        assert (await service.parts.operations.backlog()).overdue == 1


async def test_datasets_that_wait_for_a_quota_are_counted_by_operation(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def wait(self: DemoConnector, waiting: Waiting) -> None:
        until = self._clock.now() + timedelta(hours=1)
        await waiting(until, QuotaReason("the source's quota", "listThings"))
        await self._clock.sleep(3600)

    monkeypatch.setattr(DemoConnector, "_pause", wait)
    async with serve(tmp_path, **TINY) as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        with anyio.fail_after(PATIENCE):
            while not (quotas := (await owned(service, sync_id))["quotas"]):
                await anyio.sleep(0.05)
        assert [quota["operation"] for quota in quotas] == ["listThings"]
        assert quotas[0]["waiting"] >= 1
        assert datetime.fromisoformat(quotas[0]["until"]) > service.parts.clock.now()
        await ann.post(f"/api/sync/cancel/{sync_id}")


@pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres")
async def test_a_worker_is_listed_with_its_syncs_and_serves_its_metrics(tmp_path: Path) -> None:
    source = {"DEMO_ORDERS": "1", "DEMO_PAUSE": "1000000"}
    port = free_port()
    async with serve(tmp_path, None, ROLE="web", **source) as service:
        start = partial(worker, tmp_path, METRICS_PORT=str(port), MAX_RUNNING_SYNCS="3", **source)
        with ExitStack() as stack:
            process = stack.enter_context(await anyio.to_thread.run_sync(_entered, start))
            ann = service.user()
            await ann.connect()
            sync_id = await ann.start()

            async def announced() -> tuple[Json, Json]:
                """The sync and the node that runs it, once that node announces it."""
                while True:
                    (sync,) = (body := await owned(service, sync_id))["syncs"]
                    nodes.update({node["id"]: node for node in body["nodes"]})
                    if nodes.get(sync["owner"], {}).get("running"):
                        return sync, nodes[sync["owner"]]
                    await anyio.sleep(0.05)

            nodes: dict[str, Json] = {}
            with anyio.fail_after(PATIENCE):
                sync, owner = await announced()
            assert (owner["role"], owner["running"], owner["slots"]) == ("worker", 1, 3)
            assert owner["startedAt"] and owner["lastSeenAt"] and sync["ownedSince"]
            assert sorted(node["role"] for node in nodes.values()) == ["web", "worker"]
            async with httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}") as client:
                text = (await client.get("/metrics")).text
                moved = 'seller_sync_moves_total{from="pending",to="in_progress"} 1.0'
                assert moved in text
                assert (await client.get("/readyz")).status_code == 200
                assert (await client.get("/api/operations")).status_code in (401, 404)
                assert (await client.get("/")).status_code == 404
            await ann.post(f"/api/sync/cancel/{sync_id}")
            code = await anyio.to_thread.run_sync(process.terminate, PATIENCE)
            assert code == 0, process.log
        with anyio.fail_after(PATIENCE):
            while len((await operations(service))["nodes"]) > 1:
                await anyio.sleep(0.1)


@pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres")
async def test_every_web_process_is_listed_with_its_streams_until_a_minute_after_its_death(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_nodes, "KEPT", 6.0)
    port = free_port()
    async with serve(tmp_path, None, ROLE="web") as service:
        with ExitStack() as stack:
            start = partial(web_process, tmp_path, port, ROLE="web")
            other = stack.enter_context(await anyio.to_thread.run_sync(_entered, start))

            async def listed() -> list[tuple[str, int]]:
                return [(of["role"], of["streams"]) for of in (await operations(service))["nodes"]]

            headers = service.user().http.headers
            async with (
                httpx.AsyncClient(base_url=other.url, headers=headers, timeout=PATIENCE) as client,
                client.stream("GET", "/api/sse/syncs") as stream,
            ):
                assert stream.status_code == 200
                with anyio.fail_after(PATIENCE):
                    while await listed() != [("web", 0), ("web", 1)]:
                        await anyio.sleep(0.05)
            other.kill()
            assert len(await listed()) == 2
            with anyio.fail_after(PATIENCE):
                while len(await listed()) > 1:
                    await anyio.sleep(0.1)


@contextmanager
def _kept(stack: ExitStack, process: Process) -> Iterator[Process]:
    with stack:
        yield process


def _entered(
    start: Callable[[], AbstractContextManager[Process]],
) -> AbstractContextManager[Process]:
    """Start a process, which ends with the context that is returned."""
    stack = ExitStack()
    return _kept(stack, stack.enter_context(start()))
