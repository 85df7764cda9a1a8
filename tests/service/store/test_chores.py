"""Turns of periodic work."""

from datetime import timedelta

import pytest

from service.store.chores import CLOCKS_APART, ChoreStore
from service.store.engine import Engine
from tests.service.store.stores import NOW

pytestmark = pytest.mark.anyio

HOUR = timedelta(hours=1)


async def test_one_process_takes_a_turn_and_the_next_turn_comes_later(engine: Engine) -> None:
    here, there = ChoreStore(engine), ChoreStore(engine)
    assert await here.take("retention", NOW, HOUR)
    assert not await there.take("retention", NOW, HOUR)
    assert not await here.take("retention", NOW + HOUR - timedelta(seconds=1), HOUR)
    assert await there.take("retention", NOW + HOUR, HOUR)
    assert not await here.take("retention", NOW + HOUR, HOUR)


async def test_chores_have_turns_of_their_own(engine: Engine) -> None:
    chores = ChoreStore(engine)
    assert await chores.take("retention", NOW, HOUR)
    assert await chores.take("schedules", NOW, HOUR)


async def test_a_clock_that_was_set_back_does_not_end_the_turns(engine: Engine) -> None:
    chores = ChoreStore(engine)
    assert await chores.take("retention", NOW, HOUR)
    assert not await chores.take("retention", NOW - CLOCKS_APART, HOUR), "the clock of another node"
    assert await chores.take("retention", NOW - CLOCKS_APART - timedelta(seconds=1), HOUR)
