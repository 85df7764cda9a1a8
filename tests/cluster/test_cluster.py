"""The commands of this package at a small size, without their bounds of time."""

import anyio
import pytest

from tests.cluster import kills, pauses, quotas, races, rolling
from tests.cluster.nodes import cluster
from tests.cluster.syncs import cluster_and_source, together
from tests.databases import ON_POSTGRES

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres"),
]
QUICK = 40.0
"""The speed of the local Selling Partner API."""
PACE = {"DEMO_ORDERS": "300", "DEMO_PAUSE": "0.2"}


async def test_kills_of_workers_change_nothing() -> None:
    with cluster_and_source(QUICK, **PACE) as (nodes, source):
        report = await kills.measure(nodes, source, syncs=8, every=2, slots=100)
    assert not report.faults, report.faults


async def test_kills_of_workers_whose_slots_are_all_taken_change_nothing() -> None:
    with cluster_and_source(QUICK, **PACE) as (nodes, source):
        report = await kills.measure(nodes, source, syncs=8, every=3, slots=2)
    assert not report.faults, report.faults


async def test_requests_at_once_at_two_processes_start_what_they_should() -> None:
    with cluster(MAX_SYNCS_PER_TENANT=str(races.LIMIT), **races.SLOW) as nodes:
        report = await races.measure(nodes, starts=60, users=20, rounds=3, forgets=10)
    assert not report.faults, report.faults


async def test_a_worker_that_pauses_changes_nothing_when_it_continues() -> None:
    with cluster_and_source(10, DEMO_ORDERS="300", DEMO_PAUSE="0.5") as (nodes, source):
        report = await pauses.measure(nodes, source, pauses=1, seconds=12, syncs=6)
    assert not report.faults, report.faults


async def test_a_rolling_restart_of_all_processes_changes_nothing() -> None:
    with cluster_and_source(QUICK, DEMO_ORDERS="300", DEMO_PAUSE="0.5") as (nodes, source):
        report = await rolling.measure(nodes, source, syncs=6)
    assert not report.faults, report.faults


async def test_syncs_that_alternate_between_workers_respect_the_quotas() -> None:
    with cluster_and_source(60) as (nodes, source):
        report = await quotas.measure(nodes, source, rounds=4, connections=1)
    assert not report.faults, report.faults


async def test_a_run_of_a_schedule_that_is_due_at_four_processes_starts_once() -> None:
    with cluster(DEMO_ORDERS="10") as nodes:
        names = [f"user-{number}" for number in range(20)]
        async with nodes.users(names) as users:
            await together([user.connect for user in users], at_once=10)
        past = "2026-01-01T00:00:00.000000Z"
        sql = "UPDATE connections SET schedule_cron = '0 0 1 1 *', schedule_timezone = 'UTC',"
        nodes.read(f"{sql} schedule_next = '{past}', schedule_plan = '' RETURNING id")
        started = "SELECT connection_id FROM audit_logs WHERE actor = 'schedule'"
        with anyio.fail_after(120):
            while len(nodes.read(started)) < len(names):
                await anyio.sleep(0.1)
        rows = nodes.read(started)
        assert len(rows) == len({row["connection_id"] for row in rows}) == len(names)
        assert not nodes.traces()
