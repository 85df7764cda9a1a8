"""Engines: a write is indivisible, and readers see only committed data."""

import time
from collections.abc import AsyncIterator, Iterator
from datetime import UTC, datetime, timedelta, timezone

import anyio
import anyio.lowlevel
import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.store.engine import Engine, Refused, Statement, Table, Unavailable, bulk, stamp

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
    assert await locked.write(guard(7), [insert(1)]) is False
    assert await stored(locked) == []


async def test_a_refused_row_undoes_the_whole_write(locked: Engine) -> None:
    with pytest.raises(Refused):
        await locked.write(guard(1), [insert(1), insert(1)])
    assert await stored(locked) == []
    assert await locked.write(guard(1), []), "the guard's own row was undone, too"


async def test_optional_rows_that_fail_do_not_undo_the_write(locked: Engine) -> None:
    assert await locked.write(guard(1), [insert(1), insert(2, 1, optional=True), insert(3)])
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


async def test_one_row_of_a_guard_is_enough(locked: Engine) -> None:
    assert await locked.write(Statement(GUARD, [{"version": 7}, {"version": 1}]), [insert(1)])
    assert await stored(locked) == [1]


async def test_a_caller_that_went_away_still_learns_what_was_written(locked: Engine) -> None:
    written = None
    with anyio.CancelScope() as scope:
        scope.cancel()
        written = await locked.write(guard(1), [insert(1)])
    assert written is True


async def test_a_task_that_was_cancelled_while_it_read_can_read_again(engine: Engine) -> None:
    """A sync reaches its time limit, and is then stored as failed by the same task."""
    for turns in range(150):
        async with anyio.create_task_group() as group:
            with anyio.CancelScope() as scope:
                group.start_soon(_cancel_after, turns, scope)
                await engine.read("SELECT sku FROM costs", {})
        assert await stored(engine) == []


async def _cancel_after(turns: int, scope: anyio.CancelScope) -> None:
    for _ in range(turns):
        await anyio.lowlevel.checkpoint()
    scope.cancel()


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


DAYS = (datetime(1, 1, 3), datetime(9999, 12, 29))
ZONES = st.timezones() | st.just(timezone(timedelta(hours=-9, seconds=1)))


@given(st.datetimes(*DAYS) | st.datetimes(*DAYS, timezones=ZONES))
def test_the_text_of_a_time_has_a_fixed_length_and_sorts_by_time(moment: datetime) -> None:
    utc = moment.astimezone(UTC) if moment.tzinfo else moment
    assert stamp(moment) == utc.strftime(f"{utc.year:04}-%m-%dT%H:%M:%S.%fZ")


@pytest.fixture
def in_tokyo(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A process whose local time is nine hours ahead of UTC."""
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


@pytest.mark.usefixtures("in_tokyo")
def test_a_time_without_a_zone_is_in_utc_wherever_the_service_runs() -> None:
    assert stamp(datetime(2026, 1, 15, 12)) == "2026-01-15T12:00:00.000000Z"


def test_a_statement_is_frozen_and_must_succeed_unless_it_is_optional() -> None:
    statement = Statement("DELETE FROM costs", [])
    assert statement.optional is False
    with pytest.raises(AttributeError):
        statement.sql = ""  # type: ignore[misc]


def test_a_table_without_rows_makes_a_statement_without_rows() -> None:
    assert bulk("INSERT", {"user": "ann"}, {"id": []}).rows == []
    assert bulk("INSERT", {"user": "ann"}, {}).rows == []
    full = bulk("INSERT", {"user": "ann"}, {"id": ["1"]})
    assert full == Statement("INSERT", [{"user": "ann"}], False, {"id": ["1"]})


def test_an_outage_is_not_logged_yet() -> None:
    assert Unavailable("away").logged is False


@pytest.mark.parametrize(
    "cells",
    [
        [],
        [""],
        ["", ""],
        [None],
        [None, "a"],
        ["a", None, ""],
        ["ü", "\U0001f4a9", '"', "\\", "{a,b}", "NULL"],
        ["between\x1fcells", "c"],
        ["instead\x1eof null", None],
    ],
)
async def test_every_cell_of_a_table_arrives(engine: Engine, cells: list[str | None]) -> None:
    async def arrived(table: Table) -> list[list[str | None]]:
        columns = tuple(table)
        selected = ", ".join(f"rows.{name} AS {name}" for name in columns)
        rows = await engine.fetch(f"SELECT {selected} FROM {{rows}}", columns, {}, table)
        return [list(row) for row in rows]

    assert await arrived({"cell": cells}) == [[cell] for cell in cells]
    if cells and all(cells):  # bytes are records, which are never empty
        numbers = [str(number) for number in range(len(cells))]
        data = [str(cell).encode() for cell in cells]
        rows = [[number, cell] for number, cell in zip(numbers, cells, strict=True)]
        assert await arrived({"number": numbers, "data": data}) == rows
