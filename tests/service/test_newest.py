"""The checks of polls: many share one read, and each sees what was stored after it began."""

from collections.abc import Mapping

import anyio
import msgspec
import pytest

from service.model import Sync
from service.newest import Newest
from service.store.engine import Unavailable
from tests.service.test_model import new_sync

pytestmark = pytest.mark.anyio


class StoredSyncs:
    """Syncs by their ids, whose reads wait until they are released."""

    def __init__(self, *syncs: Sync) -> None:
        self.syncs = {sync.id: sync for sync in syncs}
        self.reads: list[Mapping[str, int]] = []
        self.released = anyio.Event()
        self.error: Exception | None = None

    async def changes(self, known: Mapping[str, int]) -> Mapping[str, Sync | None]:
        self.reads.append(dict(known))
        await self.released.wait()
        if self.error:
            raise self.error
        found = {sync_id: self.syncs.get(sync_id) for sync_id in known}
        return {
            sync_id: sync
            for sync_id, sync in found.items()
            if sync is None or sync.version != known[sync_id]
        }


def sync_of(sync_id: str, version: int) -> Sync:
    return msgspec.structs.replace(new_sync(), id=sync_id, version=version)


async def test_polls_that_wait_share_one_read() -> None:
    stored = StoredSyncs(sync_of("a", 3), sync_of("b", 5))
    newest = Newest(stored.changes)
    answers: list[Sync | None] = []

    async def poll(sync_id: str, version: int) -> None:
        answers.append((await newest.changes(sync_id, version)).get(sync_id))

    async with anyio.create_task_group() as group:
        group.start_soon(poll, "a", 1)
        await anyio.wait_all_tasks_blocked()
        for number in range(100):
            group.start_soon(poll, "ab"[number % 2], number % 3)
        await anyio.wait_all_tasks_blocked()
        stored.released.set()
    assert stored.reads == [{"a": 1}, {"a": 2, "b": 2}]
    assert len(answers) == 101
    assert {sync.version for sync in answers if sync} == {3, 5}


async def test_a_sync_that_has_not_changed_is_not_read() -> None:
    stored = StoredSyncs(sync_of("a", 3))
    stored.released.set()
    assert await Newest(stored.changes).changes("a", 3) == {}


async def test_a_deleted_sync_is_reported() -> None:
    stored = StoredSyncs()
    stored.released.set()
    assert await Newest(stored.changes).changes("a", 3) == {"a": None}


async def test_a_failed_read_fails_its_polls_and_no_later_one() -> None:
    stored = StoredSyncs(sync_of("a", 3))
    newest = Newest(stored.changes)
    stored.released.set()
    stored.error = Unavailable("away")
    with pytest.raises(Unavailable):
        await newest.changes("a", 1)
    stored.error = None
    assert (await newest.changes("a", 1))["a"] == stored.syncs["a"]
