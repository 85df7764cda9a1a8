"""Requests at the same moment at two web processes: starts, keys, a tenant's limit, forgetting."""

from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import anyio
import click
import httpx

from tests.cluster.nodes import Cluster, cluster, user_at
from tests.cluster.report import Report
from tests.cluster.syncs import Call, together
from tests.serving import User

LIMIT = 3
"""MAX_SYNCS_PER_TENANT."""
SLOW = {"DEMO_ORDERS": "100000", "DEMO_PAGE": "10", "DEMO_PAUSE": "0.9"}
"""The syncs must not end during a race."""
_LIVE = "status IN ('pending', 'in_progress', 'paused')"
_LIVE_OF_FORGOTTEN = f"""
SELECT id FROM sync_progress WHERE {_LIVE}
   AND connection_id IN (SELECT id FROM connections WHERE forgotten_at IS NOT NULL)
"""


@click.command(help=__doc__)
@click.option("--starts", default=1000, show_default=True)
@click.option("--users", default=200, show_default=True, help="Users of the tenant.")
@click.option("--rounds", default=20, show_default=True, help="Rounds of the tenant.")
@click.option("--forgets", default=200, show_default=True, help="Rounds of start and forget.")
def main(starts: int, users: int, rounds: int, forgets: int) -> Report:
    with cluster(MAX_SYNCS_PER_TENANT=str(LIMIT), **SLOW) as nodes:
        return anyio.run(measure, nodes, starts, users, rounds, forgets)


async def measure(nodes: Cluster, starts: int, users: int, rounds: int, forgets: int) -> Report:
    report = Report("Requests at the same moment at two web processes")
    await _starts(nodes, report, starts)
    await _keys(nodes, report, starts)
    await _tenant(nodes, report, users, rounds)
    await _forgetting(nodes, report, forgets)
    report.none("traces in the logs", nodes.traces())
    return report


async def _starts(nodes: Cluster, report: Report, count: int) -> None:
    async with _warm(nodes, "ann", count) as users:
        await users[0].connect()
        answers = await together([partial(user.post, "/api/sync/start") for user in users])
    _check_codes(report, answers, {202: 1, 409: count - 1}, f"{count} starts of one user")
    report.exactly("    syncs that the answers name", len(_ids(answers)), 1)
    where = "user_id = 'ann/ann'"
    report.exactly("    live syncs", _count(nodes, f"sync_progress WHERE {where} AND {_LIVE}"), 1)
    report.exactly("    syncs", _count(nodes, f"sync_progress WHERE {where}"), 1)
    report.exactly("    jobs", _count(nodes, "procrastinate_jobs"), 1)


async def _keys(nodes: Cluster, report: Report, count: int) -> None:
    async with _warm(nodes, "bob", count) as users:
        await users[0].connect()
        answers = await together(
            [
                partial(user.post, "/api/sync/start", headers={"Idempotency-Key": "k"})
                for user in users
            ]
        )
    _check_codes(report, answers, {202: count}, f"{count} starts with one Idempotency-Key")
    report.exactly("    syncs that the answers name", len(_ids(answers)), 1)


async def _tenant(nodes: Cluster, report: Report, count: int, rounds: int) -> None:
    """Each round ends with a cancel of its syncs."""
    most, codes = 0, Counter[int]()
    names = [f"user-{number}" for number in range(count)]
    async with nodes.users(names, tenant="acme") as users:
        await together([user.connect for user in users], at_once=20)
        for _ in range(rounds):
            answers = await together([partial(user.post, "/api/sync/start") for user in users])
            codes.update(answer.status_code for answer in answers)
            live = _count(nodes, f"sync_progress WHERE tenant_id = 'acme' AND {_LIVE}")
            most = max(most, live)
            pairs = zip(users, answers, strict=True)
            for user, answer in pairs:
                if answer.status_code == 202:
                    path = f"/api/sync/cancel/{answer.json()['syncId']}"
                    assert (await user.post(path)).status_code == 200
    report.exactly(f"{count} users of a tenant, {rounds} rounds: most live syncs", most, LIMIT)
    expected = {202: LIMIT * rounds, 429: (count - LIMIT) * rounds}
    report.exactly("    answers", dict(sorted(codes.items())), expected)


async def _forgetting(nodes: Cluster, report: Report, rounds: int) -> None:
    """Starts and deletions of a connection at once, at both web processes. Either may win."""
    codes, wrong = Counter[str](), list[str]()
    async with _warm(nodes, "eve", 4) as users:
        for _ in range(rounds):
            connection = (await users[0].connect())["id"]
            path = f"/api/connections/{connection}"
            requests: list[Call] = [partial(user.post, "/api/sync/start") for user in users]
            requests += [partial(user.http.delete, path) for user in users[:2]]
            answers = await together(requests)
            codes.update(_named(answers))
            wrong += [row["id"] for row in nodes.read(_LIVE_OF_FORGOTTEN)]
            for answer in answers[: len(users)]:
                if answer.status_code == 202:
                    await users[0].post(f"/api/sync/cancel/{answer.json()['syncId']}")
            await users[0].http.delete(path)
    report.none(f"{rounds} rounds of start and forget: live syncs of the forgotten", wrong)
    report.note("    starts that won", codes["start 202"])
    report.note("    deletions that won", codes["forget 204"])
    unexpected = {name: count for name, count in codes.items() if name.endswith(("500", "503"))}
    report.exactly("    answers 500 and 503", unexpected, {})


def _check_codes(
    report: Report, answers: Sequence[httpx.Response], expected: dict[int, int], what: str
) -> None:
    codes = Counter(answer.status_code for answer in answers)
    report.exactly(f"{what}: answers", dict(sorted(codes.items())), expected)


def _ids(answers: Sequence[httpx.Response]) -> set[str]:
    return {str(answer.json().get("syncId")) for answer in answers}


def _named(answers: Sequence[httpx.Response]) -> list[str]:
    names = {"POST": "start", "DELETE": "forget"}
    return [f"{names[answer.request.method]} {answer.status_code}" for answer in answers]


def _count(nodes: Cluster, source: str) -> int:
    (row,) = nodes.read(f"SELECT COUNT(*) AS n FROM {source}")
    return int(row["n"])


@asynccontextmanager
async def _warm(nodes: Cluster, name: str, count: int) -> AsyncIterator[list[User]]:
    """So many clients of one user. Half of their open connections lead to either web process."""
    async with AsyncExitStack() as stack:
        both = [await stack.enter_async_context(user_at(web.url, name)) for web in nodes.web]
        users = [both[number % len(both)] for number in range(count)]
        await together([partial(user.get, "/healthz") for user in users])
        yield users
