"""R15: units replaced, while the customer kept the original ones."""

from typing import Any

import pytest

from connectors.claims import Findings

from .sellers import (
    DE,
    JP,
    ORDER,
    Row,
    claims_of,
    find,
    on,
    only_claim,
    paid,
    preview,
    refund,
    replaced,
    returned,
    reversed_,
    transaction,
    units,
)

CLAIM = f"R15:{ORDER}:SKU-1"
REPLACEMENT_ORDER = "111-0000009-0000009"


def sold(quantity: int = 1, total: float = 16.4, **more: Any) -> Row:
    return transaction("Shipment", -20, total, quantity, principal=20.0 * quantity, **more)


def rows(*replacements: Row, **more: list[Row]) -> dict[str, list[Row]]:
    return {"transactions": [sold()], "replacements": list(replacements), **more}


def test_a_replaced_unit_that_never_came_back_is_worth_what_its_sale_brought() -> None:
    claim = only_claim(rows(replaced(0)), "R15", at=70)
    assert (claim.id, claim.units, claim.amount, claim.currency) == (CLAIM, 1, "16.40", "USD")
    assert (claim.opens, claim.closes, claim.status) == (on(60), on(120), "claimable")
    assert (claim.happened_at, claim.confidence) == (on(0), "high")
    assert claim.evidence == {"replacements": ("replacements-0000",)}
    assert claim.details["replacementOrder"] == REPLACEMENT_ORDER
    assert claim.title == "1 unit of SKU-1 replaced, the original never returned"
    assert [step.amount for step in claim.steps] == [None, "16.40"]
    for line in (
        "Day of the replacement: 2026-06-01",
        f"Order ID: {ORDER}",
        f"Replacement order ID: {REPLACEMENT_ORDER}",
        "Amount: 16.40 USD",
    ):
        assert line in claim.case_text.splitlines()


@pytest.mark.parametrize(
    ("country", "days"), [("DE", (45, 105)), ("JP", (45, 105)), ("US", (60, 120))]
)
def test_the_days_are_those_of_returns_where_the_original_was_sold(
    country: str, days: tuple[int, int]
) -> None:
    places = {"DE": DE, "JP": JP, "US": "ATVPDKIKX0DER"}
    details = {"marketplaceId": places[country], "marketplaceName": ""}
    owed = {"transactions": [sold(marketplaceDetails=details)], "replacements": [replaced(0)]}
    claim = only_claim(owed, "R15")
    assert (claim.opens, claim.closes) == (on(days[0]), on(days[1]))


@pytest.mark.parametrize("disposition", ["SELLABLE", "DAMAGED", "CUSTOMER_DAMAGED"])
@pytest.mark.parametrize("order", [ORDER, REPLACEMENT_ORDER])
def test_an_original_that_came_back_late_in_any_condition_is_found(
    order: str, disposition: str
) -> None:
    back = returned(40, disposition, orderid=order)
    found = find(rows(replaced(0), returns=[back]), at=70)
    assert [claim.rule for claim in found.claims if claim.rule == "R15"] == []
    assert found.closed[CLAIM] == "found"


@pytest.mark.parametrize("order", [ORDER, REPLACEMENT_ORDER])
@pytest.mark.parametrize("reason", ["CustomerReturn", "Lost_Outbound"])
def test_an_original_that_amazon_paid_for_is_settled(order: str, reason: str) -> None:
    payment = paid(45, reason, 1, "15.00", amazonorderid=order, fnsku="")
    found = find(rows(replaced(0), reimbursements=[payment]), at=70)
    assert CLAIM in found.settled
    assert found.payments[CLAIM].amount == "15.00"


def test_a_replaced_unit_that_was_refunded_too_is_claimed_once_as_a_refund() -> None:
    owed = {"transactions": [sold(), refund(10, -17.0, principal=-20.0)]}
    found = find({**owed, "replacements": [replaced(0)]}, at=75)
    assert [claim.rule for claim in found.claims] == ["R4"]


def test_of_two_units_one_refunded_and_one_replaced_each_is_claimed_once() -> None:
    owed = {
        "transactions": [sold(2, 32.8), refund(10, -17.0, principal=-20.0)],
        "replacements": [replaced(0)],
    }
    found = find(owed, at=75)
    assert {claim.rule: claim.units for claim in found.claims} == {"R4": 1, "R15": 1}
    both = find({**owed, "returns": [returned(20, quantity=2)]}, at=75)
    assert not both.claims


def test_a_damaged_return_of_a_replaced_unit_is_claimed_as_the_return() -> None:
    found = find(rows(replaced(0), returns=[returned(5, "DAMAGED")]), at=75)
    assert [claim.rule for claim in found.claims] == ["R5"]


def test_returns_and_payments_close_the_oldest_replacement_first() -> None:
    sales = [sold(3, 60.0)]
    owed = {"transactions": sales, "replacements": [replaced(0), replaced(6), replaced(9)]}
    assert only_claim(owed, "R15", at=70).happened_at == on(0)
    claim = only_claim({**owed, "returns": [returned(20)]}, "R15", at=70)
    assert (claim.units, claim.amount, claim.happened_at) == (2, "40.00", on(6))
    payment = paid(30, "CustomerReturn", 1, amazonorderid=ORDER)
    claim = only_claim({**owed, "returns": [returned(20)], "reimbursements": [payment]}, "R15")
    assert (claim.units, claim.happened_at, claim.details["paid"]) == (1, on(9), "1")


def test_no_more_units_are_claimed_than_were_sold() -> None:
    assert units(rows(replaced(0), replaced(8)), "R15") == 1


def test_without_its_sale_a_unit_is_worth_its_price_less_fees_or_has_no_amount() -> None:
    owed = {"replacements": [replaced(0)]}
    claim = only_claim(owed, "R15")
    assert (claim.units, claim.amount) == (1, None)
    assert "its sale is older" in claim.valuation
    claim = only_claim({**owed, "fees": [preview(0)]}, "R15")
    assert claim.amount == "17.00" and "upper bound" in claim.valuation


def test_without_its_sale_a_refund_is_taken_to_be_for_the_same_unit() -> None:
    owed = {"transactions": [refund(10)], "replacements": [replaced(0)]}
    assert [claim.rule for claim in find(owed, at=75).claims] == ["R4"]


@pytest.mark.parametrize("order", [ORDER, REPLACEMENT_ORDER])
def test_a_payment_taken_back_opens_the_claim_again_and_no_other(order: str) -> None:
    payments = [
        paid(20, "CustomerReturn", 1, amazonorderid=order, _id="one"),
        reversed_(40, "one", 1, "CustomerReturn", amazonorderid=order),
    ]
    found = find(rows(replaced(0), reimbursements=payments), at=70)
    assert {claim.rule: claim.units for claim in found.claims} == {"R15": 1}


def skipped(missing: str) -> Findings:
    return find(rows(replaced(0)), at=70, missing=[missing])


@pytest.mark.parametrize("missing", ["replacements", "transactions", "returns", "reimbursements"])
def test_without_an_input_the_rule_does_not_run_and_names_it(missing: str) -> None:
    found = skipped(missing)
    assert "R15" not in found.ran
    assert missing in found.skipped["R15"]


def test_a_row_that_cannot_be_read_is_counted_and_the_others_count() -> None:
    bad = [replaced(0, shipmentdate="soon"), replaced(0, 0), replaced(0, originalamazonorderid="")]
    claim = only_claim(rows(replaced(0), *bad), "R15")
    assert claim.details["unusableRows"] == "replacements: 3"
    assert not claims_of(rows(*bad), "R15")


def test_the_other_name_of_the_replacement_order_is_read_too() -> None:
    row = replaced(0, replacementcustomerorderid="111-7", replacementamazonorderid="")
    back = returned(9, orderid="111-7")
    assert only_claim(rows(row), "R15").details["replacementOrder"] == "111-7"
    assert not claims_of(rows(row, returns=[back]), "R15")
