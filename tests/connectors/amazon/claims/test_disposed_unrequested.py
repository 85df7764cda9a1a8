"""R3: units that Amazon disposed of without request; and that each unit is claimed once."""

from typing import Any

import pytest

from .sellers import adjusted, claims_of, find, on, only_claim, paid, removal, reversed_, units


def disposed(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"ledger": list(rows), **more}


@pytest.mark.parametrize("disposition", ["SELLABLE", "WAREHOUSE_DAMAGED", "EXPIRED"])
def test_an_unrequested_disposal_is_owed(disposition: str) -> None:
    claim = only_claim(disposed(adjusted(0, "D", -2, disposition=disposition)), "R3")
    assert (claim.id, claim.units) == (f"R3:X1:{on(0)}:ref-0", 2)
    assert (claim.opens, claim.closes) == (on(7), on(60))


@pytest.mark.parametrize("disposition", ["CUSTOMER_DAMAGED", "DEFECTIVE", "DISTRIBUTOR_DAMAGED"])
def test_a_disposal_that_amazon_is_not_responsible_for_is_not_owed(disposition: str) -> None:
    assert not find(disposed(adjusted(0, "D", -1, disposition=disposition))).claims


@pytest.mark.parametrize(
    ("day", "status"),
    [(6, "waiting"), (7, "claimable"), (60, "claimable"), (61, "expired")],
)
def test_the_window_includes_the_day_it_opens_and_the_day_it_closes(day: int, status: str) -> None:
    assert only_claim(disposed(adjusted(0, "D", -1)), "R3", day).status == status


@pytest.mark.parametrize(("day", "left"), [(-31, 1), (-30, 0), (30, 0), (31, 1)])
def test_a_removal_order_within_30_days_explains_the_disposal(day: int, left: int) -> None:
    rows = disposed(adjusted(0, "D", -1), removals=[removal(day, 1)])
    assert units(rows, "R3") == left


def test_the_last_update_of_a_removal_order_counts_as_well() -> None:
    slow = removal(-50, 1, lastupdateddate=on(0).isoformat())
    assert units(disposed(adjusted(0, "D", -1), removals=[slow]), "R3") == 0


def test_a_removal_order_covers_all_days_and_units_in_process() -> None:
    slow = removal(-60, 1, lastupdateddate=on(60).isoformat())
    assert units(disposed(adjusted(0, "D", -1), removals=[slow]), "R3") == 0
    begun = removal(-2, 3, disposedquantity="1", inprocessquantity="2")
    assert units(disposed(adjusted(0, "D", -3), removals=[begun]), "R3") == 0


@pytest.mark.parametrize(
    "other", [{"fnsku": "X2"}, {"ordertype": "Return"}, {"disposedquantity": "0"}]
)
def test_another_removal_order_does_not_explain_the_disposal(other: dict[str, str]) -> None:
    rows = disposed(adjusted(0, "D", -1), removals=[removal(-2, 1) | other])
    assert units(rows, "R3") == 1


def test_a_removal_order_covers_as_many_units_as_it_disposed_of() -> None:
    rows = disposed(adjusted(0, "D", -2), adjusted(3, "D", -2), removals=[removal(-2, 3)])
    claim = only_claim(rows, "R3")
    assert (claim.units, claim.opens) == (1, on(10))


@pytest.mark.parametrize("reason", ["Damaged_Warehouse", "Lost_Warehouse"])
def test_a_paid_disposal_is_settled(reason: str) -> None:
    rows = disposed(adjusted(0, "D", -1), reimbursements=[paid(5, reason, 1)])
    assert not find(rows).claims
    assert find(rows).settled == (f"R3:X1:{on(0)}:ref-0",)


def test_amazons_unreconciled_figure_is_an_upper_bound() -> None:
    assert units(disposed(adjusted(0, "D", -2, unreconciledquantity="0")), "R3") == 0
    assert units(disposed(adjusted(0, "D", -2, unreconciledquantity="-1")), "R3") == 1
    rows = disposed(adjusted(0, "D", -1, unreconciledquantity="-1"), removals=[removal(0, 1)])
    assert units(rows, "R3") == 0


# One unit is claimed once ------------------------------------------------------------------------


def test_a_damaged_unit_that_is_then_disposed_of_is_claimed_as_damaged_only() -> None:
    rows = disposed(
        adjusted(0, "E", -1),
        adjusted(0, "P", 1, disposition="WAREHOUSE_DAMAGED"),
        adjusted(5, "D", -1, disposition="WAREHOUSE_DAMAGED"),
    )
    assert [claim.rule for claim in find(rows).claims] == ["R2"]


def test_disposing_of_a_unit_paid_as_damaged_is_not_owed() -> None:
    rows = disposed(
        adjusted(0, "E", -1),
        adjusted(9, "D", -1, disposition="WAREHOUSE_DAMAGED"),
        reimbursements=[paid(5, "Damaged_Warehouse", 1)],
    )
    assert not find(rows).claims


@pytest.mark.parametrize(("reason", "kind"), [("E", "Damaged_Warehouse"), ("M", "Lost_Warehouse")])
def test_disposing_of_a_unit_paid_for_long_ago_is_not_owed(reason: str, kind: str) -> None:
    disposal = adjusted(0, "D", -1, disposition="WAREHOUSE_DAMAGED")
    payment = paid(-195, kind, 1)
    known = disposed(adjusted(-200, reason, -1), disposal, reimbursements=[payment])
    assert not find(known).claims
    assert [claim.rule for claim in find(disposed(disposal)).claims] == ["R3"]
    then = adjusted(-190, "D", -1, disposition="WAREHOUSE_DAMAGED")
    both = disposed(*known["ledger"], then, reimbursements=[payment])
    assert [claim.rule for claim in find(both).claims] == ["R3"]


def test_disposing_of_a_unit_paid_as_lost_is_not_owed() -> None:
    rows = disposed(
        adjusted(0, "M", -1),
        adjusted(9, "D", -1),
        reimbursements=[paid(5, "Lost_Warehouse", 1)],
    )
    assert not find(rows).claims
    assert find(rows).settled == (f"R1:X1:{on(0)}:ref-0",)


def test_a_loss_paid_after_the_disposal_does_not_explain_it() -> None:
    rows = disposed(
        adjusted(5, "D", -1),
        adjusted(10, "M", -1),
        reimbursements=[paid(20, "Lost_Warehouse", 1)],
    )
    assert [claim.rule for claim in find(rows).claims] == ["R3"]


def test_a_sellable_disposal_is_separate_from_a_damage() -> None:
    rows = disposed(adjusted(0, "E", -1), adjusted(5, "D", -1))
    assert [claim.rule for claim in find(rows).claims] == ["R2", "R3"]


def test_after_a_reversal_a_loss_is_claimed_by_one_rule_only() -> None:
    payments = [
        paid(5, "Lost_Warehouse", 1, _id="pay"),
        reversed_(20, "pay", 1, "Lost_Warehouse"),
    ]
    known = find({"ledger": [adjusted(0, "M", -1)], "reimbursements": payments}, at=40)
    assert [claim.rule for claim in known.claims] == ["R1"]
    closed = adjusted(0, "M", -1, unreconciledquantity="0")
    by_amazon = find({"ledger": [closed], "reimbursements": payments}, at=40)
    assert [claim.rule for claim in by_amazon.claims] == ["R9"]
    assert len(claims_of({"reimbursements": payments}, "R9", at=40)) == 1
