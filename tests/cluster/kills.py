"""Workers die by SIGKILL under many syncs: does anything differ from undisturbed syncs?"""

from time import monotonic

import anyio
import click
from anyio import to_thread

from tests.cluster.nodes import Cluster
from tests.cluster.report import Report
from tests.cluster.syncs import (
    SPEED,
    Crowd,
    audit_faults,
    cluster_and_source,
    jobs_left,
    refusals,
    reset,
    wrong_results,
)
from tests.cluster.takeovers import Takeovers, share
from tests.journeys.process import Process

LONGEST_TAKEOVER = 10.0
"""Seconds within which 99 of 100 syncs of a dead worker continue."""


@click.command(help=__doc__)
@click.option("--syncs", default=200, show_default=True)
@click.option("--every", default=5.0, show_default=True, help="Seconds between two kills.")
@click.option("--slots", default=100, show_default=True, help="MAX_RUNNING_SYNCS of a worker.")
@click.option("--pause", default=0.8, show_default=True, help="DEMO_PAUSE.")
@click.option("--speed", default=SPEED, show_default=True, help="Speed of the local Amazon API.")
def main(syncs: int, every: float, slots: int, pause: float, speed: float) -> Report:
    with cluster_and_source(speed, DEMO_PAUSE=str(pause)) as (nodes, source):
        return anyio.run(measure, nodes, source, syncs, every, slots)


async def measure(nodes: Cluster, source: Process, syncs: int, every: float, slots: int) -> Report:
    """Run the syncs undisturbed, then again under kills; compare."""
    report = Report(f"{syncs} syncs, a worker killed every {every:g} s, {slots} syncs at once each")
    calm = Crowd(nodes, "calm", syncs)
    await calm.connect()
    report.note("seconds, undisturbed (not limited to the slots)", await calm.run())
    expected = await calm.results()
    await reset(source)
    await to_thread.run_sync(_limit, nodes, slots)
    disturbed, takeovers = Crowd(nodes, "disturbed", syncs), Takeovers(nodes)
    await disturbed.connect()
    async with anyio.create_task_group() as group:
        group.start_soon(takeovers.watch)
        group.start_soon(_kill_often, nodes, takeovers, every)
        report.note("seconds, with kills", await disturbed.run())
        group.cancel_scope.cancel()
    results = await disturbed.results()
    _add_takeovers(report, takeovers)
    report.exactly("complete", sum(result.status == "complete" for result in results), syncs)
    report.exactly("in attempt 1", sum(result.attempt == 1 for result in results), syncs)
    report.note("claims", sum(len(result.claims) for result in results))
    report.none(
        "differences of records, counters and claims", wrong_results(disturbed, expected, results)
    )
    report.none("syncs without exactly one start and one end in the audit log", audit_faults(nodes))
    report.exactly("jobs left in the engine", jobs_left(nodes), 0)
    report.none("traces in the logs", nodes.traces())
    report.note("calls that the source refused with 429", refusals(source))
    return report


async def _kill_often(nodes: Cluster, takeovers: Takeovers, every: float) -> None:
    """Every so many seconds, kill one worker and start another; the workers alternate."""
    while True:
        for number in range(len(nodes.workers)):
            due = monotonic() + every
            await takeovers.kill(number)
            await to_thread.run_sync(nodes.replace_worker, number)
            await anyio.sleep(max(0, due - monotonic()))


def _limit(nodes: Cluster, slots: int) -> None:
    """Replace the workers by workers with so many slots."""
    nodes.environ["MAX_RUNNING_SYNCS"] = str(slots)
    for number, old in enumerate(nodes.workers):
        old.terminate(30)
        nodes.replace_worker(number)


def _add_takeovers(report: Report, takeovers: Takeovers) -> None:
    report.note("kills", takeovers.kills)
    report.note("takeovers", len(takeovers.seconds))
    report.note("seconds to a takeover, median", share(takeovers.seconds, 0.5))
    p99 = share(takeovers.seconds, 0.99)
    report.at_most("seconds to a takeover, 99 of 100 within", p99, LONGEST_TAKEOVER)
    report.note("seconds to a takeover, the slowest", max(takeovers.seconds, default=0.0))
