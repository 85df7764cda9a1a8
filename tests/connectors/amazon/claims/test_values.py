"""What a unit is worth: cost, else what was paid before, else the price less fees, else unknown."""

from typing import Any

import pytest

from connectors.base import Money

from .sellers import adjusted, claim, paid, preview

LOST = {"ledger": [adjusted(0, "M", -3)]}
OLD = [
    paid(-90, "Lost_Warehouse", 1, "9.00"),
    paid(-80, "Damaged_Warehouse", 5, "10.00"),
    paid(-70, "Lost_Inbound", 1, "20.00"),
    paid(-60, "CustomerReturn", 1, "99.00"),
    paid(-50, "Lost_Warehouse", 1, "99.00", fnsku="X2"),
    paid(-40, "Lost_Warehouse", 1, "99.00", approvaldate="2025-03-30"),
]


def valued(**more: Any) -> Any:
    costs = more.pop("costs", None)
    found = claim(LOST | more, "R1", costs=costs)
    return found.amount, found.currency, found.valuation


def test_the_users_own_cost_comes_first() -> None:
    amount, currency, words = valued(
        reimbursements=OLD, fees=[preview(0)], costs={"SKU-1": Money("3.335", "EUR")}
    )
    assert (amount, currency) == ("10.01", "EUR")
    assert "Your cost" in words


@pytest.mark.parametrize("cost", ["", "free", "0", "-4"])
def test_a_cost_that_is_none_is_passed_over(cost: str) -> None:
    assert valued(reimbursements=OLD, costs={"SKU-1": Money(cost, "USD")})[0] == "30.00"


def test_then_the_median_of_what_was_paid_for_the_product_at_sourcing_cost() -> None:
    amount, currency, words = valued(reimbursements=OLD, fees=[preview(0)])
    assert (amount, currency) == ("30.00", "USD")
    assert "median" in words


def test_the_median_of_an_even_number_lies_between_the_two_in_the_middle() -> None:
    assert valued(reimbursements=OLD[:2])[0] == "28.50"


def test_amounts_of_different_currencies_are_not_mixed() -> None:
    foreign = [
        paid(-60 - each, "Lost_Warehouse", 1, "50.00", currencyunit="CAD") for each in (1, 2)
    ]
    assert valued(reimbursements=[*foreign, OLD[0]])[:2] == ("27.00", "USD")


def test_then_the_price_less_fees_which_is_an_upper_bound() -> None:
    amount, currency, words = valued(fees=[preview(-9, yourprice="99.00"), preview(0)])
    assert (amount, currency) == ("51.00", "USD")
    assert "upper bound" in words


def test_the_price_may_come_from_the_stock() -> None:
    stock = [{"sku": "SKU-1", "fnsku": "X1", "yourprice": "18,00"}]
    assert valued(fees=[preview(0, yourprice="")], stock=stock)[0] == "30.00"


def test_else_it_is_not_known() -> None:
    amount, currency, words = valued()
    assert (amount, currency) == (None, None)
    assert words.startswith("Not known")
    assert valued(fees=[preview(0, yourprice="8.00")])[0] is None
    assert valued(fees=[preview(0, estimatedfeetotal="--")])[0] is None


def test_the_sku_of_a_row_without_one_is_known_from_elsewhere() -> None:
    rows = {
        "ledger": [adjusted(0, "M", -1, msku="")],
        "stock": [{"sku": "SKU-1", "fnsku": "X1", "yourprice": ""}],
    }
    assert claim(rows, "R1", costs={"SKU-1": Money("4", "USD")}).amount == "4.00"
