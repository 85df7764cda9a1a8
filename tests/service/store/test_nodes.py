"""The processes of a cluster in their table."""

from datetime import UTC, datetime, timedelta

import msgspec
import pytest

from service.store.engine import Engine
from service.store.nodes import Node, NodeStore
from tests.databases import ON_POSTGRES

pytestmark = [
    pytest.mark.anyio,
    pytest.mark.skipif(not ON_POSTGRES, reason="a cluster needs BACKEND=postgres"),
]

MINUTE = timedelta(minutes=1)


async def test_a_process_that_is_started_again_under_its_name_replaces_the_one_before(
    engine: Engine,
) -> None:
    store, now = NodeStore(engine), datetime.now(UTC)
    before = Node("box:1", "web", None, now - 60 * MINUTE, now, 0, 0, 7)
    await store.announce(before, 60.0)
    after = Node("box:1", "worker", "worker-3", now - MINUTE, now, 2, 5, 0)
    await store.announce(after, 60.0)
    (found,) = await store.all()
    assert abs(found.seen_at - found.started_at - MINUTE) < timedelta(seconds=1)
    times = {"started_at": found.started_at, "seen_at": found.seen_at}
    assert found == msgspec.structs.replace(after, **times)
    await store.withdraw("box:1")
    assert await store.all() == []
