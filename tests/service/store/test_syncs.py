"""Syncs: limits of live syncs, and pages that follow an index."""

from datetime import datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from service.model import Sync
from service.store.engine import Engine, Refused
from service.store.syncs import Conditions, first_id, save
from tests.service.nodes import new_engine
from tests.service.store.stores import NOW, Stores, begin_sync, with_fields
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio


@pytest.fixture
def store(engine: Engine) -> Stores:
    return Stores(engine)


async def test_a_second_live_sync_of_a_user_is_refused_by_the_index(store: Stores) -> None:
    await begin_sync(store, new_sync())
    with pytest.raises(Refused):
        await store.create(with_fields(new_sync(), id="sync_2"), Conditions(live_of_tenant=3))
    assert await store.count("ann", {}) == 1, "the refused sync was not counted"


async def test_a_tenant_cannot_exceed_its_limit_of_live_syncs(store: Stores) -> None:
    for number in range(3):
        await begin_sync(store, with_fields(new_sync(), id=f"sync_{number}", user=f"user_{number}"))
    fourth = with_fields(new_sync(), id="sync_4", user="user_4")
    assert not await store.create(fourth, Conditions(live_of_tenant=3))


async def test_the_limit_of_a_day_is_part_of_the_write(store: Stores) -> None:
    limit = Conditions(live_of_tenant=3, started_today=2)
    first = new_sync()
    midnight = first.started_at.replace(hour=0, minute=0, second=0, microsecond=0)
    for number, at in enumerate((midnight - timedelta(microseconds=1), midnight, NOW)):
        sync = at_time(f"user_{number}", at)
        sync = msgspec.structs.replace(sync, user="ann")
        assert await store.create(sync, limit), number
        assert await store.write(save(sync.cancelled(at)))
    assert not await store.create(at_time("ann", NOW + timedelta(hours=1)), limit)
    assert await store.create(at_time("ann", midnight + timedelta(days=1)), limit)


def at_time(user: str, at: datetime) -> Sync:
    return msgspec.structs.replace(
        new_sync(), id=f"{first_id(at)}-{at.microsecond}", user=user, started_at=at, updated_at=at
    )


@pytest.mark.sqlite
async def test_pages_of_records_history_and_items_follow_an_index(tmp_path: Path) -> None:
    """No page is sorted, so a deep page is as fast as the first."""
    for sql in (
        "SELECT data FROM records WHERE connection_id='c' AND dataset='d' AND id>'x' "
        "ORDER BY id LIMIT 20",
        "SELECT body FROM sync_progress WHERE user_id='u' AND id<'x' ORDER BY id DESC LIMIT 20",
        "SELECT name FROM sync_history_items WHERE sync_id='s' "
        "AND (dataset, record_id) > ('d', 'r') ORDER BY dataset, record_id LIMIT 20",
    ):
        async with new_engine(tmp_path) as engine:
            rows = await engine.read(f"EXPLAIN QUERY PLAN {sql}", {})
        plan = " ".join(row["detail"] for row in rows)
        assert "USING INDEX" in plan and "TEMP B-TREE" not in plan, plan


async def test_only_syncs_with_another_version_than_the_known_one_are_read(store: Stores) -> None:
    taken = await begin_sync(store, new_sync())
    known = {taken.id: taken.version, "sync_none": 3}
    assert await store.changes(known) == {"sync_none": None}
    for version in (0, taken.version - 1, taken.version + 1):
        assert await store.changes({taken.id: version}) == {taken.id: taken}


async def test_the_syncs_of_users_that_are_live_or_recent_are_found(store: Stores) -> None:
    taken = await begin_sync(store, new_sync())
    later = NOW + timedelta(seconds=1)
    assert await store.of_users([taken.user, "nobody"], later) == [taken.id]
    assert await store.write(save(taken.cancelled(NOW)))
    assert await store.of_users([taken.user], NOW) == [taken.id]
    assert await store.of_users([taken.user], later) == []
