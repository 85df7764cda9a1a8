"""Many sellers in simulated time, without calls: nobody is alarmed without a reason, and hidden
orders that left a trace are found.

HONEST=1000 (`make honest`) compares that many honest sellers, otherwise 10, and hides each
percentage of orders up to 20, otherwise some."""

import os

import pytest

from tests.connectors.amazon.completeness.generated import GeneratedSeller

HONEST = int(os.environ.get("HONEST", "10"))
AT_ONCE = 10
PERCENTS = range(1, 21) if HONEST > AT_ONCE else (1, 2, 5, 10, 20)


@pytest.mark.parametrize("first", range(0, HONEST, AT_ONCE))
def test_honest_sellers_raise_no_alarm_in_their_first_and_in_a_later_sync(first: int) -> None:
    for number in range(first, min(first + AT_ONCE, HONEST)):
        seller = GeneratedSeller(number)
        for days in (0, 1 + number % 20):
            gaps = seller.sync(days)
            assert not gaps.missing, (seller.name, gaps.gaps)
            states = [day.state for day in gaps.days]
            assert states.count("confirmed") >= len(states) - 4, seller.name


@pytest.mark.parametrize("percent", PERCENTS)
def test_hidden_orders_that_left_a_trace_are_found(percent: int) -> None:
    traced = found = 0
    for number in range(4):
        seller = GeneratedSeller(number * 20 + percent, percent / 100, 300 + 100 * number)
        gaps = seller.sync()
        proofs = seller.traced()
        traced += len(proofs)
        found += len(proofs & {gap.key for gap in gaps.gaps})
        assert {gap.key for gap in gaps.gaps if gap.identified} <= seller.hidden, seller.name
    assert traced
    assert found >= 0.99 * traced


def test_orders_that_a_later_sync_hides_are_found_by_what_has_changed() -> None:
    seller = GeneratedSeller(5, 0.0, 600)
    assert not seller.sync().missing
    seller.share = 0.2
    stored = set(seller.stored.records["orders"])
    seller.stored.reads.clear()
    gaps = seller.sync(10)
    proofs = seller.traced() - stored
    assert proofs
    assert len(proofs & {gap.key for gap in gaps.gaps}) >= 0.99 * len(proofs)
