"""`GET /metrics`: what is counted, in which format, and for whom."""

import sqlite3
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics
from prometheus_client.parser import text_string_to_metric_families as prometheus

from connectors.base import Use
from service.store.engine import Unavailable
from service.store.operations import OperationsStore
from tests.databases import ON_POSTGRES
from tests.service.api.answers import problem
from tests.service.clocks import FastClock
from tests.serving import PATIENCE, Serving, serve

pytestmark = pytest.mark.anyio

TOKEN = "a token that only the tests know"
OPENMETRICS = {"Accept": "application/openmetrics-text; version=1.0.0"}

Samples = Mapping[tuple[str, ...], float]


async def scrape(service: Serving, **headers: str) -> str:
    async with service.anonymous() as client:
        answer = await client.get("/metrics", headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.text


def samples(text: str) -> Samples:
    """The values by name and the values of the labels, in the order of the labels' names."""
    return {
        (sample.name, *(value for _, value in sorted(sample.labels.items()))): sample.value
        for family in prometheus(text)
        for sample in family.samples
    }


async def value(service: Serving, *key: str) -> float:
    found = samples(await scrape(service)).get(tuple(f"{part}" for part in key))
    assert found is not None, key
    return found


async def until(service: Serving, expected: float, *key: str) -> None:
    with anyio.fail_after(PATIENCE):
        while samples(await scrape(service)).get(key) != expected:
            await anyio.sleep(0.05)


async def test_a_sync_is_counted_with_its_datasets_pages_rows_and_stages(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_ORDERS="30", DEMO_PAGE="10", DEMO_BAD="10") as service:
        ann = service.user()
        await ann.connect()
        assert (await ann.whole_sync())["status"] == "complete"
        found = samples(await scrape(service))
        assert found["seller_sync_moves_total", "none", "pending"] == 1
        assert found["seller_sync_moves_total", "pending", "in_progress"] == 1
        assert found["seller_sync_ended_total", "demo", "complete"] == 1
        assert found["seller_sync_ended_total", "demo", "failed"] == 0
        assert found["seller_sync_datasets_total", "demo", "orders", "partial"] == 1
        assert found["seller_sync_rows_total", "demo", "orders", "created"] == 27
        assert found["seller_sync_rows_total", "demo", "orders", "failed"] == 3
        assert found["seller_sync_pages_total", "demo", "orders"] == 3
        for stage in ("queued", "starting", "fetching", "processing", "finalizing"):
            assert found["seller_sync_stage_seconds_count", stage] == 1, stage
        assert found["seller_sync_write_wait_seconds_count",] > 5
        assert found["seller_sync_lock_wait_seconds_count",] > 5
        assert found["seller_sync_database_up",] == 1
        assert found["seller_sync_syncs", "in_progress"] == 0
        assert found["seller_sync_write_queue",] >= 0
        assert found["process_open_fds",] > 0
        assert (("seller_sync_disk_free_bytes",) in found) is not ON_POSTGRES


async def test_what_waits_and_what_stands_still_is_shown(tmp_path: Path) -> None:
    clock = FastClock(speed=1.0)
    environ = {"DEMO_PAUSE": "1000000", "MAX_RUNNING_SYNCS": "1"}
    async with serve(tmp_path, clock, **environ) as service:
        ann, bob = service.user(), service.user("bob")
        await ann.connect()
        await bob.connect()
        first = await ann.start()
        await until(service, 1, "seller_sync_syncs", "in_progress")
        second = await bob.start()
        assert await value(service, "seller_sync_waiting") == 1
        clock.jump(clock.now() - clock.now().replace(year=clock.now().year - 1))
        assert await value(service, "seller_sync_oldest_waiting_seconds") > 86400
        assert await value(service, "seller_sync_outbox_lag_seconds") >= 0
        for user, sync_id in ((bob, second), (ann, first)):
            await user.post(f"/api/sync/cancel/{sync_id}")
        await until(service, 0, "seller_sync_waiting")


async def test_streams_are_counted_with_the_reason_of_their_end(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_PAUSE="1000000") as service:
        ann = service.user()
        await ann.connect()
        sync_id = await ann.start()
        stream = ann.events(sync_id)
        await anext(stream)
        assert await value(service, "seller_sync_streams") == 1
        await ann.post(f"/api/sync/cancel/{sync_id}")
        async for _ in stream:
            pass
        await until(service, 1, "seller_sync_streams_ended_total", "ended")
        assert await value(service, "seller_sync_streams") == 0
        second = await ann.start()
        async with ann.http.stream("GET", f"/api/sse/sync-progress/{second}"):
            await until(service, 1, "seller_sync_streams")
        await until(service, 1, "seller_sync_streams_ended_total", "client_gone")
        assert await value(service, "seller_sync_events_conflated_total") == 0


async def test_openmetrics_is_sent_to_those_who_accept_it(service: Serving) -> None:
    async with service.anonymous() as client:
        new = await client.get("/metrics", headers=OPENMETRICS)
        old = await client.get("/metrics")
    assert new.headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert old.headers["content-type"].startswith("text/plain; version=0.0.4")
    names = {family.name for family in openmetrics(new.text)}  # type: ignore[no-untyped-call]
    assert new.text.endswith("# EOF\n")
    assert {"seller_sync_moves", "seller_sync_event_loop_lag_seconds", "process_cpu_seconds"} <= (
        names
    )


async def test_each_service_counts_for_itself(tmp_path: Path) -> None:
    """No counter is global: a service that starts in the same process begins at zero."""
    for _ in range(2):
        async with serve(tmp_path, DEMO_ORDERS="1") as service:
            ann = service.user()
            if not (await ann.get("/api/connections")).json()["connections"]:
                await ann.connect()
            await ann.whole_sync()
            assert await value(service, "seller_sync_ended_total", "demo", "complete") == 1


async def test_metrics_need_the_token_or_a_program_on_this_machine(tmp_path: Path) -> None:
    async with serve(tmp_path, METRICS_TOKEN=TOKEN) as service, service.anonymous() as client:
        right = {"Authorization": f"Bearer {TOKEN}"}
        behind = {"X-Forwarded-For": "203.0.113.9"}
        assert (await client.get("/metrics")).status_code == 200
        assert (await client.get("/metrics", headers=right)).status_code == 200
        assert (await client.get("/metrics", headers=behind | right)).status_code == 200
        for headers in (
            behind,
            {"Forwarded": "for=203.0.113.9"},
            {"Via": "1.1 proxy"},
            {"Host": "metrics.example"},
            {"Authorization": f"Bearer {TOKEN}x"},
            {"Authorization": "Basic YTpi"},
            {"Authorization": f"Bearer {service.user().http.headers['authorization'][7:]}"},
        ):
            answer = await client.get("/metrics", headers=headers)
            problem(answer, 401, "unauthenticated")
            assert answer.headers["www-authenticate"].startswith("Bearer")


async def test_without_a_token_others_than_this_machine_are_refused(service: Serving) -> None:
    async with service.anonymous() as client:
        for headers in ({"X-Forwarded-For": "127.0.0.1"}, {"Host": "metrics.example"}):
            body = problem(await client.get("/metrics", headers=headers), 403, "forbidden")
            assert "METRICS_TOKEN" in body["detail"]


async def test_during_an_outage_of_the_database_the_rest_is_shown(
    service: Serving, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def away(_: OperationsStore) -> None:
        raise Unavailable("away")

    monkeypatch.setattr(OperationsStore, "counts", away)
    found = samples(await scrape(service))
    assert found["seller_sync_database_up",] == 0
    assert found["seller_sync_streams",] == 0
    assert ("seller_sync_waiting",) not in found


async def test_a_webhook_that_waits_is_shown(service: Serving) -> None:
    assert ("seller_sync_webhook_lag_seconds",) not in samples(await scrape(service))

    async def waits() -> float:
        return 7.0

    service.parts.operations.webhook_lag = waits
    assert await value(service, "seller_sync_webhook_lag_seconds") == 7


@pytest.mark.sqlite
async def test_a_write_that_waits_for_another_program_is_measured(tmp_path: Path) -> None:
    async with serve(tmp_path, DEMO_ORDERS="1") as service:
        before = await value(service, "seller_sync_lock_wait_seconds_sum")
        async with anyio.create_task_group() as group:
            with closing(sqlite3.connect(tmp_path / "sync.db", isolation_level=None)) as other:
                other.execute("BEGIN IMMEDIATE")
                group.start_soon(service.user().connect)
                await until(service, 1, "seller_sync_write_queue")
                await anyio.sleep(0.2)
        assert await value(service, "seller_sync_lock_wait_seconds_sum") > before


async def test_what_a_source_refuses_and_lets_wait_is_shown_by_operation(service: Serving) -> None:
    connector: Any = service.parts.sources.get("demo")
    connector.uses = {"listThings": Use(calls=7, refused=2, waited=61.5)}
    found = samples(await scrape(service))
    assert found["seller_sync_source_calls_total", "demo", "listThings"] == 7
    assert found["seller_sync_source_refusals_total", "demo", "listThings"] == 2
    assert found["seller_sync_quota_wait_seconds_total", "demo", "listThings"] == 61.5
