"""R10: reimbursements that paid less than the cost."""

import pytest

from connectors.claims import Money

from .sellers import claims_of, on, only_claim, paid, reversed_, units

COST = {"SKU-1": Money("12.00", "USD")}


def test_a_loss_paid_below_cost_is_owed_the_difference() -> None:
    claim = only_claim(
        {"reimbursements": [paid(0, "Lost_Warehouse", 3, _id="pay")]}, "R10", costs=COST
    )
    assert (claim.id, claim.units, claim.amount) == ("R10:pay:X1:SKU-1:lostwarehouse", 3, "6.00")
    assert (claim.opens, claim.closes) == (on(0), on(60))


@pytest.mark.parametrize(("per_unit", "owed"), [("11.40", 0), ("11.39", 1), ("12.00", 0)])
def test_a_payment_of_95_percent_of_the_cost_is_enough(per_unit: str, owed: int) -> None:
    rows = {"reimbursements": [paid(0, "Damaged_Warehouse", 1, per_unit)]}
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
def test_a_payment_that_cannot_be_compared_has_no_claim(other: dict[str, str]) -> None:
    row = paid(0, "Lost_Warehouse", 1) | other
    assert not claims_of({"reimbursements": [row]}, "R10", costs=COST)


def test_a_reversed_payment_is_not_an_underpayment() -> None:
    rows = {
        "reimbursements": [
            paid(-20, "Lost_Warehouse", 2, _id="pay"),
            reversed_(0, "pay", 2, "Lost_Warehouse"),
        ]
    }
    assert not claims_of(rows, "R10", costs=COST)


def test_without_a_cost_there_is_no_underpayment() -> None:
    assert not claims_of({"reimbursements": [paid(0, "Lost_Warehouse", 1)]}, "R10")


def test_the_lines_of_a_reimbursement_are_one_claim() -> None:
    lines = [
        paid(0, "Lost_Warehouse", count, amount, reimbursementid="801")
        for count, amount in ((1, "10.00"), (2, "9.00"), (1, "12.00"))
    ]
    claim = only_claim({"reimbursements": lines}, "R10", costs=COST)
    assert (claim.id, claim.units, claim.amount) == ("R10:801:X1:SKU-1:lostwarehouse", 3, "8.00")
    assert len(claim.evidence["reimbursements"]) == 2
