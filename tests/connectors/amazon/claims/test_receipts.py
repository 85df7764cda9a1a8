"""R14: units of a shipment that were received damaged or taken back."""

from typing import Any

import pytest

from connectors.claims import Money

from .sellers import (
    SHIPMENT,
    adjusted,
    claims_of,
    find,
    on,
    only_claim,
    paid,
    receipt,
    reversed_,
    shipment,
    units,
)

BROKEN: Any = {"disposition": "WAREHOUSE_DAMAGED"}


def sent(received: int, *receipts: Any, **more: Any) -> dict[str, Any]:
    """A closed shipment of ten units."""
    return {"shipments": [shipment(10, received)], "ledger": list(receipts), **more}


def test_units_received_damaged_are_owed() -> None:
    rows = sent(10, receipt(0, 8), receipt(1, 2, **BROKEN))
    claim = only_claim(rows, "R14", costs={"SKU-1": Money("4", "USD")})
    assert (claim.id, claim.units, claim.amount) == (f"R14:{SHIPMENT}:X1:damaged", 2, "8.00")
    assert (claim.opens, claim.closes, claim.confidence) == (on(15), on(270), "high")
    assert claim.title == f"2 units of SKU-1 received damaged, shipment {SHIPMENT}"
    assert claim.evidence == {"shipments": ("shipments-0000",), "ledger": ("ledger-0001",)}
    assert not claims_of(rows, "R8")


def test_units_that_the_supplier_may_have_damaged_have_low_confidence() -> None:
    rows = sent(
        10, receipt(0, 7), receipt(1, 2, disposition="DISTRIBUTOR_DAMAGED"), receipt(1, 1, **BROKEN)
    )
    claims = claims_of(rows, "R14")
    assert [(claim.units, claim.confidence) for claim in claims] == [(1, "high"), (2, "low")]


@pytest.mark.parametrize("disposition", ["SELLABLE", "CUSTOMER_DAMAGED", "DEFECTIVE", "EXPIRED"])
def test_other_receipts_are_not_owed(disposition: str) -> None:
    assert not find(sent(10, receipt(0, 10, disposition=disposition))).claims


def test_a_receipt_of_another_sellers_shipment_is_not_owed() -> None:
    assert not find({"ledger": [receipt(0, 2, **BROKEN)]}).claims


def test_units_taken_back_after_their_receipt_are_owed() -> None:
    claim = only_claim(sent(10, receipt(0, 10), receipt(20, -3)), "R14")
    assert (claim.id, claim.units) == (f"R14:{SHIPMENT}:X1:taken-back", 3)
    assert (claim.opens, claim.confidence) == (on(15), "high")
    assert "taken back after their receipt" in claim.title


@pytest.mark.parametrize(
    ("received", "receipts"),
    [
        (10, [receipt(0, 10), receipt(20, -3), receipt(22, 3)]),
        (11, [receipt(0, 11), receipt(20, -1)]),  # there was one too many
        (10, [receipt(0, 13), receipt(20, -3)]),
    ],
)
def test_a_correction_of_a_receipt_is_not_owed(received: int, receipts: list[Any]) -> None:
    assert not find(sent(received, *receipts)).claims


def test_units_that_the_shipment_counts_as_missing_are_claimed_once() -> None:
    claims = find(sent(7, receipt(0, 10), receipt(20, -3))).claims
    assert [(claim.rule, claim.units) for claim in claims] == [("R8", 3)]
    claims = find(sent(8, receipt(0, 10), receipt(20, -3))).claims
    assert [(claim.rule, claim.units) for claim in claims] == [("R8", 2), ("R14", 1)]


def test_a_shipment_that_is_still_received_may_correct_its_receipts() -> None:
    rows = sent(10, receipt(0, 10), receipt(20, -3))
    rows["shipments"] = [shipment(10, 10, "RECEIVING")]
    assert not claims_of(rows, "R14")


def test_units_taken_back_have_low_confidence_if_the_ledger_lacks_receipts() -> None:
    assert only_claim(sent(10, receipt(0, 4), receipt(20, -3)), "R14").confidence == "low"


@pytest.mark.parametrize("reason", ["Damaged_Inbound", "Lost_Inbound"])
@pytest.mark.parametrize("named", [{}, {"caseid": SHIPMENT}])
def test_a_payment_settles_units_received_damaged(reason: str, named: dict[str, str]) -> None:
    payment = paid(20, reason, 2, **named)
    rows = sent(10, receipt(0, 8), receipt(1, 2, **BROKEN), reimbursements=[payment])
    assert not find(rows).claims
    assert find(rows).settled == (f"R14:{SHIPMENT}:X1:damaged",)


@pytest.mark.parametrize(
    "other", [{"caseid": "FBA15OTHER01"}, {"fnsku": "X2"}, {"reason": "Damaged_Warehouse"}]
)
def test_a_payment_for_something_else_leaves_them_open(other: dict[str, str]) -> None:
    payment = paid(20, "Damaged_Inbound", 2) | other
    rows = sent(10, receipt(0, 8), receipt(1, 2, **BROKEN), reimbursements=[payment])
    assert units(rows, "R14") == 2


def test_a_payment_for_lost_units_is_for_missing_ones_first() -> None:
    rows = sent(8, receipt(0, 7), receipt(1, 1, **BROKEN))
    for count, left in ((1, {"R8": 1, "R14": 1}), (2, {"R14": 1}), (3, {})):
        payment = paid(20, "Lost_Inbound", count)
        claims = find(rows | {"reimbursements": [payment]}).claims
        assert {claim.rule: claim.units for claim in claims} == left


def test_a_damaged_unit_that_is_disposed_of_later_is_claimed_once() -> None:
    rows = sent(10, receipt(0, 8), receipt(1, 2, **BROKEN), adjusted(15, "D", -2, **BROKEN))
    assert [(claim.rule, claim.units) for claim in find(rows).claims] == [("R14", 2)]


def test_a_payment_taken_back_reopens_the_damage_and_is_not_a_second_claim() -> None:
    payments = [
        paid(9, "Damaged_Inbound", 2, _id="pay"),
        reversed_(20, "pay", 2, "Damaged_Inbound"),
    ]
    early = adjusted(-60, "Q", -1)
    rows = sent(10, early, receipt(0, 8), receipt(1, 2, **BROKEN), reimbursements=payments)
    assert [(claim.rule, claim.units) for claim in find(rows).claims] == [("R14", 2)]
