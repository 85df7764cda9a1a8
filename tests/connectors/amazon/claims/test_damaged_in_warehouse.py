"""R2: units that Amazon damaged."""

from typing import Any

import pytest

from .sellers import adjusted, claims_of, find, on, only_claim, paid, units


def damage(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"ledger": list(rows), **more}


@pytest.mark.parametrize("reason", ["E", "6", "7"])
def test_a_unit_damaged_by_amazon_is_owed(reason: str) -> None:
    claim = only_claim(damage(adjusted(0, reason, -1)), "R2")
    assert (claim.id, claim.units, claim.confidence) == ("R2:X1:ref-0", 1, "high")
    assert (claim.opens, claim.closes) == (on(7), on(60))


@pytest.mark.parametrize("reason", ["H", "K", "U"])
def test_a_unit_damaged_when_already_unsellable_has_low_confidence(reason: str) -> None:
    claim = only_claim(damage(adjusted(0, reason, -1)), "R2")
    assert (claim.units, claim.confidence) == (1, "low")


def test_units_of_high_and_low_confidence_are_separate_claims() -> None:
    claims = claims_of(damage(adjusted(0, "E", -1), adjusted(0, "H", -1)), "R2")
    assert [(claim.confidence, claim.units) for claim in claims] == [("high", 1), ("low", 1)]


def test_the_change_of_disposition_that_follows_does_not_offset_the_damage() -> None:
    after = adjusted(0, "P", 1, disposition="WAREHOUSE_DAMAGED")
    assert units(damage(adjusted(0, "E", -1), after), "R2") == 1


def test_a_positive_row_is_not_a_damage() -> None:
    assert not find(damage(adjusted(0, "E", 1))).claims


@pytest.mark.parametrize(
    ("day", "status"),
    [(6, "waiting"), (7, "claimable"), (60, "claimable"), (61, "expired")],
)
def test_the_window_includes_the_day_it_opens_and_the_day_it_closes(day: int, status: str) -> None:
    assert only_claim(damage(adjusted(0, "E", -1)), "R2", day).status == status


@pytest.mark.parametrize(("day", "left"), [(-8, 1), (-7, 0), (60, 0), (61, 1)])
def test_a_payment_offsets_a_damage_from_7_days_before_to_60_days_after_it(
    day: int, left: int
) -> None:
    rows = damage(adjusted(0, "E", -1), reimbursements=[paid(day, "Damaged_Warehouse", 1)])
    assert units(rows, "R2", at=90) == left


@pytest.mark.parametrize("other", [{"fnsku": "X2"}, {"reason": "Lost_Warehouse"}])
def test_a_payment_for_something_else_leaves_the_damage_open(other: dict[str, str]) -> None:
    payment = paid(5, "Damaged_Warehouse", 1) | other
    assert units(damage(adjusted(0, "E", -1), reimbursements=[payment]), "R2") == 1


def test_a_paid_damage_is_settled() -> None:
    rows = damage(adjusted(0, "E", -1), reimbursements=[paid(5, "Damaged_Warehouse", 1)])
    assert find(rows).settled == ("R2:X1:ref-0",)


def test_rows_of_one_reference_are_one_claim() -> None:
    rows = [adjusted(0, "E", -1), adjusted(1, "E", -2, referenceid="ref-0")]
    claim = only_claim(damage(*rows), "R2")
    assert (claim.units, claim.opens) == (3, on(7))


def test_a_partial_payment_closes_the_oldest_damage_first() -> None:
    rows = damage(
        adjusted(9, "E", -1),
        adjusted(0, "E", -1),
        reimbursements=[paid(10, "Damaged_Warehouse", 1)],
    )
    assert only_claim(rows, "R2").id == "R2:X1:ref-9"


def test_a_payment_closes_damages_of_high_confidence_first() -> None:
    rows = damage(
        adjusted(0, "H", -1), adjusted(5, "E", -1), reimbursements=[paid(6, "Damaged_Warehouse", 1)]
    )
    assert only_claim(rows, "R2").confidence == "low"


@pytest.mark.parametrize(("figure", "left"), [("0", 0), ("-1", 1), ("-2", 1)])
def test_amazons_unreconciled_figure_is_an_upper_bound(figure: str, left: int) -> None:
    rows = damage(
        adjusted(0, "E", -2, unreconciledquantity=figure),
        reimbursements=[paid(5, "Damaged_Warehouse", 1)],
    )
    assert units(rows, "R2") == left
