"""Polls at alternating nodes, a few; `python -m tests.cluster polls` makes 100,000."""

import anyio
import pytest

from tests.cluster.nodes import cluster
from tests.cluster.polls import SOURCE, WIRES, watch
from tests.databases import ON_POSTGRES

pytestmark = [
    pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres"),
]


@pytest.mark.parametrize("wire", list(WIRES))
def test_no_node_shows_an_older_version_than_any_client_has_seen(wire: str) -> None:
    with cluster(2, 1, **SOURCE, **WIRES[wire]) as nodes:
        seen = anyio.run(watch, nodes, 1600)
    assert (seen.polls, seen.falls) == (1600, 0)
    assert max(seen.newest.values()) > 10, "the sync made progress meanwhile"
