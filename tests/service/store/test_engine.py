"""Engines: a write is indivisible, and readers see only committed data."""

from collections.abc import AsyncIterator

import anyio
import anyio.lowlevel
import pytest

from service.store.engine import Engine, Refused, Statement

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO costs (user_id, sku, amount, currency) VALUES ('ann', :id, '1', 'USD')"
LOCK = "INSERT INTO sync_counts (user_id, total, ahead) VALUES ('ann', 0, 0) RETURNING user_id"
GUARD = """
UPDATE sync_counts SET total = :version WHERE user_id = 'ann' AND total = :version - 1
RETURNING total
"""


@pytest.fixture
async def locked(engine: Engine) -> AsyncIterator[Engine]:
    """An engine with a row whose version guards each write."""
    assert await engine.write(Statement(LOCK, [{}]), [])
    yield engine


async def stored(engine: Engine) -> list[int]:
    return sorted(int(row["sku"]) for row in await engine.read("SELECT sku FROM costs", {}))


def guard(version: int) -> Statement:
    return Statement(GUARD, [{"version": version}])


def insert(*ids: int, optional: bool = False) -> Statement:
    return Statement(INSERT, [{"id": str(id)} for id in ids], optional)


async def test_a_write_stores_all_its_statements(locked: Engine) -> None:
    assert await locked.write(guard(1), [insert(1, 2), insert(3)])
    assert await stored(locked) == [1, 2, 3]


async def test_a_guard_that_returns_no_row_stores_nothing(locked: Engine) -> None:
    assert not await locked.write(guard(7), [insert(1)])
    assert await stored(locked) == []


async def test_a_refused_row_undoes_the_whole_write(locked: Engine) -> None:
    with pytest.raises(Refused):
        await locked.write(guard(1), [insert(1), insert(1)])
    assert await stored(locked) == []
    assert await locked.write(guard(1), []), "the guard's own row was undone, too"


async def test_optional_rows_that_fail_do_not_undo_the_write(locked: Engine) -> None:
    assert await locked.write(guard(1), [insert(1), insert(1, 2, optional=True), insert(3)])
    assert await stored(locked) == [1, 3]


async def test_only_one_of_many_writers_of_a_version_succeeds(locked: Engine) -> None:
    winners: list[int] = []

    async def race(number: int) -> None:
        if await locked.write(guard(1), [insert(number)]):
            winners.append(number)

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(race, number)
    assert len(winners) == 1 and await stored(locked) == winners


async def test_a_cancelled_write_is_whole_or_absent_and_blocks_no_other(locked: Engine) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(locked.write, guard(1), [insert(*range(1000))])
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert len(await stored(locked)) in (0, 1000)
    version = (await locked.read("SELECT total FROM sync_counts", {}))[0]["total"]
    assert await locked.write(guard(version + 1), [insert(5000)])


async def test_readers_see_only_committed_data(locked: Engine) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(locked.write, guard(1), [insert(*range(20_000))])
        for _ in range(50):
            assert len(await stored(locked)) in (0, 20_000)
