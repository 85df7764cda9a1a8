"""What a unit is worth: its cost, past payments, its price less fees, or unknown."""

from typing import Any

import pytest

from connectors.claims import Money

from .sellers import adjusted, only_claim, paid, preview

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
    claim = only_claim(LOST | more, "R1", costs=costs)
    return claim.amount, claim.currency, claim.valuation


def test_the_sellers_own_cost_comes_first() -> None:
    amount, currency, basis = valued(
        reimbursements=OLD, fees=[preview(0)], costs={"SKU-1": Money("3.335", "USD")}
    )
    assert (amount, currency) == ("10.01", "USD")
    assert "Your cost: 3.34 USD" in basis


def test_a_cost_in_another_currency_than_that_of_the_place_is_not_used_and_the_step_says_so() -> (
    None
):
    costs = {"SKU-1": Money("3.00", "EUR")}
    claim = only_claim(LOST | {"reimbursements": OLD}, "R1", costs=costs)
    assert (claim.amount, claim.currency) == ("30.00", "USD")
    first = claim.steps[0].text
    assert "median" in first
    assert "Your cost is in EUR, not in USD, so it is not used." in first
    assert claim.case_text.count("EUR") == 1
    amount, currency, basis = valued(costs=costs)
    assert (amount, currency) == (None, None)
    assert basis.startswith("Not known: your cost is in EUR, not in USD, Amazon paid for none")


def test_a_cost_in_any_currency_is_used_where_the_place_is_not_known() -> None:
    rows = {"ledger": [adjusted(0, "M", -1, country="")]}
    assert only_claim(rows, "R1", costs={"SKU-1": Money("3.00", "EUR")}).currency == "EUR"


@pytest.mark.parametrize("cost", ["", "free", "0", "-4"])
def test_an_unusable_cost_is_ignored(cost: str) -> None:
    assert valued(reimbursements=OLD, costs={"SKU-1": Money(cost, "USD")})[0] == "30.00"


def test_without_a_cost_a_unit_is_worth_the_median_of_payments_at_sourcing_cost() -> None:
    amount, currency, basis = valued(reimbursements=OLD, fees=[preview(0)])
    assert (amount, currency) == ("30.00", "USD")
    assert "median" in basis


def test_the_median_of_two_payments_is_their_mean() -> None:
    assert valued(reimbursements=OLD[:2])[0] == "28.50"


def test_payments_in_different_currencies_are_not_mixed() -> None:
    foreign = [paid(-60 - day, "Lost_Warehouse", 1, "50.00", currencyunit="CAD") for day in (1, 2)]
    assert valued(reimbursements=[*foreign, OLD[0]])[:2] == ("27.00", "USD")


def test_without_payments_a_unit_is_worth_its_price_less_fees_as_an_upper_bound() -> None:
    amount, currency, basis = valued(fees=[preview(-9, yourprice="99.00"), preview(0)])
    assert (amount, currency) == ("51.00", "USD")
    assert "upper bound" in basis


def test_the_price_may_come_from_the_inventory_report() -> None:
    stock = [{"sku": "SKU-1", "fnsku": "X1", "yourprice": "18,00"}]
    assert valued(fees=[preview(0, yourprice="")], stock=stock)[0] == "30.00"


def test_without_cost_payments_or_price_the_value_is_unknown() -> None:
    amount, currency, basis = valued()
    assert (amount, currency) == (None, None)
    assert basis.startswith("Not known")
    assert valued(fees=[preview(0, yourprice="8.00")])[0] is None
    assert valued(fees=[preview(0, estimatedfeetotal="--")])[0] is None


def test_a_row_without_a_sku_gets_it_from_another_dataset() -> None:
    rows = {
        "ledger": [adjusted(0, "M", -1, msku="")],
        "stock": [{"sku": "SKU-1", "fnsku": "X1", "yourprice": ""}],
    }
    assert only_claim(rows, "R1", costs={"SKU-1": Money("4", "USD")}).amount == "4.00"


def test_yen_amounts_have_no_decimals() -> None:
    rows = {"ledger": [adjusted(0, "M", -3, country="JP")]}
    claim = only_claim(rows, "R1", costs={"SKU-1": Money("333.5", "JPY")})
    assert (claim.amount, claim.currency) == ("1001", "JPY")
    assert "334 JPY per unit" in claim.valuation
