"""R9: reimbursements that Amazon took back."""

from typing import Any

import pytest

from connectors.claims import Money

from .sellers import (
    ORDER,
    adjusted,
    claims_of,
    find,
    on,
    only_claim,
    paid,
    receipt,
    refund,
    restocked,
    returned,
    reversed_,
    shipment,
    units,
)

COST = {"SKU-1": Money("12.00", "USD")}
EARLY = adjusted(-60, "", -1, eventtype="Shipments", fnsku="X9")
PAID = paid(-20, "Lost_Warehouse", 2, _id="pay")
TAKEN = reversed_(0, "pay", 2, "Lost_Warehouse")


def taken(*ledger: Any, payments: Any = None) -> dict[str, Any]:
    return {"ledger": [EARLY, *ledger], "reimbursements": payments or [PAID, TAKEN]}


def test_a_payment_taken_back_without_a_find_is_owed() -> None:
    claim = only_claim(taken(), "R9")
    assert (claim.units, claim.amount, claim.currency) == (2, "20.00", "USD")
    assert (claim.opens, claim.closes, claim.confidence) == (on(7), on(60), "high")
    assert claim.evidence == {"reimbursements": ("pay", "reimbursements-0001")}
    assert (claim.details["reversal"], claim.details["reimbursement"]) == ("pay-0", "pay")


@pytest.mark.parametrize(
    ("day", "status"), [(6, "waiting"), (7, "claimable"), (60, "claimable"), (61, "expired")]
)
def test_a_reversal_can_be_claimed_from_day_7_to_day_60(day: int, status: str) -> None:
    assert only_claim(taken(), "R9", at=day).status == status


@pytest.mark.parametrize("day", [-27, 0, 7])
@pytest.mark.parametrize(
    "turned_up",
    [
        lambda day: adjusted(day, "F", 1),
        lambda day: adjusted(day, "N", 1),
        lambda day: receipt(day, 1, shipment="FBA15OTHER01"),
        lambda day: restocked(day, 1),
        lambda day: restocked(day, 1, disposition="CUSTOMER_DAMAGED"),
    ],
)
def test_any_unit_that_turned_up_explains_the_reversal(turned_up: Any, day: int) -> None:
    assert not claims_of(taken(turned_up(day)), "R9")


@pytest.mark.parametrize("day", [-28, 8])
def test_a_unit_that_turned_up_earlier_or_later_does_not_explain_the_reversal(day: int) -> None:
    assert units(taken(adjusted(day, "F", 1)), "R9") == 2


def test_a_unit_of_another_product_does_not_explain_the_reversal() -> None:
    assert units(taken(adjusted(0, "F", 1, fnsku="X2")), "R9") == 2


def test_confidence_is_low_without_the_original_payment_or_an_early_ledger() -> None:
    assert only_claim(taken(payments=[TAKEN]), "R9").confidence == "low"
    late = {"ledger": [adjusted(-5, "", 1)], "reimbursements": [PAID, TAKEN]}
    assert only_claim(late, "R9").confidence == "low"


def test_a_reversed_payment_that_was_paid_again_is_settled() -> None:
    findings = find(taken(payments=[PAID, TAKEN, paid(5, "Lost_Warehouse", 2)]))
    assert not findings.claims
    assert findings.settled == ("R9:pay-0:X1:SKU-1:pay",)


def test_a_reversal_repeated_without_its_product_counts_once() -> None:
    again = TAKEN | {"_id": "again", "sku": "", "reimbursementid": "pay-0"}
    claims = claims_of(taken(payments=[PAID, TAKEN, again]), "R9")
    assert [(claim.id, claim.units) for claim in claims] == [("R9:pay-0:X1:SKU-1:pay", 2)]


def test_every_line_of_a_reversal_counts() -> None:
    lines = [reversed_(0, "pay", 1, "Lost_Warehouse", reimbursementid="802") for _ in range(2)]
    claims = claims_of(taken(payments=[PAID, *lines]), "R9")
    assert [(claim.units, claim.amount) for claim in claims] == [(2, "20.00")]


def test_a_reversal_for_an_order_is_not_claimed_while_transactions_are_incomplete() -> None:
    payments = [
        paid(-20, "Lost_Outbound", 1, amazonorderid=ORDER, _id="pay"),
        reversed_(0, "pay", 1, "Lost_Outbound"),
    ]
    assert units(taken(payments=payments), "R9") == 1
    assert not claims_of(taken(payments=payments), "R9", missing=["transactions"])
    rows = taken(payments=payments) | {"transactions": [refund(-30)]}
    assert [claim.rule for claim in find(rows).claims] == ["R4"]


@pytest.mark.parametrize("reversed_one", ["one", "two"])
@pytest.mark.parametrize(
    ("reason", "rows"),
    [
        ("Lost_Warehouse", {"ledger": [EARLY, adjusted(-25, "M", -1)]}),
        ("Damaged_Warehouse", {"ledger": [EARLY, adjusted(-25, "E", -1)]}),
        (
            "Lost_Inbound",
            {"ledger": [EARLY, receipt(-50, 9)], "shipments": [shipment(10, 9)]},
        ),
        ("CustomerReturn", {"ledger": [EARLY], "transactions": [refund(-40)]}),
    ],
)
def test_amazon_may_take_back_one_of_two_payments_for_one_loss(
    reason: str, rows: dict[str, Any], reversed_one: str
) -> None:
    order = {"amazonorderid": ORDER} if reason == "CustomerReturn" else {}
    payments = [
        paid(-20, reason, 1, "20.00", _id="one", **order),
        paid(-18, reason, 1, "20.00", _id="two", **order),
        reversed_(0, reversed_one, 1, reason, **order),
    ]
    assert not find(rows | {"reimbursements": payments}).claims


def test_two_losses_with_one_remaining_payment_are_one_claim() -> None:
    losses = [adjusted(-40, "M", -1), adjusted(-20, "M", -1)]
    payments = [
        paid(-38, "Lost_Warehouse", 1, _id="one"),
        paid(-18, "Lost_Warehouse", 1, _id="two"),
        reversed_(0, "one", 1, "Lost_Warehouse"),
    ]
    assert [claim.rule for claim in find(taken(*losses, payments=payments)).claims] == ["R1"]


def test_a_reconciled_loss_is_owed_after_a_reversal_until_it_is_paid_again() -> None:
    loss = adjusted(-25, "M", -2, unreconciledquantity="0")
    assert [claim.id for claim in find(taken(loss)).claims] == ["R9:pay-0:X1:SKU-1:pay"]
    again = paid(9, "Lost_Warehouse", 2)
    findings = find(taken(loss, payments=[PAID, TAKEN, again]))
    assert not findings.claims
    assert "R9:pay-0:X1:SKU-1:pay" in findings.settled


def test_inventory_taken_back_is_valued_at_the_cost_of_the_units() -> None:
    kind: Any = {"quantityreimbursedcash": "0", "amounttotal": "0.00"}
    payments = [
        paid(-20, "Lost_Warehouse", 2, _id="pay", **kind),
        reversed_(0, "pay", 2, "Lost_Warehouse", **kind),
    ]
    assert only_claim(taken(payments=payments), "R9", costs=COST).amount == "24.00"


def test_a_return_of_the_order_explains_a_reversal() -> None:
    payments = [
        paid(-20, "CustomerReturn", 1, amazonorderid=ORDER, _id="pay"),
        reversed_(0, "pay", 1, "CustomerReturn", amazonorderid=ORDER),
    ]
    rows = {"reimbursements": payments, "ledger": [adjusted(2, "", -1, eventtype="Shipments")]}
    assert units(rows, "R9") == 1
    assert not find(rows | {"returns": [returned(-5)]}).claims
