"""R8: shipments that were received short."""

from datetime import date
from typing import Any

import pytest

from connectors.amazon.claims import rule_windows

from .sellers import (
    SHIPMENT,
    adjusted,
    claims_of,
    find,
    on,
    only_claim,
    paid,
    receipt,
    shipment,
    units,
)


def sent(*rows: Any, receipts: Any = None, **more: Any) -> dict[str, Any]:
    receipts = [receipt(0, 8)] if receipts is None else receipts
    return {"shipments": list(rows), "ledger": receipts, **more}


BEGINS = adjusted(0, "", -1, eventtype="Shipments", fnsku="X9")
"""The first row of a ledger."""


def changed(seen: int | None, last: int) -> dict[str, Any]:
    return {"_seen": seen, "_changed": last}


def test_units_missing_from_a_closed_shipment_are_owed() -> None:
    claim = only_claim(sent(shipment(10, 8)), "R8")
    assert (claim.id, claim.units) == (f"R8:{SHIPMENT}:X1", 2)
    assert (claim.opens, claim.closes) == (on(15), on(270))
    assert claim.evidence == {"shipments": ("shipments-0000",), "ledger": ("ledger-0000",)}


@pytest.mark.parametrize(
    ("day", "status"),
    [(14, "waiting"), (15, "claimable"), (270, "claimable"), (271, "expired")],
)
def test_the_window_includes_the_day_it_opens_and_the_day_it_closes(day: int, status: str) -> None:
    assert only_claim(sent(shipment(10, 8)), "R8", at=day).status == status


def test_the_first_receipt_of_any_product_is_the_delivery() -> None:
    receipts = [receipt(9, 8), receipt(3, 1, fnsku="X2")]
    assert only_claim(sent(shipment(10, 8), receipts=receipts), "R8").opens == on(18)


def test_a_closed_shipment_of_which_nothing_was_received_has_low_confidence() -> None:
    other = receipt(0, 8, shipment="FBA15OTHER01")
    claim = only_claim(sent(shipment(10, 0), receipts=[other]), "R8", at=100)
    assert (claim.units, claim.confidence, claim.opens) == (10, "low", on(45))
    assert claim.details["countedFrom"] == "the day on which the shipment was first seen"


@pytest.mark.parametrize(("day", "owed"), [(50, 0), (51, 10)])
def test_an_open_shipment_of_which_nothing_was_received_may_have_just_been_delivered(
    day: int, owed: int
) -> None:
    row = shipment(10, 0, "DELIVERED", ShipmentName=f"FBA STA ({on(-9):%m/%d/%Y} 09:15)")
    assert units(sent(row, receipts=[BEGINS]), "R8", at=day) == owed
    unseen = row | {"_seen": None, "_changed": None}
    assert not claims_of(sent(unseen, receipts=[BEGINS]), "R8", at=200)


def test_without_a_ledger_no_shipment_is_known_to_be_short() -> None:
    assert not claims_of(sent(shipment(10, 8), receipts=[]), "R8", at=100)


# Delivered before the ledger begins --------------------------------------------------------------


def test_units_received_before_the_ledger_begins_have_low_confidence() -> None:
    claim = only_claim(sent(shipment(10, 8), receipts=[BEGINS]), "R8", at=100)
    assert (claim.units, claim.confidence, claim.status) == (2, "low", "claimable")
    assert (claim.opens, claim.closes) == (on(45), on(300))  # first seen on day 30
    assert claim.details["delivered"] == "not known"
    assert claim.details["countedFrom"] == "the day on which the shipment was first seen"
    assert claim.details["receivedUnseen"] == "8"
    assert claim.evidence == {"shipments": ("shipments-0000",)}


@pytest.mark.parametrize(
    ("name", "day"),
    [
        (f"FBA STA ({on(-140):%m/%d/%Y} 09:15)-PHL7", -140),
        (f"FBA ({on(-140):%-m/%-d/%y}, 9:15 AM) - 1", -140),
        (f"restock {on(-140)} pallet 12/40", -140),
        (f"FBA STA ({on(40):%m/%d/%Y} 09:15)-PHL7", 30),  # later than it was first seen
        ("FBA STA (13/32/2026)", 30),
        ("order 1234-56-789", 30),
    ],
)
def test_without_a_receipt_the_window_counts_from_the_date_in_the_name(name: str, day: int) -> None:
    rows = sent(shipment(10, 8, ShipmentName=name), receipts=[BEGINS])
    claim = only_claim(rows, "R8", at=100)
    assert (claim.opens, claim.confidence) == (on(day + 15), "low")
    source = "the date in the shipment's name" if day < 30 else "first seen"
    assert source in claim.details["countedFrom"]


@pytest.mark.parametrize(("place", "opens"), [("US", date(2026, 3, 19)), ("DE", date(2026, 4, 18))])
def test_the_order_of_day_and_month_in_a_name_is_that_of_the_sellers_home(
    place: str, opens: date
) -> None:
    rows = sent(shipment(10, 8, ShipmentName="03/04/2026"), receipts=[BEGINS])
    assert only_claim(rows, "R8", at=100, windows=rule_windows(home=place)).opens == opens


def test_a_shipment_that_nothing_dates_has_no_claim() -> None:
    undated = shipment(10, 8, _seen=None, _changed=None)
    assert not claims_of(sent(undated, receipts=[BEGINS]), "R8", at=100)


def test_a_shipment_stored_by_an_earlier_version_counts_from_its_last_change() -> None:
    """When it was first seen is unknown; then it is no change, either, that delays an open one."""
    row = shipment(10, 8, **changed(None, 20))
    claim = only_claim(sent(row, receipts=[BEGINS]), "R8", at=100)
    assert (claim.opens, claim.confidence) == (on(35), "low")
    named = row | {"ShipmentName": f"FBA STA ({on(25):%m/%d/%Y} 09:15)"}
    assert only_claim(sent(named, receipts=[BEGINS]), "R8", at=100).opens == on(35)
    opened = shipment(10, 8, "RECEIVING", **changed(None, 20))
    assert units(sent(opened, receipts=[receipt(0, 8)]), "R8", at=22) == 2


def test_confidence_is_low_if_some_receipts_are_older_than_the_ledger() -> None:
    receipts = [BEGINS, receipt(2, 1)]
    claim = only_claim(sent(shipment(10, 8), receipts=receipts), "R8", at=100)
    assert (claim.units, claim.confidence, claim.opens) == (2, "low", on(17))
    assert claim.details["receivedUnseen"] == "7"
    receipts = [BEGINS, receipt(2, 9)]
    assert only_claim(sent(shipment(10, 8), receipts=receipts), "R8", at=100).confidence == "high"


def test_an_old_complete_shipment_has_no_claim() -> None:
    assert not find(sent(shipment(10, 10), receipts=[BEGINS]), at=100).claims


@pytest.mark.parametrize(("day", "owed"), [(20, 0), (21, 2)])
def test_an_open_shipment_without_receipts_waits_from_the_first_day_of_the_ledger(
    day: int, owed: int
) -> None:
    rows = sent(shipment(10, 8, "RECEIVING"), receipts=[BEGINS])
    assert units(rows, "R8", at=day) == owed


def test_a_payment_closes_a_shipment_with_receipts_first() -> None:
    later = "FBA15ABCDE02"
    rows = sent(
        shipment(10, 8),
        shipment(5, 3, ShipmentId=later),
        receipts=[BEGINS, receipt(5, 3, shipment=later)],
        reimbursements=[paid(20, "Lost_Inbound", 2)],
    )
    assert [claim.id for claim in claims_of(rows, "R8", at=100)] == [f"R8:{SHIPMENT}:X1"]
    rows["reimbursements"] = [paid(-90, "Lost_Inbound", 2)]
    assert [claim.id for claim in claims_of(rows, "R8", at=100)] == [f"R8:{later}:X1"]


def test_receipts_after_the_shipment_closed_count() -> None:
    receipts = [receipt(0, 8), receipt(20, 1)]
    assert units(sent(shipment(10, 8), receipts=receipts), "R8") == 1
    assert units(sent(shipment(10, 8), receipts=[*receipts, receipt(25, 1)]), "R8") == 0


def test_a_receipt_of_another_product_does_not_count() -> None:
    receipts = [receipt(0, 8), receipt(20, 2, fnsku="X2")]
    assert units(sent(shipment(10, 8), receipts=receipts), "R8") == 2


def test_a_ledger_that_begins_late_does_not_reduce_the_received_units() -> None:
    assert units(sent(shipment(10, 8), receipts=[receipt(0, 1)]), "R8") == 2


def test_a_complete_shipment_has_no_claim() -> None:
    assert not find(sent(shipment(10, 10), receipts=[receipt(0, 10)])).claims


@pytest.mark.parametrize("status", ["WORKING", "SHIPPED", "IN_TRANSIT", "CANCELLED", "DELETED"])
def test_a_shipment_that_did_not_arrive_has_no_claim(status: str) -> None:
    assert not find(sent(shipment(10, 8, status)), at=90).claims


@pytest.mark.parametrize("status", ["RECEIVING", "DELIVERED", "CHECKED_IN"])
@pytest.mark.parametrize(("last", "owed"), [(40, 0), (39, 2)])
def test_an_open_shipment_has_a_claim_after_21_days_without_a_change(
    status: str, last: int, owed: int
) -> None:
    row = shipment(10, 8, status, **changed(1, last))
    assert units(sent(row), "R8", at=60) == owed


@pytest.mark.parametrize(("last", "owed"), [(40, 0), (39, 2)])
def test_without_a_seen_change_the_21_days_count_from_the_last_receipt(
    last: int, owed: int
) -> None:
    row = shipment(10, 8, "RECEIVING", **changed(59, 59))
    receipts = [receipt(0, 7), receipt(last, 1)]
    assert units(sent(row, receipts=receipts), "R8", at=60) == owed


def test_a_payment_for_the_product_settles_the_shipment() -> None:
    rows = sent(shipment(10, 8), reimbursements=[paid(20, "Lost_Inbound", 2)])
    assert not find(rows).claims
    assert find(rows).settled == (f"R8:{SHIPMENT}:X1",)


def test_a_partial_payment_leaves_the_other_units_open() -> None:
    assert units(sent(shipment(10, 8), reimbursements=[paid(20, "Lost_Inbound", 1)]), "R8") == 1


@pytest.mark.parametrize(
    "other", [{"fnsku": "X2"}, {"reason": "Lost_Warehouse"}, {"caseid": "FBA15OTHER01"}]
)
def test_a_payment_for_something_else_leaves_the_shipment_open(other: dict[str, str]) -> None:
    payment = paid(20, "Lost_Inbound", 2) | other
    assert units(sent(shipment(10, 8), reimbursements=[payment]), "R8") == 2


@pytest.mark.parametrize(("day", "left"), [(-8, 2), (-7, 0)])
def test_a_payment_older_than_the_delivery_is_for_another_shipment(day: int, left: int) -> None:
    rows = sent(shipment(10, 8), reimbursements=[paid(day, "Lost_Inbound", 2)])
    assert units(rows, "R8") == left


def test_a_payment_closes_the_shipment_that_it_names_or_else_the_oldest() -> None:
    later = "FBA15ABCDE02"
    shipments = [shipment(10, 8), shipment(5, 3, ShipmentId=later)]
    receipts = [receipt(0, 8), receipt(5, 3, shipment=later)]
    payment = paid(20, "Lost_Inbound", 2)
    claim = only_claim(sent(*shipments, receipts=receipts, reimbursements=[payment]), "R8")
    assert claim.id == f"R8:{later}:X1"
    payment["amazonorderid"] = later
    claim = only_claim(sent(*shipments, receipts=receipts, reimbursements=[payment]), "R8")
    assert claim.id == f"R8:{SHIPMENT}:X1"


def test_an_item_without_an_fnsku_is_matched_by_its_sku() -> None:
    row = shipment(10, 8)
    row["items"][0]["FulfillmentNetworkSKU"] = None
    claim = only_claim(sent(row, receipts=[receipt(0, 8), receipt(20, 1)]), "R8")
    assert (claim.id, claim.units) == (f"R8:{SHIPMENT}:SKU-1", 1)


@pytest.mark.parametrize("payment", [{}, {"caseid": SHIPMENT}, {"caseid": SHIPMENT, "fnsku": ""}])
def test_a_payment_for_the_fnsku_settles_an_item_that_names_only_its_sku(
    payment: dict[str, str],
) -> None:
    row = shipment(10, 8)
    row["items"][0]["FulfillmentNetworkSKU"] = None
    rows = sent(row, reimbursements=[paid(20, "Lost_Inbound", 2, **payment)])
    assert find(rows).settled == (f"R8:{SHIPMENT}:SKU-1",)
