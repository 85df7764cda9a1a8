"""R20: units lost between warehouses."""

from typing import Any

import pytest

from connectors.claims import Money

from .sellers import adjusted, claims_of, find, on, only_claim, paid


def moved(day: int, quantity: int, **more: Any) -> Any:
    return adjusted(day, "", quantity, **{"eventtype": "WhseTransfers", "referenceid": "t1"} | more)


def left(*rows: Any, at: int = 50, **more: Any) -> int:
    found = find({"ledger": list(rows), **more}, at=at).claims
    return sum(claim.units for claim in found if claim.rule == "R20")


def test_units_that_do_not_arrive_in_45_days_are_owed_with_low_confidence() -> None:
    rows = {"ledger": [moved(0, -5), moved(1, 3)]}
    claim = only_claim(rows, "R20", at=46, costs={"SKU-1": Money("4", "USD")})
    assert (claim.id, claim.units, claim.amount) == (f"R20:X1:{on(1)}:t1", 2, "8.00")
    assert (claim.opens, claim.closes, claim.confidence) == (on(46), on(106), "low")
    assert claim.evidence == {"ledger": ("ledger-0000", "ledger-0001")}
    assert not claims_of(rows, "R20", at=45)


@pytest.mark.parametrize("reference", ["t1", "t2"])
@pytest.mark.parametrize(("day", "owed"), [(-2, 5), (-1, 0), (0, 0), (44, 0)])
def test_an_arrival_is_matched_by_reference_or_else_by_product(
    reference: str, day: int, owed: int
) -> None:
    owed = 0 if reference == "t1" else owed
    assert left(moved(0, -5), moved(day, 5, referenceid=reference)) == owed


def test_an_arrival_of_another_product_does_not_count() -> None:
    assert left(moved(0, -5), moved(1, 5, fnsku="X2")) == 5


def test_an_arrival_is_used_once_for_the_oldest_transfer() -> None:
    rows = {"ledger": [moved(0, -2), moved(3, -2, referenceid="t2"), moved(5, 2, referenceid="t3")]}
    assert only_claim(rows, "R20", at=60).details["left"] == on(3).isoformat()


def test_units_shown_as_lost_are_claimed_once() -> None:
    claims = find({"ledger": [moved(0, -2), adjusted(20, "M", -2)]}, at=50).claims
    assert [(claim.rule, claim.units) for claim in claims] == [("R1", 2)]


def test_units_found_or_paid_for_are_not_owed() -> None:
    assert left(moved(0, -2), adjusted(20, "F", 2)) == 0
    assert left(moved(0, -2), reimbursements=[paid(20, "Lost_Warehouse", 2)]) == 0
    paid_loss = [moved(0, -2), adjusted(-30, "M", -2)]
    assert left(*paid_loss, reimbursements=[paid(-20, "Lost_Warehouse", 2)]) == 2


def test_arrivals_without_a_departure_are_not_owed() -> None:
    assert not find({"ledger": [moved(0, 5)]}, at=60).claims
