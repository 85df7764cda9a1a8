"""Reconnects between nodes, a few; `python -m tests.cluster reconnects` makes 10,000."""

from collections.abc import Iterator

import anyio
import pytest

from tests.cluster.nodes import Cluster, cluster
from tests.cluster.reconnects import CONNECTIONS, connections, reconnect
from tests.databases import ON_POSTGRES

pytestmark = [
    pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres"),
]


@pytest.fixture
def nodes() -> Iterator[Cluster]:
    with cluster(2, 1, DEMO_ORDERS="300", DEMO_PAGE="10", DEMO_PAUSE="0.05") as nodes:
        yield nodes


def test_a_stream_continues_at_another_node_until_the_end_of_its_sync(nodes: Cluster) -> None:
    seen = anyio.run(reconnect, nodes, 100)
    assert seen.reconnects >= 100
    assert (seen.falls, seen.resets, seen.reopened, seen.refused) == (0, 0, 0, 0)
    assert seen.ends == seen.clients, "every client saw the end"


def test_a_process_needs_the_same_connections_to_redis_for_any_number_of_streams(
    nodes: Cluster,
) -> None:
    assert anyio.run(connections, nodes, 50) <= CONNECTIONS
