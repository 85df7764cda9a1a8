"""Why a claim is closed, for each rule that says so, and what becomes of a claim whose payment is
taken back."""

from typing import Any

import pytest

from connectors.claims import Findings, Money

from .sellers import (
    ORDER,
    SHIPMENT,
    adjusted,
    find,
    on,
    only_claim,
    paid,
    receipt,
    refund,
    removal,
    restocked,
    returned,
    reversed_,
    shipment,
)

COST = {"SKU-1": Money("12.00", "USD")}
EARLY = adjusted(-60, "", -1, eventtype="Shipments", fnsku="X9")
LOST = adjusted(0, "M", -1)
R1 = f"R1:X1:{on(0)}:ref-0"
R4 = f"R4:{ORDER}:SKU-1"


def closed(rows: dict[str, Any], at: int = 70, **more: Any) -> Findings:
    return find({**rows, "ledger": [EARLY, *rows.get("ledger", ())]}, at=at, **more)


def given_back(day: int, reversal: str, quantity: int, **more: Any) -> Any:
    """Amazon takes a reversal back: it names the reversal as its original, and gives money."""
    return reversed_(day, reversal, -quantity, "Reimbursement_Reversal", **more)


# Reversed -----------------------------------------------------------------------------------------


def test_an_underpayment_is_reversed_with_its_payment_and_the_loss_is_open_again() -> None:
    payments = [
        paid(5, "Lost_Warehouse", 1, _id="pay"),
        reversed_(20, "pay", 1, "Lost_Warehouse"),
    ]
    before = only_claim({"ledger": [LOST], "reimbursements": payments[:1]}, "R10", costs=COST)
    findings = closed({"ledger": [LOST], "reimbursements": payments}, costs=COST)
    assert findings.closed == {before.id: "reversed"}
    assert list(findings.unpaid) == [before.id]
    assert [claim.id for claim in findings.claims] == [R1]


def test_an_underpayment_of_which_a_line_still_stands_is_not_reversed() -> None:
    line = {"reimbursementid": "801"}
    payments = [paid(5, "Lost_Warehouse", 1, "9.00", _id=f"{n}", **line) for n in range(2)]
    taken = reversed_(20, "801", 1, "Lost_Warehouse")
    findings = closed({"reimbursements": [*payments, taken]}, costs=COST)
    assert [claim.units for claim in findings.claims if claim.rule == "R10"] == [1]
    assert not [claim_id for claim_id in findings.closed if claim_id.startswith("R10")]


def test_a_reconciled_loss_is_reversed_if_its_payment_was_and_the_reversal_is_the_claim() -> None:
    reconciled = LOST | {"unreconciledquantity": "0"}
    payments = [
        paid(5, "Lost_Warehouse", 1, _id="pay"),
        reversed_(20, "pay", 1, "Lost_Warehouse"),
    ]
    rows = {"ledger": [reconciled], "reimbursements": payments[:1]}
    assert closed(rows).settled == (R1,)
    findings = closed(rows | {"reimbursements": payments})
    assert (findings.closed, list(findings.unpaid)) == ({R1: "reversed"}, [R1])
    assert [claim.rule for claim in findings.claims] == ["R9"]


def test_a_reversal_explains_as_many_losses_as_it_has_units_from_the_oldest_on() -> None:
    losses = [
        adjusted(day, "M", -1, unreconciledquantity="0", referenceid=f"ref-{day}")
        for day in (0, 3, 30)
    ]
    payments = [
        paid(5, "Lost_Warehouse", 1, _id="pay"),
        reversed_(20, "pay", 1, "Lost_Warehouse"),
    ]
    reasons = closed({"ledger": losses, "reimbursements": payments}).closed
    assert list(reasons.values()) == ["reversed", "reconciled", "reconciled"]


def test_a_damage_is_reversed_too() -> None:
    damaged = adjusted(0, "E", -1, unreconciledquantity="0")
    payments = [
        paid(5, "Damaged_Warehouse", 1, _id="pay"),
        reversed_(20, "pay", 1, "Damaged_Warehouse"),
    ]
    findings = closed({"ledger": [damaged], "reimbursements": payments})
    assert findings.closed == {"R2:X1:ref-0": "reversed"}
    assert [claim.rule for claim in findings.claims] == ["R9"]


def test_a_short_payment_for_a_return_is_reversed_and_the_refund_is_open_again() -> None:
    order = {"amazonorderid": ORDER}
    payments = [
        paid(50, "CustomerReturn", 1, "5.00", _id="pay", **order),
        reversed_(60, "pay", 1, "CustomerReturn", **order),
    ]
    rows: dict[str, Any] = {"transactions": [refund(0)], "reimbursements": payments[:1]}
    before = only_claim(rows, "R13", at=70)
    findings = closed(rows | {"reimbursements": payments})
    assert findings.closed == {before.id: "reversed"}
    assert [claim.id for claim in findings.claims] == [R4]


@pytest.mark.parametrize("units_named", ["2", ""])
def test_a_reversal_that_was_taken_back_is_reversed_and_its_payment_stands(
    units_named: str,
) -> None:
    loss = adjusted(0, "M", -2)
    payments = [
        paid(5, "Lost_Warehouse", 2, _id="pay"),
        reversed_(20, "pay", 2, "Lost_Warehouse", reimbursementid="taken"),
    ]
    rows: dict[str, Any] = {"ledger": [loss], "reimbursements": payments}
    assert [claim.id for claim in closed(rows).claims] == [R1]
    units = dict.fromkeys(("quantityreimbursedcash", "quantityreimbursedtotal"), units_named)
    back = given_back(30, "taken", 2, **units)
    findings = closed(rows | {"reimbursements": [*payments, back]})
    assert findings.claims == []
    assert findings.settled == (R1,)
    assert findings.closed == {"R9:taken:X1:SKU-1:pay": "reversed"}


def test_a_reversal_that_was_taken_back_in_part_is_owed_for_the_rest() -> None:
    payments = [
        paid(5, "Lost_Warehouse", 2, _id="pay"),
        reversed_(20, "pay", 2, "Lost_Warehouse", reimbursementid="taken"),
        given_back(30, "taken", 1),
    ]
    (claim,) = closed({"reimbursements": payments}).claims
    assert (claim.rule, claim.units, claim.amount) == ("R9", 1, "10.00")
    assert len(claim.evidence["reimbursements"]) == 3


# Found --------------------------------------------------------------------------------------------


def test_a_paid_loss_that_turned_up_is_found_once_its_payment_is_taken_back() -> None:
    payments = [
        paid(5, "Lost_Warehouse", 1, _id="pay"),
        reversed_(20, "pay", 1, "Lost_Warehouse"),
    ]
    rows = {"ledger": [LOST, adjusted(17, "F", 1)], "reimbursements": payments}
    findings = closed(rows)
    assert findings.claims == []
    assert findings.closed == {R1: "found", "R9:pay-20:X1:SKU-1:pay": "found"}
    assert R1 in findings.unpaid


def test_a_refunded_unit_that_came_back_is_found_and_its_payment_stands_until_it_is_reversed() -> (
    None
):
    order = {"amazonorderid": ORDER}
    payments = [
        paid(50, "CustomerReturn", 1, "20.00", _id="pay", **order),
        reversed_(65, "pay", 1, "CustomerReturn", **order),
    ]
    rows = {"transactions": [refund(0)], "returns": [returned(55)]}
    standing = closed(rows | {"reimbursements": payments[:1]})
    assert (standing.closed[R4], R4 in standing.unpaid) == ("found", False)
    taken = closed(rows | {"reimbursements": payments})
    assert (taken.closed[R4], R4 in taken.unpaid) == ("found", True)


def test_a_receipt_that_was_taken_back_and_given_again_is_found() -> None:
    rows = {"shipments": [shipment(10, 10)], "ledger": [receipt(0, 10), receipt(20, -3)]}
    before = only_claim(rows, "R14")
    rows["ledger"] = [*rows["ledger"], receipt(30, 3)]
    assert closed(rows).closed[before.id] == "found"


def test_units_received_late_and_returns_restocked_late_are_found() -> None:
    short = {"shipments": [shipment(5, 3)], "ledger": [receipt(0, 3)]}
    before = only_claim(short, "R8")
    whole = {"shipments": [shipment(5, 5)], "ledger": [receipt(0, 3), receipt(50, 2)]}
    assert closed(whole).closed == {before.id: "found"}
    assert before.id == f"R8:{SHIPMENT}:X1"
    back = {"returns": [returned(0)], "ledger": [receipt(-1, 1)]}
    before = only_claim(back, "R6")
    back["ledger"] = [*back["ledger"], restocked(1, 1)]
    assert closed(back).closed == {before.id: "found"}


def test_a_transfer_that_arrives_late_is_found_and_a_paid_one_is_settled() -> None:
    def moved(day: int, quantity: int, reference: str) -> Any:
        return adjusted(day, "", quantity, eventtype="WhseTransfers", referenceid=reference)

    left = moved(0, -2, "t1")
    before = only_claim({"ledger": [left]}, "R20", at=70)
    assert closed({"ledger": [left, moved(60, 2, "t2")]}).closed == {before.id: "found"}
    payment = paid(60, "Lost_Warehouse", 2, "7.00", _id="pay")
    findings = closed({"ledger": [left], "reimbursements": [payment]})
    assert findings.settled == (before.id,)
    assert findings.payments[before.id].amount == "14.00"


# Reconciled, and no longer supported --------------------------------------------------------------


def test_a_removal_order_whose_figures_add_up_later_is_reconciled() -> None:
    figures = {"cancelledquantity": "0", "inprocessquantity": "0", "disposedquantity": "0"}
    order = {**removal(0, 5, ordertype="Return"), **figures}
    before = only_claim({"removals": [order | {"shippedquantity": "3"}]}, "R11")
    findings = closed({"removals": [order | {"shippedquantity": "5"}]})
    assert findings.closed == {before.id: "reconciled"}


def test_a_disposal_that_a_request_explains_is_no_longer_supported() -> None:
    disposed = adjusted(0, "D", -1)
    before = only_claim({"ledger": [disposed]}, "R3")
    findings = closed({"ledger": [disposed], "removals": [removal(-3, 1)]})
    assert findings.closed[before.id] == "no longer supported"
    reconciled = disposed | {"unreconciledquantity": "0"}
    assert closed({"ledger": [reconciled]}).closed == {before.id: "reconciled"}
