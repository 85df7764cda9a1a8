"""Later comparisons read only what has changed, and find the same as one that reads everything."""

from collections.abc import Iterable
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.base import Window
from connectors.completing import Gaps

from .stored import (
    CANADA,
    STORED,
    US,
    StoredByHand,
    at,
    compared,
    day_of,
    left,
    order,
    order_id,
    reimbursed,
    returned,
    shipment,
    windows,
)

LATER = STORED + timedelta(days=1)


def seller(days: Iterable[int] = range(10, 70)) -> StoredByHand:
    """Orders with their transactions and shipped units, one on each day."""
    return StoredByHand(
        orders=[order(day, day) for day in days],
        transactions=[shipment(day, day + 1) for day in days],
        ledger=[left(day) for day in days],
        returns=[returned(day, day + 20) for day in days if day % 10 == 0],
    )


def first(stored: StoredByHand, until: float = 90, *names: str) -> Gaps:
    """Compare everything, and remember it."""
    spans = windows(0, until, *names)
    gaps = compared(stored, spans)
    stored.keep(gaps, spans, STORED + timedelta(hours=1))
    stored.reads.clear()
    return gaps


def test_orders_are_not_read_back_if_there_is_no_witness() -> None:
    stored = StoredByHand(orders=[order(number, 50) for number in range(200)])
    gaps = compared(stored, windows(0, 90, "orders"))
    assert (sum(day.records for day in gaps.days), dict(stored.reads)) == (200, {})


def test_orders_are_not_read_back_if_transactions_are_the_only_witness() -> None:
    stored = seller()
    compared(stored, windows(0, 90, "orders", "transactions", "returns"))
    assert stored.reads["transactions"] == 60
    assert not stored.reads["orders"]


def test_a_later_comparison_of_unchanged_records_reads_none() -> None:
    stored = seller()
    before = first(stored)
    assert compared(stored, windows(0, 90.1)) == before
    assert not stored.reads


def test_only_changed_records_are_read() -> None:
    stored = seller()
    first(stored)
    stored.store("transactions", shipment(500, 50), when=LATER)
    assert [gap.key for gap in compared(stored).gaps] == [order_id(500)]
    assert dict(stored.reads) == {"transactions": 1}


def test_of_unchanged_records_those_of_short_days_are_read() -> None:
    stored = seller()
    stored.store("transactions", shipment(500, 50))
    names = ("orders", "transactions", "returns")
    assert first(stored, 90, *names).missing == 1
    assert [gap.key for gap in compared(stored, windows(0, 90, *names)).gaps] == [order_id(500)]
    assert 0 < stored.reads["transactions"] <= 5
    stored.store("orders", order(500, 49), when=LATER)
    gaps = compared(stored, windows(0, 90, *names))
    assert not gaps.gaps
    assert day_of(gaps, 50).state == "confirmed"


def test_a_transaction_after_the_end_of_the_span_is_a_gap_once_the_span_includes_it() -> None:
    stored = seller()
    stored.store("transactions", shipment(500, 90.5))
    names = ("orders", "transactions", "returns")
    assert not first(stored, 90, *names).gaps
    gaps = compared(stored, windows(0, 91, *names))
    assert [gap.key for gap in gaps.gaps] == [order_id(500)]
    assert stored.reads["transactions"] < 5


def test_a_span_that_begins_earlier_shows_earlier_gaps() -> None:
    stored = seller()
    stored.store("transactions", shipment(500, 1))
    assert not first(stored).gaps
    gaps = compared(stored, windows(-20, 90))
    assert [gap.key for gap in gaps.gaps] == [order_id(500)]


@pytest.mark.parametrize("day", [60, 86])
def test_a_late_return_of_an_order_that_transactions_show_to_be_no_gap_is_none(day: int) -> None:
    stored = seller()
    stored.store("transactions", shipment(500, 25, CANADA))
    first(stored)
    stored.store("returns", returned(500, day), when=LATER)
    assert not compared(stored).gaps


def test_a_late_return_reads_no_older_transactions_than_it_needs() -> None:
    stored = seller()
    stored.store("transactions", shipment(500, 80, CANADA))
    first(stored)
    stored.store("returns", returned(500, 86), when=LATER)
    assert not compared(stored).gaps
    assert stored.reads["transactions"] < 30


def test_units_of_a_day_that_is_settled_later_are_matched_then() -> None:
    stored = seller(range(10, 80))
    stored.store("ledger", left(70, 3, fnsku="X9", sku="SKU-9"))
    assert not first(stored, 72).gaps
    gaps = compared(stored, windows(0, 80))
    assert [gap.witnesses for gap in gaps.gaps] == [("ledger",)]


def test_units_that_only_an_old_order_explains_are_no_gap() -> None:
    stored = seller(range(40, 80))
    partly = {**order(500, 5, "PARTIALLY_SHIPPED", units=3)}
    partly["orderItems"][0]["product"]["sellerSku"] = "SKU-9"
    stored.store("orders", partly)
    first(stored)
    stored.store("ledger", left(70, 1, fnsku="X9", sku="SKU-9"), when=LATER)
    assert not compared(stored).gaps


@pytest.mark.parametrize("units", [0, 3])
def test_without_transactions_a_day_keeps_its_state_until_its_units_change(units: int) -> None:
    names = ("orders", "ledger")
    stored = seller()
    if units:
        stored.store("ledger", left(50, units))
    state = "single_sourced" if units else "confirmed"
    assert day_of(first(stored, 90, *names), 50).state == state
    assert day_of(compared(stored, windows(0, 91, *names)), 50).state == state
    stored.store("ledger", left(51, 9), when=LATER)
    assert day_of(compared(stored, windows(0, 91, *names)), 51).state == "single_sourced"


SYNCS = 4
come = st.integers(0, SYNCS + 2)
"""The sync that stores a record; none if it is too large."""
sold = st.tuples(
    st.integers(-5, 95),  # the day of the order
    st.sampled_from([US, CANADA, None]),
    st.integers(1, 40),  # days until the return
    st.tuples(come, come, come, come),
)


@given(st.lists(sold, max_size=20))
def test_later_comparisons_find_what_a_comparison_of_everything_finds(
    orders: list[tuple[int, str | None, int, tuple[int, int, int, int]]],
) -> None:
    names = ("orders", "transactions", "returns", "reimbursements")
    stored = StoredByHand()
    for sync in range(SYNCS):
        now = STORED + timedelta(days=sync)
        for number, (day, place, days, stored_by) in enumerate(orders):
            rows = (
                order(number, day),
                shipment(number, day + 1, place),
                returned(number, day + days),
                reimbursed(number, day + 2 * days),
            )
            for name, row, when in zip(names, rows, stored_by, strict=True):
                if when == sync:
                    stored.store(name, row, when=now)
        spans = {name: Window(at(0), at(86 + sync)) for name in names}
        last, stored.last = stored.last, None
        everything = compared(stored, spans)
        stored.last = last
        gaps = compared(stored, spans)
        assert [(gap.key, gap.day) for gap in gaps.gaps] == [
            (gap.key, gap.day) for gap in everything.gaps
        ]
        assert gaps.days == everything.days
        stored.keep(gaps, spans, now + timedelta(hours=1))
