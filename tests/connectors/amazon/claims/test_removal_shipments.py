"""R12: shipments of removal orders that did not arrive."""

from typing import Any

import pytest

from connectors.claims import Money, RemovalArrival

from .sellers import adjusted, find, on, only_claim, paid, removal, reversed_, sent, units

COST = {"SKU-1": Money("12.00", "USD")}
ID = f"R12:rem-0:X1:sellable:{on(0)}"
NONE = [RemovalArrival("rem-0", 0)]


def shipped(*rows: Any, **more: Any) -> dict[str, Any]:
    return {"removal_shipments": list(rows), **more}


def ordered(quantity: int, **more: Any) -> Any:
    """The completed order, which counts this many units as shipped."""
    figures = {"cancelledquantity": "0", "inprocessquantity": "0", "disposedquantity": "0"}
    row = removal(-3, 5, ordertype="Return", orderid="rem-0", shippedquantity=str(quantity))
    return {**row, **figures, "currency": "USD", **more}


# What the seller says ----------------------------------------------------------------------------


def test_units_whose_arrival_the_seller_denies_are_owed() -> None:
    claim = only_claim(shipped(sent(0, 5)), "R12", costs=COST, received=NONE)
    assert (claim.id, claim.units, claim.amount) == (ID, 5, "60.00")
    assert (claim.opens, claim.closes, claim.confidence) == (on(15), on(75), "high")
    assert claim.evidence == {"removal_shipments": ("removal_shipments-0000",)}
    assert claim.title == "5 units of SKU-1 sent by removal order rem-0: not received"
    assert "Tracking number: 1Z-A" in claim.case_text
    assert f"Day of the shipment: {on(0)}" in claim.case_text


def test_an_arrival_that_is_not_confirmed_has_low_confidence() -> None:
    claim = only_claim(shipped(sent(0, 5)), "R12")
    assert (claim.id, claim.units, claim.confidence) == (ID, 5, "low")
    assert claim.details["arrival"] == "arrival not confirmed"


def test_units_that_arrived_reduce_the_claim() -> None:
    claim = only_claim(shipped(sent(0, 5)), "R12", received=[RemovalArrival("rem-0", 3)])
    assert (claim.units, claim.confidence, claim.details["received"]) == (2, "high", "3")


@pytest.mark.parametrize("arrived", [5, 6])
def test_a_shipment_that_arrived_closes_the_claim(arrived: int) -> None:
    findings = find(shipped(sent(0, 5)), received=[RemovalArrival("rem-0", arrived)])
    assert not findings.claims
    assert findings.closed == {ID: "found"}


@pytest.mark.parametrize(
    ("line", "left"),
    [
        (RemovalArrival("rem-0", 4, sku="SKU-1"), 1),
        (RemovalArrival("rem-0", 4, fnsku="X1"), 1),
        (RemovalArrival("rem-0", 4, tracking="1Z-A"), 1),
        (RemovalArrival("rem-0", 4, "SKU-1", "X1", "1Z-A"), 1),
        (RemovalArrival("rem-1", 4), 5),
        (RemovalArrival("rem-0", 4, sku="SKU-2"), 5),
        (RemovalArrival("rem-0", 4, sku="SKU-2", fnsku="X1"), 5),
        (RemovalArrival("rem-0", 4, tracking="1Z-B"), 5),
    ],
)
def test_a_line_is_about_the_shipments_that_it_names(line: RemovalArrival, left: int) -> None:
    assert units(shipped(sent(0, 5)), "R12", received=[line]) == left


def test_a_line_about_a_parcel_takes_precedence_over_one_about_the_order() -> None:
    rows = shipped(sent(0, 2), sent(1, 3, trackingnumber="1Z-B"))
    received = [RemovalArrival("rem-0", 3), RemovalArrival("rem-0", 0, tracking="1Z-A")]
    claim = only_claim(rows, "R12", received=received)
    assert (claim.units, claim.happened_at) == (2, on(0))


def test_units_of_a_line_are_counted_once() -> None:
    rows = shipped(sent(0, 2), sent(1, 3, trackingnumber="1Z-B"))
    claim = only_claim(rows, "R12", received=[RemovalArrival("rem-0", 3)])
    assert (claim.units, claim.happened_at, claim.confidence) == (2, on(1), "high")


def test_part_of_an_order_of_two_products_leaves_open_which_one_is_missing() -> None:
    other = sent(0, 2, sku="SKU-2", fnsku="X2")
    claims = find(shipped(sent(0, 3), other), received=[RemovalArrival("rem-0", 4)]).claims
    assert [(claim.units, claim.confidence) for claim in claims] == [(1, "low")]
    claims = find(shipped(sent(0, 3), other), received=NONE).claims
    assert [(claim.units, claim.confidence) for claim in claims] == [(3, "high"), (2, "high")]


def test_a_day_of_which_one_parcel_is_not_confirmed_has_low_confidence() -> None:
    rows = shipped(sent(0, 2), sent(0, 3, trackingnumber="1Z-B"))
    claim = only_claim(rows, "R12", received=[RemovalArrival("rem-0", 1, tracking="1Z-A")])
    assert (claim.units, claim.confidence) == (4, "low")
    assert claim.details["tracking"] == "1Z-A, 1Z-B"


# Which shipments count ---------------------------------------------------------------------------


@pytest.mark.parametrize(("at", "status"), [(15, "claimable"), (75, "claimable"), (76, "expired")])
def test_a_shipment_may_take_fifteen_days(at: int, status: str) -> None:
    claim = only_claim(shipped(sent(0, 1)), "R12", at=at, received=NONE)
    assert claim.status == status
    assert not find(shipped(sent(0, 1)), 14, received=NONE).claims


@pytest.mark.parametrize(
    "more",
    [
        {"removalordertype": "Disposal"},
        {"removalordertype": "Liquidations"},
        {"shippedquantity": "0"},
        {"shippedquantity": "many"},
        {"shipmentdate": ""},
        {"orderid": ""},
        {"removalordertype": ""},
    ],
)
def test_other_shipments_and_unusable_rows_have_no_claim(more: dict[str, str]) -> None:
    assert not find(shipped(sent(0, 5, **more)), received=NONE).claims


def test_parcels_of_a_day_are_one_claim_and_dispositions_are_two() -> None:
    rows = [sent(0, 2), sent(0, 3), sent(0, 1, disposition="Unsellable"), sent(2, 1)]
    claims = find(shipped(*rows), received=NONE).claims
    assert sorted((claim.id, claim.units) for claim in claims) == [
        (ID, 5),
        (f"R12:rem-0:X1:sellable:{on(2)}", 1),
        (f"R12:rem-0:X1:unsellable:{on(0)}", 1),
    ]


def test_a_claim_keeps_its_id_when_the_tracking_number_is_added() -> None:
    claim = only_claim(shipped(sent(0, 5, trackingnumber="", carrier="")), "R12")
    assert claim.id == ID


# Once only ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("payment", "left"),
    [
        ({"reason": "Lost_Outbound"}, 3),
        ({"reason": "Lost_Outbound", "amazonorderid": "rem-0"}, 3),
        ({"reason": "Removal_Order_Lost", "amazonorderid": "rem-0"}, 3),
        ({"reason": "Lost_Outbound", "amazonorderid": "rem-9"}, 5),
        ({"reason": "Lost_Outbound", "amazonorderid": "111-1234567-1234567"}, 5),
        ({"reason": "Lost_Outbound", "fnsku": "X2"}, 5),
        ({"reason": "Lost_Warehouse"}, 5),
        ({"reason": "Lost_Outbound", "approvaldate": f"{on(-1)}T00:00:00Z"}, 5),
    ],
)
def test_a_payment_for_the_removal_reduces_it(payment: dict[str, str], left: int) -> None:
    row = paid(20, "", 2) | payment
    assert units(shipped(sent(0, 5), reimbursements=[row]), "R12", received=NONE) == left


def test_a_paid_shipment_is_settled() -> None:
    rows = shipped(sent(0, 2), reimbursements=[paid(20, "Lost_Outbound", 2)])
    findings = find(rows, received=NONE)
    assert not findings.claims
    assert findings.settled == (ID,)
    assert findings.payments[ID].amount == "20.00"


def test_a_payment_is_used_for_units_missing_from_the_order_first() -> None:
    rows = shipped(sent(0, 3), removals=[ordered(3)], reimbursements=[paid(20, "Lost_Outbound", 3)])
    findings = find(rows, received=NONE)
    assert [(claim.rule, claim.units) for claim in findings.claims] == [("R12", 2)]
    assert findings.settled == ("R11:rem-0:X1:sellable",)


def test_units_that_the_order_does_not_count_as_shipped_are_not_claimed_twice() -> None:
    rows = shipped(sent(0, 5), removals=[ordered(3)])
    claims = find(rows, received=NONE).claims
    assert [(claim.rule, claim.units) for claim in claims] == [("R11", 2), ("R12", 3)]


def test_a_row_that_was_listed_in_another_form_before_is_not_counted_twice() -> None:
    rows = shipped(sent(0, 2), sent(0, 3), sent(0, 5), removals=[ordered(5)])
    assert units(rows, "R12", received=NONE) == 5
    assert units(rows, "R12", received=[RemovalArrival("rem-0", 5)]) == 0


def test_without_the_figure_of_the_order_every_shipment_counts() -> None:
    orders: tuple[list[Any], ...] = ([ordered(3, shippedquantity="")], [])
    for removals in orders:
        assert units(shipped(sent(0, 5), removals=removals), "R12") == 5
    assert units(shipped(sent(0, 5), removals=[ordered(3)]), "R12", missing=["removals"]) == 5


@pytest.mark.parametrize("order", ["", "rem-0"])
def test_a_payment_taken_back_reopens_the_shipment_and_is_not_a_second_claim(order: str) -> None:
    payments = [
        paid(12, "Lost_Outbound", 1, _id="pay", amazonorderid=order),
        reversed_(20, "pay", 1, "Lost_Outbound", amazonorderid=order),
    ]
    rows = shipped(sent(0, 1), reimbursements=payments, ledger=[adjusted(-60, "Q", -1)])
    assert [(claim.rule, claim.units) for claim in find(rows).claims] == [("R12", 1)]
    assert not find(rows, received=[RemovalArrival("rem-0", 1)]).claims, "it arrived after all"


# Inputs ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", ["removal_shipments", "reimbursements"])
def test_without_an_input_the_rule_does_not_run_and_says_so(dataset: str) -> None:
    findings = find(shipped(sent(0, 5)), missing=[dataset])
    assert "R12" not in findings.ran
    assert dataset in findings.skipped["R12"]


def test_it_runs_without_the_removal_orders() -> None:
    findings = find(shipped(sent(0, 5)), missing=["removals"])
    assert [(claim.rule, claim.units) for claim in findings.claims] == [("R12", 5)]
