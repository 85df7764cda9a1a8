"""A rolling restart of all processes by SIGTERM under running syncs."""

import anyio
import click
from anyio import to_thread

from tests.cluster.nodes import Cluster
from tests.cluster.report import Report
from tests.cluster.syncs import (
    Crowd,
    audit_faults,
    cluster_and_source,
    jobs_left,
    reset,
    wrong_results,
)
from tests.journeys.process import Process

MOST = 1.1
"""The longest time under a rolling restart, as a multiple of the undisturbed time."""


@click.command(help=__doc__)
@click.option("--syncs", default=50, show_default=True)
@click.option("--pause", default=1.0, show_default=True, help="DEMO_PAUSE.")
@click.option("--orders", default=1000, show_default=True, help="DEMO_ORDERS.")
def main(syncs: int, pause: float, orders: int) -> Report:
    pace = {"DEMO_PAUSE": str(pause), "DEMO_ORDERS": str(orders)}
    with cluster_and_source(**pace) as (nodes, source):
        return anyio.run(measure, nodes, source, syncs)


async def measure(nodes: Cluster, source: Process, syncs: int) -> Report:
    """Run the syncs undisturbed, then again while every process is restarted once."""
    report = Report(f"A rolling restart of all processes under {syncs} syncs")
    calm, restarted = Crowd(nodes, "calm", syncs), Crowd(nodes, "restarted", syncs)
    await calm.connect()
    undisturbed = await calm.run()
    report.note("seconds, undisturbed", undisturbed)
    expected = await calm.results()
    await reset(source)
    await restarted.connect()
    seconds = 0.0
    async with anyio.create_task_group() as group:
        group.start_soon(_restart_all, nodes, restarted)
        seconds = await restarted.run()
    report.at_most("seconds under the restart", seconds, MOST * undisturbed)
    results = await restarted.results()
    report.exactly("in attempt 1", sum(result.attempt == 1 for result in results), syncs)
    report.none("differences", wrong_results(restarted, expected, results))
    report.none("syncs without exactly one start and one end in the audit log", audit_faults(nodes))
    report.exactly("jobs left in the engine", jobs_left(nodes), 0)
    report.none("traces in the logs", nodes.traces())
    return report


async def _restart_all(nodes: Cluster, crowd: Crowd) -> None:
    """One process after the other, each when the one before it serves again."""
    await crowd.until_reading()
    for number in range(len(nodes.web)):
        await to_thread.run_sync(nodes.restart_web, number)
    for number in range(len(nodes.workers)):
        await to_thread.run_sync(nodes.restart_worker, number)
