"""An outage of Redis and two of PostgreSQL; `python -m tests.cluster outages` makes longer ones."""

import anyio
import pytest

from tests.cluster.nodes import cluster
from tests.cluster.outages import (
    FINITE,
    QUOTA,
    SOURCE,
    cancel_waiting,
    ended,
    lose_redis,
    migrated,
    restart_postgres,
)
from tests.databases import ON_POSTGRES
from tests.servers import redis

pytestmark = [
    pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres"),
]


def test_no_request_fails_and_events_go_on_while_redis_is_away() -> None:
    with redis() as wire, cluster(2, 1, **SOURCE, REDIS_URL=wire.url) as nodes:
        load = anyio.run(lose_redis, nodes, wire, 4.0)
        assert load.failed == [] and load.requests > 0
        assert load.events_without_redis > 0
        assert ended(nodes) + nodes.traces() == []


def test_a_waiting_sync_is_cancelled_while_redis_is_away() -> None:
    with redis() as wire, cluster(2, 1, **QUOTA, REDIS_URL=wire.url) as nodes:
        assert len(anyio.run(cancel_waiting, nodes, 4, wire.kill)) == 4
        assert ended(nodes) + nodes.traces() == []


def test_every_sync_goes_on_after_postgresql_was_restarted() -> None:
    source = {**FINITE, "DEMO_PAUSE": "0.05"}
    with migrated() as (server, url), cluster(2, 1, **source, DATABASE_URL=url) as nodes:
        seen = anyio.run(restart_postgres, nodes, server, 2, 4)
        assert seen.differences == []
        assert (seen.streams.falls, seen.streams.resets) == (0, 0)
        assert seen.streams.ends == seen.streams.clients
        assert ended(nodes) == []
