"""Workers that stop for longer than their syncs wait for them, and then continue (SIGSTOP)."""

import anyio
import click

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
from tests.cluster.takeovers import Takeovers, share
from tests.journeys.process import Process


@click.command(help=__doc__)
@click.option("--pauses", default=20, show_default=True)
@click.option("--seconds", default=20.0, show_default=True, help="The length of a pause.")
@click.option("--syncs", default=20, show_default=True, help="Syncs of each round.")
def main(pauses: int, seconds: float, syncs: int) -> Report:
    with cluster_and_source() as (nodes, source):
        return anyio.run(measure, nodes, source, pauses, seconds, syncs)


async def measure(
    nodes: Cluster, source: Process, pauses: int, seconds: float, syncs: int
) -> Report:
    """One round of syncs without a pause, then as many with one each; the workers alternate."""
    report = Report(f"{pauses} pauses of a worker for {seconds:g} s, {syncs} syncs each")
    calm = Crowd(nodes, "calm", syncs)
    await calm.connect()
    report.note("seconds of a round, undisturbed", await calm.run())
    expected = await calm.results()
    takeovers, wrong = Takeovers(nodes), list[str]()
    for number in range(pauses):
        await reset(source)
        crowd = Crowd(nodes, f"round-{number}", syncs)
        await crowd.connect()
        async with anyio.create_task_group() as group:
            group.start_soon(takeovers.watch)
            await crowd.start()
            await crowd.until_reading()
            await takeovers.pause(number % len(nodes.workers), seconds)
            await crowd.until_ended()
            group.cancel_scope.cancel()
        wrong += wrong_results(crowd, expected, await crowd.results())
    report.note("takeovers", len(takeovers.seconds))
    report.note("seconds to a takeover, median", share(takeovers.seconds, 0.5))
    report.note("seconds to a takeover, the slowest", max(takeovers.seconds, default=0.0))
    report.none("differences of records, counters, claims, status and attempt", wrong)
    report.none("syncs without exactly one start and one end in the audit log", audit_faults(nodes))
    report.exactly("jobs left in the engine", jobs_left(nodes), 0)
    report.none("traces in the logs", nodes.traces())
    return report
