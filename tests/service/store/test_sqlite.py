"""The embedded engine: indivisible writes, held connections, one process at a time."""

import sqlite3
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest

from service.errors import StartupError
from service.store.engine import Refused, Statement
from service.store.place import only_process
from service.store.sqlite import SqliteEngine

pytestmark = pytest.mark.anyio

INSERT = "INSERT INTO notes (id, text) VALUES (:id, :text)"
GUARD = "UPDATE locks SET version = :version WHERE version = :version - 1 RETURNING version"


@pytest.fixture
async def engine(tmp_path: Path) -> AsyncIterator[SqliteEngine]:
    with sqlite3.connect(tmp_path / "notes.db") as database:
        database.execute("CREATE TABLE notes (id INTEGER PRIMARY KEY, text TEXT NOT NULL)")
        database.execute("CREATE TABLE locks (version INTEGER)")
        database.execute("INSERT INTO locks VALUES (0)")
    database.close()
    engine = await SqliteEngine.open(tmp_path / "notes.db")
    yield engine
    await engine.close()


async def notes(engine: SqliteEngine) -> list[int]:
    return [row["id"] for row in await engine.read("SELECT id FROM notes ORDER BY id", {})]


def guard(version: int) -> Statement:
    return Statement(GUARD, [{"version": version}])


def insert(*ids: int | str, optional: bool = False) -> Statement:
    return Statement(INSERT, [{"id": each, "text": "x"} for each in ids], optional)


async def test_a_write_keeps_all_its_statements(engine: SqliteEngine) -> None:
    assert await engine.write(guard(1), [insert(1, 2), insert(3)])
    assert await notes(engine) == [1, 2, 3]


async def test_a_guard_that_touches_no_row_keeps_nothing(engine: SqliteEngine) -> None:
    assert not await engine.write(guard(7), [insert(1)])
    assert await notes(engine) == []


async def test_a_refused_row_undoes_the_whole_write(engine: SqliteEngine) -> None:
    with pytest.raises(Refused):
        await engine.write(guard(1), [insert(1), insert(1)])
    assert await notes(engine) == []
    assert await engine.write(guard(1), []), "the guard's own row was undone too"


async def test_optional_rows_that_fail_do_not_undo_the_write(engine: SqliteEngine) -> None:
    assert await engine.write(guard(1), [insert(1), insert(1, 2, optional=True), insert(3)])
    assert await notes(engine) == [1, 3]


async def test_of_many_writers_of_one_version_one_wins(engine: SqliteEngine) -> None:
    won: list[int] = []

    async def race(number: int) -> None:
        if await engine.write(guard(1), [insert(number)]):
            won.append(number)

    async with anyio.create_task_group() as group:
        for number in range(50):
            group.start_soon(race, number)
    assert len(won) == 1 and await notes(engine) == won


async def test_a_cancelled_write_is_whole_or_not_there_and_blocks_nobody(
    engine: SqliteEngine,
) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(engine.write, guard(1), [insert(*range(1000))])
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert len(await notes(engine)) in (0, 1000)
    version = (await engine.read("SELECT version FROM locks", {}))[0]["version"]
    assert await engine.write(guard(version + 1), [insert(5000)])


async def test_readers_see_only_what_is_kept(engine: SqliteEngine) -> None:
    async with anyio.create_task_group() as group:
        group.start_soon(engine.write, guard(1), [insert(*range(20_000))])
        for _ in range(50):
            assert len(await notes(engine)) in (0, 20_000)


def test_a_second_holder_is_refused_by_name(tmp_path: Path) -> None:
    with (
        only_process(tmp_path / "sync.db"),
        pytest.raises(StartupError, match="in use by process"),
        only_process(tmp_path / "sync.db"),
    ):
        raise AssertionError("two processes hold one database")
    with only_process(tmp_path / "sync.db"):
        pass  # released with its holder
