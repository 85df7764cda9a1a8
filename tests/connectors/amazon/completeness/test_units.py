"""Units of the ledger, matched with the orders that can explain them."""

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon.completeness.rows import ShippedUnits, StoredOrder
from connectors.amazon.completeness.units import ShippableUnits, unexplained

FIRST = date(2026, 6, 1)


def on(number: int) -> date:
    return FIRST + timedelta(days=number)


def stored(created: int, updated: int, units: int = 1, status: str = "shipped") -> StoredOrder:
    return StoredOrder("id", on(created), on(updated), status, True, [("SKU", units)])


def shipped(day: int, units: int = 1) -> ShippedUnits:
    return ShippedUnits("X1", "SKU", on(day), units)


def unmatched(
    orders: list[StoredOrder], rows: list[ShippedUnits], padding: int = 100
) -> dict[int, int]:
    """Unexplained units by day, among many units that are explained."""
    supply = ShippableUnits()
    for order in [*orders, *(stored(500, 500) for _ in range(padding))]:
        supply.add_order(order)
    rows = [*rows, *(shipped(500) for _ in range(padding))]
    missing = unexplained(rows, supply, on(-10), on(600))
    return {(day - FIRST).days: units for (_, day), units in missing.items()}


def test_an_order_explains_its_units_on_one_day_only() -> None:
    assert unmatched([stored(1, 3)], [shipped(2), shipped(3)]) == {3: 1}


def test_an_order_explains_no_units_before_it_was_created_or_long_after_it_was_shipped() -> None:
    assert unmatched([stored(10, 12)], [shipped(8), shipped(15)]) == {8: 1, 15: 1}
    assert unmatched([stored(10, 12)], [shipped(9)]) == {}
    assert unmatched([stored(10, 12)], [shipped(14)]) == {}


def test_an_order_that_is_not_shipped_completely_may_ship_at_any_later_time() -> None:
    assert unmatched([stored(1, 2, status="partially_shipped")], [shipped(60)]) == {}
    assert unmatched([stored(1, 2, status="cancelled")], [shipped(2)]) == {2: 1}


def test_units_that_expire_first_are_used_first() -> None:
    orders = [stored(1, 30), stored(1, 3)]
    assert unmatched(orders, [shipped(3), shipped(25)]) == {}


@given(
    st.lists(
        st.tuples(st.integers(0, 60), st.integers(0, 5), st.integers(1, 4)), min_size=1, max_size=30
    ),
    st.data(),
)
def test_the_units_of_orders_that_were_all_read_are_always_explained(
    sold: list[tuple[int, int, int]], data: st.DataObject
) -> None:
    orders = [stored(day, day + days, units) for day, days, units in sold]
    rows = [shipped(data.draw(st.integers(day, day + days)), units) for day, days, units in sold]
    assert unmatched(orders, rows) == {}
