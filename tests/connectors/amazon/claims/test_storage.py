"""R21: storage charged for units beyond those that the ledger shows."""

from typing import Any

import pytest

from .sellers import (
    Row,
    adjusted,
    claims_of,
    find,
    on,
    only_claim,
    receipt,
    restocked,
    stored,
    units,
)

SINCE = adjusted(-95, "Q", 0, fnsku="OTHER")
"""The ledger begins before March; the tests look at it in June."""


def in_stock(total: int, marketplace: str = "ATV", inbound: int = 0, **more: Any) -> Row:
    return {
        "_id": f"{marketplace}/SKU-1",
        "fnSku": "X1",
        "sellerSku": "SKU-1",
        "totalQuantity": total + inbound,
        "inventoryDetails": {"inboundShippedQuantity": inbound},
        **more,
    }


def shipped(day: int, count: int = 1) -> Row:
    return adjusted(day, "", -count, eventtype="Shipments")


def rows(*charges: Row, stock: int = 20, ledger: tuple[Row, ...] = ()) -> dict[str, list[Row]]:
    return {
        "storage_fees": list(charges),
        "inventory": [in_stock(stock)],
        "ledger": [SINCE, *ledger],
    }


def test_units_that_the_ledger_does_not_show_are_owed_their_share_of_the_fee() -> None:
    claim = only_claim(rows(stored("30.00")), "R21", at=10)
    assert (claim.id, claim.units, claim.amount, claim.currency) == (
        "R21:X1:2026-05",
        10,
        "20.00",
        "USD",
    )
    assert (claim.opens, claim.closes) == (on(0), on(90)), "from the first day after the month"
    assert claim.confidence == "low"
    assert claim.title == (
        "10 units of SKU-1 charged for storage in 2026-05 beyond the 20.00 that were stored"
    )
    assert claim.evidence == {
        "storage_fees": ("storage_fees-0000",),
        "inventory": ("ATV/SKU-1",),
    }
    assert "storage fee of 60.00 USD for 10.00 of 30.00 units" in claim.valuation
    assert [step.amount for step in claim.steps] == [None, "20.00"]
    for line in ("Day of the charge: 2026-06-01", "Charged: 30.00", "Shown: 20.00"):
        assert line in claim.case_text.splitlines()


def test_the_warehouses_of_a_month_are_added_up() -> None:
    parts = [stored("18.00", "36.00"), stored("12.00", "24.00", fulfillmentcenter="ONT8")]
    claim = only_claim(rows(*parts), "R21", at=10)
    assert (claim.units, claim.amount) == (10, "20.00")


def test_movements_since_the_month_are_taken_back() -> None:
    """20 units today, of which 10 came in June, and 31 left then: 41 in May."""
    later = (receipt(2, 10), *(shipped(3) for _ in range(31)))
    assert not claims_of(rows(stored("41.00"), ledger=later), "R21", at=10)
    assert only_claim(rows(stored("60.00"), ledger=later), "R21", at=10).details["shown"] == "41.00"


def test_units_count_for_the_days_on_which_they_were_stored() -> None:
    """31 units arrived on 17 May, and were stored at the end of 15 of 31 days."""
    ledger = (receipt(-15, 31),)
    claim = only_claim(rows(stored("50.00"), stock=31, ledger=ledger), "R21", at=10)
    assert claim.details["shown"] == "15.00"
    assert not claims_of(rows(stored("15.00"), stock=31, ledger=ledger), "R21", at=10)


@pytest.mark.parametrize(
    ("charged", "stock", "owed"),
    [("22.00", 20, False), ("22.01", 20, True), ("4.00", 3, False), ("4.01", 3, True)],
)
def test_a_tenth_of_the_units_and_at_least_one_is_tolerated(
    charged: str, stock: int, owed: bool
) -> None:
    assert bool(claims_of(rows(stored(charged), stock=stock), "R21", at=10)) is owed


def test_what_leaves_in_two_days_is_tolerated() -> None:
    """40 units left in the 40 days since the first of May: the ledger may lack two of them."""
    ledger = tuple(shipped(day) for day in range(-31, 9))
    shown = only_claim(rows(stored("60.00"), stock=5, ledger=ledger), "R21", at=9).details["shown"]
    near = f"{float(shown) + 2:.2f}"
    assert not claims_of(rows(stored(near), stock=5, ledger=ledger), "R21", at=9)


def test_transfers_and_returns_do_not_hide_stored_units() -> None:
    on_the_way = adjusted(-20, "", -9, eventtype="WhseTransfers")
    back = restocked(5, 4, disposition="CUSTOMER_DAMAGED")
    claim = only_claim(rows(stored("30.00"), ledger=(on_the_way, back)), "R21", at=10)
    assert claim.details["shown"] == "16.00"


@pytest.mark.parametrize(
    ("month", "begins", "at"),
    [
        ("2026-05", -30, 10),  # one day is missing
        ("2026-06", -95, 10),  # the month is not over
        ("2026-03", -95, 10),  # so long ago that the ledger may have gaps
    ],
)
def test_a_month_that_the_ledger_does_not_cover_is_not_claimed(
    month: str, begins: int, at: int
) -> None:
    owed = rows(stored("90.00", month=month))
    owed["ledger"] = [adjusted(begins, "Q", 0, fnsku="OTHER")]
    assert not claims_of(owed, "R21", at=at)
    whole = rows(stored("90.00"))
    whole["ledger"] = [adjusted(-31, "Q", 0, fnsku="OTHER")]
    assert claims_of(whole, "R21", at=at if at > 0 else 1)


def test_a_ledger_that_contradicts_the_inventory_proves_nothing() -> None:
    """3 units today, although 10 arrived and none left: seven less than none before."""
    assert not claims_of(rows(stored("90.00"), stock=3, ledger=(receipt(-5, 10),)), "R21", at=10)


def test_a_product_that_the_inventory_does_not_list_is_not_claimed() -> None:
    assert not claims_of(rows(stored("90.00", fnsku="X9")), "R21", at=10)


def test_inbound_units_are_not_stored_yet() -> None:
    owed = rows(stored("30.00"))
    owed["inventory"] = [in_stock(20, inbound=40)]
    assert units(owed, "R21", at=10) == 10


def test_equal_figures_of_two_marketplaces_are_one_stock_and_others_are_two() -> None:
    owed = rows(stored("40.00"))
    owed["inventory"] = [in_stock(20, "DE"), in_stock(20, "FR")]
    assert units(owed, "R21", at=10) == 20
    owed["inventory"] = [in_stock(20, "DE"), in_stock(19, "GB")]
    assert not claims_of(owed, "R21", at=10)


@pytest.mark.parametrize("other", [{"currency": "CAD"}, {"estimatedmonthlystoragefee": "-60.00"}])
def test_fees_that_cannot_be_added_or_are_nothing_are_not_claimed(other: Row) -> None:
    assert not claims_of(rows(stored("30.00"), stored("30.00") | other), "R21", at=10)


@pytest.mark.parametrize("missing", ["storage_fees", "ledger", "inventory"])
def test_without_an_input_the_rule_does_not_run_and_names_it(missing: str) -> None:
    found = find(rows(stored("30.00")), at=10, missing=[missing])
    assert "R21" not in found.ran and missing in found.skipped["R21"]


def test_a_row_that_cannot_be_read_is_counted() -> None:
    bad = [
        stored("30.00", month="May"),
        stored("many", month="2026-04"),
        stored("-1", month="2026-04"),
    ]
    claim = only_claim(rows(stored("30.00"), *bad), "R21", at=10)
    assert claim.details["unusableRows"] == "storage_fees: 3"
