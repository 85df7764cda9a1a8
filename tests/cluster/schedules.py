"""Schedules of every minute on four processes: does each run start exactly once?"""

from collections import Counter
from datetime import UTC, datetime
from functools import partial

import anyio
import click

from tests.cluster.nodes import Cluster, cluster
from tests.cluster.report import Report
from tests.cluster.syncs import together

EARLIEST, LATEST = 5, 40
"""Seconds of a minute in which schedules are set and removed: the run of that minute has started by
then at the latest, and the next one is far."""


@click.command(help=__doc__)
@click.option("--minutes", default=10, show_default=True)
@click.option("--connections", default=20, show_default=True)
def main(minutes: int, connections: int) -> Report:
    with cluster(DEMO_ORDERS="10") as nodes:
        return anyio.run(measure, nodes, minutes, connections)


async def measure(nodes: Cluster, minutes: int, connections: int) -> Report:
    report = Report(f"{connections} schedules of every minute for {minutes} min, four processes")
    names = [f"user-{number}" for number in range(connections)]
    async with nodes.users(names) as users:
        made = await together([user.connect for user in users], at_once=10)
        paths = [f"/api/connections/{one['id']}/schedule" for one in made]
        pairs = list(zip(users, paths, strict=True))
        await _until_second(EARLIEST)
        body = {"cron": "* * * * *"}
        await together([partial(user.http.put, path, json=body) for user, path in pairs])
        await anyio.sleep(minutes * 60)
        await _until_second(LATEST)
        await together([partial(user.http.put, path, content=b"null") for user, path in pairs])
    started = nodes.read("SELECT connection_id, at FROM audit_logs WHERE actor = 'schedule'")
    starts = Counter(row["connection_id"] for row in started)
    report.exactly("starts of each connection", sorted(set(starts.values())), [minutes])
    report.exactly("connections with starts", len(starts), connections)
    (row,) = nodes.read("SELECT COUNT(*) AS n FROM sync_progress")
    report.exactly("syncs", row["n"], minutes * connections)
    late = [datetime.fromisoformat(row["at"]).second for row in started]
    report.note("seconds after the minute, the latest", max(late, default=0))
    report.none("traces in the logs", nodes.traces())
    return report


async def _until_second(second: int) -> None:
    """Wait until this second of a minute, or a later one of the same minute."""
    while not second <= datetime.now(UTC).second < second + 10:
        await anyio.sleep(0.2)
