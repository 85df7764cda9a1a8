"""R11: removal orders with missing units."""

from typing import Any

import pytest

from connectors.claims import Money

from .sellers import adjusted, find, on, only_claim, paid, removal, reversed_, units

COST = {"SKU-1": Money("12.00", "USD")}


def fetched(shipped: int, **more: Any) -> Any:
    """An order from day 0 to return five units, completed on day 9."""
    figures = {"cancelledquantity": "0", "inprocessquantity": "0", "disposedquantity": "0"}
    return {
        **removal(0, 5, ordertype="Return", shippedquantity=str(shipped)),
        **figures,
        "lastupdateddate": f"{on(9)}T10:00:00+00:00",
        "currency": "USD",
        **more,
    }


def removed(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"removals": list(rows), **more}


def test_units_that_no_figure_of_a_removal_accounts_for_are_owed() -> None:
    claim = only_claim(removed(fetched(3)), "R11", costs=COST)
    assert (claim.id, claim.units, claim.amount) == ("R11:rem-0:X1:sellable", 2, "24.00")
    assert (claim.opens, claim.closes, claim.confidence) == (on(9), on(69), "high")
    assert claim.evidence == {"removals": ("removals-0000",)}
    assert claim.title == "2 units of SKU-1 missing from removal order rem-0"


@pytest.mark.parametrize(
    "more",
    [
        {"cancelledquantity": "2"},
        {"disposedquantity": "2"},
        {"inprocessquantity": "2"},
        {"shippedquantity": "6"},
        {"orderstatus": "Pending"},
        {"orderstatus": "Cancelled"},
        {"ordertype": "Liquidations"},
        {"shippedquantity": ""},
        {"shippedquantity": "many"},
        {"cancelledquantity": "?"},
        {"requestedquantity": ""},
    ],
)
def test_an_order_that_is_accounted_for_or_lacks_a_figure_has_no_claim(
    more: dict[str, str],
) -> None:
    assert not find(removed(fetched(3) | more)).claims


def test_an_order_to_dispose_of_units_counts_too() -> None:
    row = removal(0, 5, disposedquantity="4")
    assert units(removed(row), "R11") == 1
    assert not find(removed(row | {"disposedquantity": "5"})).claims


@pytest.mark.parametrize(
    ("payment", "left"),
    [
        ({"reason": "Lost_Outbound"}, 1),
        ({"reason": "Removal_Order_Lost", "amazonorderid": "rem-0"}, 1),
        ({"reason": "Lost_Outbound", "amazonorderid": "111-1234567-1234567"}, 2),
        ({"reason": "Lost_Outbound", "amazonorderid": "rem-9"}, 2),
        ({"reason": "Lost_Outbound", "fnsku": "X2"}, 2),
        ({"reason": "Lost_Warehouse"}, 2),
        ({"reason": "Lost_Outbound", "approvaldate": f"{on(-2)}T00:00:00Z"}, 2),
    ],
)
def test_a_payment_for_the_removal_reduces_it(payment: dict[str, str], left: int) -> None:
    row = paid(20, "", 1) | payment
    assert units(removed(fetched(3), reimbursements=[row]), "R11") == left


def test_a_paid_removal_is_settled() -> None:
    rows = removed(fetched(3), reimbursements=[paid(20, "Lost_Outbound", 2)])
    assert not find(rows).claims
    assert find(rows).settled == ("R11:rem-0:X1:sellable",)


@pytest.mark.parametrize(("reason", "rule"), [("M", "R1"), ("E", "R2"), ("D", "R3")])
def test_a_unit_lost_in_the_meantime_is_claimed_once(reason: str, rule: str) -> None:
    claims = find(removed(fetched(4), ledger=[adjusted(3, reason, -1)])).claims
    assert [(claim.rule, claim.units) for claim in claims] == [(rule, 1)]
    later = find(removed(fetched(4), ledger=[adjusted(20, reason, -1)])).claims
    assert [claim.rule for claim in later] == [rule, "R11"]


def test_a_unit_found_again_does_not_explain_a_missing_one() -> None:
    ledger = [adjusted(3, "M", -1), adjusted(5, "F", 1)]
    assert units(removed(fetched(4), ledger=ledger), "R11") == 1


def test_without_a_complete_ledger_confidence_is_low() -> None:
    assert only_claim(removed(fetched(4)), "R11", missing=["ledger"]).confidence == "low"


def test_the_rows_of_an_order_and_product_are_added_up() -> None:
    assert only_claim(removed(fetched(4), fetched(3)), "R11").units == 3


@pytest.mark.parametrize("order", ["", "rem-0"])
def test_a_payment_taken_back_reopens_the_removal_and_is_not_a_second_claim(order: str) -> None:
    payments = [
        paid(12, "Lost_Outbound", 1, _id="pay", amazonorderid=order),
        reversed_(20, "pay", 1, "Lost_Outbound", amazonorderid=order),
    ]
    rows = removed(fetched(4), reimbursements=payments, ledger=[adjusted(-60, "Q", -1)])
    assert [(claim.rule, claim.units) for claim in find(rows).claims] == [("R11", 1)]
