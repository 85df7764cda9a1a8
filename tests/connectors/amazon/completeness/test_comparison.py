"""Orders that other datasets show, and what is no gap although it looks like one."""

import pytest

from connectors.amazon.completeness import comparison
from connectors.base import Window

from .stored import (
    CANADA,
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


def keys(*args: object, **more: object) -> list[str]:
    return [gap.key for gap in compared(*args, **more).gaps]  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("witness", "row"),
    [
        ("transactions", shipment(2, 60)),
        ("returns", returned(2, 60)),
        ("reimbursements", reimbursed(2, 89)),
    ],
)
def test_an_order_that_only_another_dataset_names_is_a_gap(
    witness: str, row: dict[str, object]
) -> None:
    since = -60 if witness == "reimbursements" else 0
    stored = StoredByHand(orders=[order(1, 60)], **{witness: [row]})
    gaps = compared(stored, windows(since))
    (gap,) = gaps.gaps
    assert (gap.key, gap.witnesses, gap.identified) == (order_id(2), (witness,), True)
    assert next(day for day in gaps.days if day.day == gap.day).state == "short"
    assert gaps.missing == 1


def test_a_gap_names_all_of_its_witnesses_and_is_dated_by_its_transaction() -> None:
    stored = StoredByHand(transactions=[shipment(2, 50)], returns=[returned(2, 60)])
    (gap,) = compared(stored).gaps
    assert gap.day == at(50).date()
    assert gap.witnesses == ("returns", "transactions")


def test_an_order_that_was_read_is_no_gap() -> None:
    rows = {"transactions": [shipment(1, 51)], "returns": [returned(1, 60)]}
    assert not keys(StoredByHand(orders=[order(1, 50)], ledger=[left(50)], **rows))


@pytest.mark.parametrize(
    "row",
    [
        shipment(2, 1.9),  # it may have been shipped two days before, and is older than the window
        shipment(2, 90.1),  # its last update may be newer than the window
        shipment(2, 50, CANADA),
        shipment(2, 50, id="S01-1234567-1234567"),  # another channel that Amazon fulfils
        shipment(2, 50, kind="Refund"),
        {"transactionType": "Shipment", "postedDate": "soon", "relatedIdentifiers": []},
        {},
    ],
)
def test_a_transaction_that_does_not_show_an_order_of_the_window_is_no_gap(
    row: dict[str, object],
) -> None:
    assert not keys(StoredByHand(orders=[order(1, 50)], transactions=[row]))


def test_a_transaction_without_a_marketplace_is_a_gap_until_the_order_is_read() -> None:
    assert keys(StoredByHand(transactions=[shipment(2, 50, None)])) == [order_id(2)]


def test_a_gap_counts_in_every_marketplace_of_the_connection() -> None:
    stored = StoredByHand(transactions=[shipment(2, 50, CANADA)])
    assert keys(stored, marketplaces=(US, CANADA)) == [order_id(2)]


def test_a_return_of_an_order_from_before_the_window_is_no_gap() -> None:
    assert not keys(StoredByHand(returns=[returned(2, 34)]))
    # Its transaction dates the order better than the return.
    assert not keys(StoredByHand(transactions=[shipment(2, 1)], returns=[returned(2, 60)]))
    assert not keys(StoredByHand(transactions=[shipment(2, 50, CANADA)], returns=[returned(2, 60)]))


def test_pending_and_cancelled_orders_need_no_witness() -> None:
    stored = StoredByHand(orders=[order(1, 50, "PENDING"), order(2, 50, "CANCELLED")])
    assert not compared(stored).gaps
    assert day_of(compared(stored), 50).state == "confirmed"


def test_a_gap_for_which_the_source_has_no_record_is_closed() -> None:
    stored = StoredByHand(transactions=[shipment(2, 50)])
    gaps = compared(stored, closed=[order_id(2)])
    assert not gaps.gaps
    assert day_of(gaps, 50).state == "confirmed"


# Units of the ledger -----------------------------------------------------------------------------


def many(*days: int) -> dict[str, list[dict[str, object]]]:
    """Orders with their transactions and shipped units, one on each day."""
    return {
        "orders": [order(day, day) for day in days],
        "transactions": [shipment(day, day + 1) for day in days],
        "ledger": [left(day) for day in days],
    }


def test_units_that_neither_orders_nor_transactions_explain_are_a_gap_without_an_id() -> None:
    rows = many(*range(10, 40))
    gaps = compared(StoredByHand(**{**rows, "ledger": [*rows["ledger"], left(60, fnsku="X1")]}))
    (gap,) = gaps.gaps
    assert (gap.key, gap.witnesses, gap.identified) == ("2026-07-31/X1", ("ledger",), False)


def test_units_of_an_order_that_transactions_name_are_one_gap() -> None:
    rows = many(*range(10, 40))
    del rows["orders"][5]
    assert keys(StoredByHand(**rows)) == [order_id(15)]


def test_units_of_other_channels_are_no_gap() -> None:
    rows = many(*range(10, 40))
    rows["ledger"].append(left(60, 3))
    rows["transactions"].append(shipment(99, 61, units=3, id="S01-1234567-1234567"))
    assert not keys(StoredByHand(**rows))


def test_a_shipment_of_another_channel_without_a_quantity_explains_any_units() -> None:
    rows = many(*range(10, 40))
    rows["ledger"].append(left(60, 3))
    rows["transactions"].append(shipment(99, 61, units=None, id="S01-1234567-1234567"))
    assert not keys(StoredByHand(**rows))


@pytest.mark.parametrize("day", [1, 86, 89])
def test_units_at_the_ends_of_the_window_are_no_gap(day: int) -> None:
    rows = many(*range(10, 40))
    rows["ledger"].append(left(day))
    assert not keys(StoredByHand(**rows))


def test_a_ledger_that_counts_something_else_proves_nothing() -> None:
    rows = many(*range(10, 40))
    rows["ledger"] += [left(day, 5) for day in range(10, 40)]
    assert not keys(StoredByHand(**rows))


def test_without_transactions_unexplained_units_only_leave_a_day_unconfirmed() -> None:
    rows = many(*range(10, 40))
    rows["ledger"].append(left(60))
    del rows["transactions"]
    gaps = compared(StoredByHand(**rows), windows(0, 90, "orders", "ledger"))
    assert not gaps.gaps
    assert [day_of(gaps, day).state for day in (20, 60)] == ["confirmed", "single_sourced"]


# Days --------------------------------------------------------------------------------------------


def test_a_day_is_confirmed_once_transactions_show_all_of_it() -> None:
    gaps = compared(StoredByHand(orders=[order(1, 50), order(2, 50), order(3, 89)]))
    assert (day_of(gaps, 50).state, day_of(gaps, 50).records) == ("confirmed", 2)
    assert [day_of(gaps, day).state for day in (86, 87, 88, 89, 90)] == [
        "confirmed",
        "confirmed",
        *["single_sourced"] * 3,
    ]


def test_a_day_before_the_transactions_is_single_sourced() -> None:
    spans = windows() | {"transactions": Window(at(40), at(90))}
    gaps = compared(StoredByHand(), spans)
    assert [day_of(gaps, day).state for day in (39, 40)] == ["single_sourced", "confirmed"]


def test_all_days_are_single_sourced_without_a_witness() -> None:
    gaps = compared(StoredByHand(), windows(0, 90, "orders"))
    assert {day.state for day in gaps.days} == {"single_sourced"}
    assert len(gaps.days) == 91


def test_nothing_is_compared_if_orders_were_not_read_completely() -> None:
    assert comparison.compare(StoredByHand(), windows(0, 90, "transactions"), (US,)) is None


def test_more_gaps_than_are_listed_are_all_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(comparison, "MAX_GAPS", 10)
    stored = StoredByHand(transactions=[shipment(number, 50) for number in range(25)])
    gaps = compared(stored)
    assert (len(gaps.gaps), gaps.missing) == (10, 25)
