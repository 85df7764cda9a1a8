"""R9 and R10: reimbursements that were taken back, or too small."""

from typing import Any

import pytest

from connectors.base import Money

from .sellers import (
    ORDER,
    adjusted,
    claim,
    claims,
    find,
    on,
    paid,
    receipt,
    refund,
    restocked,
    returned,
    reversed_,
    shipment,
    units,
)

EARLY = adjusted(-60, "", -1, eventtype="Shipments", fnsku="X9")
PAID = paid(-20, "Lost_Warehouse", 2, _id="pay")
TAKEN = reversed_(0, "pay", 2, "Lost_Warehouse")


def taken(*ledger: Any, payments: Any = None) -> dict[str, Any]:
    return {"ledger": [EARLY, *ledger], "reimbursements": payments or [PAID, TAKEN]}


def test_a_payment_taken_back_though_nothing_was_found_is_owed() -> None:
    found = claim(taken(), "R9")
    assert (found.units, found.amount, found.currency) == (2, "20.00", "USD")
    assert (found.opens, found.closes, found.confidence) == (on(7), on(60), "high")
    assert found.evidence == {"reimbursements": ("pay", "reimbursements-0001")}
    assert (found.details["reversal"], found.details["reimbursement"]) == ("pay-0", "pay")


@pytest.mark.parametrize(
    ("day", "status"), [(6, "waiting"), (7, "claimable"), (60, "claimable"), (61, "expired")]
)
def test_it_waits_until_a_find_would_have_shown(day: int, status: str) -> None:
    assert claim(taken(), "R9", at=day).status == status


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
def test_whatever_turned_up_explains_the_reversal(turned_up: Any, day: int) -> None:
    assert not claims(taken(turned_up(day)), "R9")


@pytest.mark.parametrize("day", [-28, 8])
def test_what_turned_up_earlier_or_later_does_not(day: int) -> None:
    assert units(taken(adjusted(day, "F", 1)), "R9") == 2


def test_another_product_that_turned_up_does_not() -> None:
    assert units(taken(adjusted(0, "F", 1, fnsku="X2")), "R9") == 2


def test_without_its_original_or_a_ledger_that_reaches_back_a_reversal_is_unsure() -> None:
    assert claim(taken(payments=[TAKEN]), "R9").confidence == "low"
    late = {"ledger": [adjusted(-5, "", 1)], "reimbursements": [PAID, TAKEN]}
    assert claim(late, "R9").confidence == "low"


def test_a_reversed_payment_that_was_paid_again_is_settled() -> None:
    found = find(taken(payments=[PAID, TAKEN, paid(5, "Lost_Warehouse", 2)]))
    assert not found.claims
    assert found.settled == ("R9:pay-0:X1:SKU-1:pay",)


def test_a_reversal_that_comes_again_without_its_product_is_the_same() -> None:
    again = TAKEN | {"_id": "again", "sku": "", "reimbursementid": "pay-0"}
    found = claims(taken(payments=[PAID, TAKEN, again]), "R9")
    assert [(each.id, each.units) for each in found] == [("R9:pay-0:X1:SKU-1:pay", 2)]


def test_of_an_order_nothing_is_said_while_its_refunds_are_unknown() -> None:
    payments = [
        paid(-20, "Lost_Outbound", 1, amazonorderid=ORDER, _id="pay"),
        reversed_(0, "pay", 1, "Lost_Outbound"),
    ]
    assert units(taken(payments=payments), "R9") == 1
    assert not claims(taken(payments=payments), "R9", missing=["transactions"])
    rows = taken(payments=payments) | {"transactions": [refund(-30)]}
    assert [each.rule for each in find(rows).claims] == ["R4"]


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
def test_of_two_payments_for_one_loss_either_may_be_taken_back(
    reason: str, rows: dict[str, Any], reversed_one: str
) -> None:
    order = {"amazonorderid": ORDER} if reason == "CustomerReturn" else {}
    payments = [
        paid(-20, reason, 1, _id="one", **order),
        paid(-18, reason, 1, _id="two", **order),
        reversed_(0, reversed_one, 1, reason, **order),
    ]
    assert not find(rows | {"reimbursements": payments}).claims


def test_of_two_losses_and_one_payment_left_one_is_owed_and_once() -> None:
    losses = [adjusted(-40, "M", -1), adjusted(-20, "M", -1)]
    payments = [
        paid(-38, "Lost_Warehouse", 1, _id="one"),
        paid(-18, "Lost_Warehouse", 1, _id="two"),
        reversed_(0, "one", 1, "Lost_Warehouse"),
    ]
    assert [each.rule for each in find(taken(*losses, payments=payments)).claims] == ["R1"]


def test_a_loss_that_amazon_calls_closed_is_owed_after_a_reversal_until_it_is_paid_again() -> None:
    loss = adjusted(-25, "M", -2, unreconciledquantity="0")
    assert [each.id for each in find(taken(loss)).claims] == ["R9:pay-0:X1:SKU-1:pay"]
    again = paid(9, "Lost_Warehouse", 2)
    found = find(taken(loss, payments=[PAID, TAKEN, again]))
    assert not found.claims
    assert "R9:pay-0:X1:SKU-1:pay" in found.settled


def test_units_taken_back_are_owed_at_what_they_are_worth_if_no_money_was() -> None:
    kind: Any = {"quantityreimbursedcash": "0", "amounttotal": "0.00"}
    payments = [
        paid(-20, "Lost_Warehouse", 2, _id="pay", **kind),
        reversed_(0, "pay", 2, "Lost_Warehouse", **kind),
    ]
    assert claim(taken(payments=payments), "R9", costs=COST).amount == "24.00"


def test_what_came_back_to_its_order_explains_a_reversal_though_the_ledger_does_not_tell() -> None:
    payments = [
        paid(-20, "CustomerReturn", 1, amazonorderid=ORDER, _id="pay"),
        reversed_(0, "pay", 1, "CustomerReturn", amazonorderid=ORDER),
    ]
    rows = {"reimbursements": payments, "ledger": [adjusted(2, "", -1, eventtype="Shipments")]}
    assert units(rows, "R9") == 1
    assert not find(rows | {"returns": [returned(-5)]}).claims


# R10 ---------------------------------------------------------------------------------------------

COST = {"SKU-1": Money("12.00", "USD")}


def test_a_loss_paid_below_its_cost_is_owed_the_rest() -> None:
    found = claim({"reimbursements": [paid(0, "Lost_Warehouse", 3, _id="pay")]}, "R10", costs=COST)
    assert (found.id, found.units, found.amount) == ("R10:pay:X1:SKU-1:lostwarehouse", 3, "6.00")
    assert (found.opens, found.closes) == (on(0), on(60))


@pytest.mark.parametrize(("each", "owed"), [("11.40", 0), ("11.39", 1), ("12.00", 0)])
def test_a_twentieth_below_cost_is_near_enough(each: str, owed: int) -> None:
    rows = {"reimbursements": [paid(0, "Damaged_Warehouse", 1, each)]}
    assert units(rows, "R10", costs=COST) == owed


@pytest.mark.parametrize(
    "other",
    [
        {"reason": "CustomerReturn"},
        {"currencyunit": "CAD"},
        {"sku": "SKU-2"},
        {"quantityreimbursedcash": "0", "quantityreimbursedinventory": "1"},
        {"approvaldate": "2025-03-30"},
    ],
)
def test_what_cannot_be_compared_is_not_owed(other: dict[str, str]) -> None:
    row = paid(0, "Lost_Warehouse", 1) | other
    assert not claims({"reimbursements": [row]}, "R10", costs=COST)


def test_what_was_taken_back_was_not_paid_too_low() -> None:
    rows = {"reimbursements": [PAID, TAKEN]}
    assert not claims(rows, "R10", costs=COST)


def test_without_costs_nothing_was_paid_too_low() -> None:
    assert not claims({"reimbursements": [paid(0, "Lost_Warehouse", 1)]}, "R10")
