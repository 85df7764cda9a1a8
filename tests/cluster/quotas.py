"""Syncs of a connection that alternate between workers: is any call refused by a quota?"""

import signal
from collections import Counter

import anyio
import click
from anyio import to_thread

from tests.cluster.nodes import Cluster
from tests.cluster.report import Report
from tests.cluster.syncs import Crowd, calls, cluster_and_source
from tests.journeys.process import Process


@click.command(help=__doc__)
@click.option("--rounds", default=20, show_default=True, help="Syncs of each connection.")
@click.option("--connections", default=4, show_default=True)
@click.option("--speed", default=60.0, show_default=True, help="Speed of the local Amazon API.")
def main(rounds: int, connections: int, speed: float) -> Report:
    with cluster_and_source(speed) as (nodes, source):
        return anyio.run(measure, nodes, source, rounds, connections)


async def measure(nodes: Cluster, source: Process, rounds: int, connections: int) -> Report:
    report = Report(f"{rounds} syncs of {connections} connections, alternating between two workers")
    crowd = Crowd(nodes, "seller", connections, only="amazon")
    await crowd.connect()
    for number in range(rounds):
        await _run_at(nodes, number % len(nodes.workers), crowd)
    made = await to_thread.run_sync(calls, source)
    refused = Counter(call["operation"] for call in made if call["status"] == 429)
    report.note("calls", len(made))
    report.exactly("calls that the source refused with 429", dict(refused), {})
    results = await crowd.results()
    report.exactly("complete", sum(result.status == "complete" for result in results), connections)
    report.none("traces in the logs", nodes.traces())
    return report


async def _run_at(nodes: Cluster, number: int, crowd: Crowd) -> None:
    """Run the syncs of all users at this worker: the others pause until it has taken them."""
    others = [worker for worker in nodes.workers if worker is not nodes.workers[number]]
    for worker in others:
        worker.popen.send_signal(signal.SIGSTOP)
    try:
        await crowd.start()
        await crowd.until_taken()
    finally:
        for worker in others:
            worker.popen.send_signal(signal.SIGCONT)
    await crowd.until_ended()
