"""Syncs: limits of live syncs, and pages that follow an index."""

import pytest

from service.store.engine import Engine, Refused
from tests.service.store.stores import Stores, begin_sync, with_fields
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(engine: Engine) -> Stores:
    return Stores(engine)


async def test_a_second_live_sync_of_a_user_is_refused_by_the_index(store: Stores) -> None:
    await begin_sync(store, new_sync())
    with pytest.raises(Refused):
        await store.create(with_fields(new_sync(), id="sync_2"), tenant_limit=3)
    assert await store.count("ann", {}) == 1, "the refused sync was not counted"


async def test_a_tenant_cannot_exceed_its_limit_of_live_syncs(store: Stores) -> None:
    for number in range(3):
        await begin_sync(store, with_fields(new_sync(), id=f"sync_{number}", user=f"user_{number}"))
    fourth = with_fields(new_sync(), id="sync_4", user="user_4")
    assert not await store.create(fourth, tenant_limit=3)


async def test_pages_of_records_history_and_items_follow_an_index(store: Stores) -> None:
    """No page is sorted, so a deep page is as fast as the first."""
    for sql in (
        "SELECT data FROM records WHERE connection_id='c' AND dataset='d' AND id>'x' "
        "ORDER BY id LIMIT 20",
        "SELECT body FROM sync_progress WHERE user_id='u' AND id<'x' ORDER BY id DESC LIMIT 20",
        "SELECT name FROM sync_history_items WHERE sync_id='s' "
        "AND (dataset, record_id) > ('d', 'r') ORDER BY dataset, record_id LIMIT 20",
    ):
        rows = await store.engine.read(f"EXPLAIN QUERY PLAN {sql}", {})
        plan = " ".join(row["detail"] for row in rows)
        assert "USING INDEX" in plan and "TEMP B-TREE" not in plan, plan
