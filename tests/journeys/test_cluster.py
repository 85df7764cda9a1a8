"""A cluster: web processes and workers over PostgreSQL and Redis, some of which die."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from time import monotonic, sleep

import httpx
import pytest

from tests.cluster.nodes import Cluster
from tests.databases import ON_POSTGRES

pytestmark = [
    pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres"),
]
TENANTS = 12


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with ExitStack() as stack:
        yield Cluster(tmp_path, stack, DEMO_ORDERS="300", DEMO_PAGE="10", DEMO_PAUSE="0.1")


def start(client: httpx.Client) -> str:
    body = {"connector": "demo", "refreshToken": "good", "skipHistoricalSync": True}
    assert client.post("/api/connections", json=body).status_code == 201
    answer = client.post("/api/sync/start", json={})
    assert answer.status_code == 202, answer.text
    return str(answer.json()["syncId"])


def until_ended(client: httpx.Client, sync_id: str, seconds: float = 90) -> dict[str, object]:
    until = monotonic() + seconds
    while monotonic() < until:
        status = client.get(f"/api/sync/status/{sync_id}").json()
        if status["status"] not in ("in_progress", "paused"):
            return dict(status)
        sleep(0.1)
    raise AssertionError(status)


def test_a_worker_that_is_killed_is_replaced_and_costs_no_attempt(cluster: Cluster) -> None:
    users = [f"user-{number}" for number in range(TENANTS)]
    syncs = {user: start(cluster.client(number % 2, user)) for number, user in enumerate(users)}
    sleep(0.5)
    cluster.workers[0].kill()
    replacement = cluster.start_worker()
    for number, user in enumerate(users):
        done = until_ended(cluster.client((number + 1) % 2, user), syncs[user])
        assert (done["status"], done["attempt"]) == ("complete", 1), done
        assert done["recordsProcessed"] == 315, done
    assert "Traceback" not in replacement.log


def test_the_other_web_process_streams_a_sync_to_its_end(cluster: Cluster) -> None:
    sync_id = start(cluster.client(0, "ann"))
    versions: list[int] = []
    ended = ""
    path = f"/api/sse/sync-progress/{sync_id}"
    with cluster.client(1, "ann").stream("GET", path) as stream:
        for line in stream.iter_lines():
            if line.startswith("id: "):
                versions.append(int(line[4:]))
            if line.startswith("event: "):
                ended = line[7:]
    assert ended == "complete"
    assert versions == sorted(set(versions)) and len(versions) > 3


def test_a_start_at_each_node_at_once_starts_one_sync(cluster: Cluster) -> None:
    body = {"connector": "demo", "refreshToken": "good", "skipHistoricalSync": True}
    cluster.client(0, "ann").post("/api/connections", json=body)
    clients = [cluster.client(node, "ann") for node in (0, 1)]
    with ThreadPoolExecutor(40) as pool:
        answers = list(
            pool.map(lambda n: clients[n % 2].post("/api/sync/start", json={}), range(200))
        )
    codes = [answer.status_code for answer in answers]
    assert codes.count(202) == 1 and set(codes) == {202, 409}, codes
    assert {answer.json()["syncId"] for answer in answers} == {
        answer.json()["syncId"] for answer in answers if answer.status_code == 202
    }


def test_workers_that_are_stopped_hand_over_without_an_attempt(cluster: Cluster) -> None:
    sync_id = start(cluster.client(0, "ann"))
    sleep(0.5)
    replacement = cluster.start_worker()
    for old in cluster.workers:
        assert old.terminate(5) == 0
    done = until_ended(cluster.client(1, "ann"), sync_id)
    assert (done["status"], done["attempt"]) == ("complete", 1), done
    assert "Traceback" not in replacement.log
