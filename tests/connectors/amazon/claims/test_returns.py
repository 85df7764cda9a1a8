"""R4, R5 and R6: units that were refunded, came back damaged, or came back and vanished."""

from typing import Any

import pytest

from connectors.amazon.claims import Days, Windows, find_claims

from .sellers import (
    DE,
    GB,
    ORDER,
    Seller,
    adjusted,
    amount,
    claim,
    claims,
    find,
    noon,
    on,
    paid,
    preview,
    refund,
    restocked,
    returned,
    reversed_,
    sale,
    units,
)

OTHER = "111-9999999-9999999"


# R4: refunded, never returned --------------------------------------------------------------------


def test_a_refunded_unit_that_never_came_back_is_owed() -> None:
    found = claim({"transactions": [refund(0, -17.55)]}, "R4", at=70)
    assert (found.id, found.units) == (f"R4:{ORDER}:SKU-1", 1)
    assert (found.amount, found.currency) == ("17.55", "USD")
    assert (found.opens, found.closes, found.confidence) == (on(60), on(120), "high")
    assert found.evidence == {"transactions": ("transactions-0000",)}


@pytest.mark.parametrize(
    ("day", "status"),
    [(59, "waiting"), (60, "claimable"), (120, "claimable"), (121, "expired")],
)
def test_the_window_of_refunds_includes_its_first_and_last_day(day: int, status: str) -> None:
    assert claim({"transactions": [refund(0)]}, "R4", day).status == status


@pytest.mark.parametrize(
    ("day", "status"),
    [(44, "waiting"), (45, "claimable"), (105, "claimable"), (106, "expired")],
)
def test_in_the_european_union_it_opens_and_closes_earlier(day: int, status: str) -> None:
    german = refund(0, currency="EUR", marketplaceDetails={"marketplaceId": DE})
    assert claim({"transactions": [german]}, "R4", day).status == status
    by_currency = refund(0, currency="EUR", marketplaceDetails=None)
    assert claim({"transactions": [by_currency]}, "R4", day).status == status


def test_a_caller_may_set_the_days_of_a_country() -> None:
    british = refund(0, currency="GBP", marketplaceDetails={"marketplaceId": GB})
    usual = claim({"transactions": [british]}, "R4", 50)
    assert (usual.status, usual.opens) == ("waiting", on(60))
    windows = Windows(places={"GB": {"R4": Days(45, 105)}})
    assert claim({"transactions": [british]}, "R4", 50, windows=windows).status == "claimable"


@pytest.mark.parametrize("disposition", ["SELLABLE", "CUSTOMER_DAMAGED", "DEFECTIVE"])
def test_a_unit_that_came_back_is_not_owed_whatever_its_state(disposition: str) -> None:
    rows = {"transactions": [refund(0)], "returns": [returned(9, disposition)]}
    assert not find(rows, at=70).claims
    assert not find(rows, at=70).settled


def test_a_return_that_does_not_tell_how_many_is_one_unit() -> None:
    rows = {"transactions": [refund(0)], "returns": [returned(9) | {"quantity": ""}]}
    assert not claims(rows, "R4", at=70)


TWINS = [{"sku": "SKU-1", "fnsku": "X1"}, {"sku": "SKU-2", "fnsku": "X1"}]


@pytest.mark.parametrize("sku", ["", "SKU-2"])
def test_a_return_or_payment_may_name_another_sku_of_the_product_or_none(sku: str) -> None:
    rows: dict[str, Any] = {"transactions": [refund(0)], "stock": TWINS}
    assert units(rows, "R4", at=70) == 1
    assert not find(rows | {"returns": [returned(5, sku=sku)]}, at=70).claims
    payment = paid(50, "CustomerReturn", 1, sku=sku, amazonorderid=ORDER)
    assert not find(rows | {"reimbursements": [payment]}, at=70).claims
    broken = [returned(5, "DAMAGED")]
    assert [each.rule for each in find(rows | {"returns": broken}, at=70).claims] == ["R5"]
    assert not find(rows | {"returns": broken, "reimbursements": [payment]}, at=70).claims
    assert not find({"returns": broken, "reimbursements": [payment]}, at=70).claims
    both = [refund(0), refund(0, sku="SKU-2", _id="other")]
    rows = {"transactions": both, "stock": TWINS, "returns": [returned(5, sku="SKU-2")]}
    assert claim(rows, "R4", at=70).details["sku"] == "SKU-1"


def test_parts_of_the_price_that_were_refunded_one_after_another_are_one_unit() -> None:
    parts = [sale(-5, 3.0), refund(0, -5.0), refund(3, -15.0)]
    found = claim({"transactions": parts}, "R4", at=70)
    assert (found.units, found.amount, found.opens) == (1, "15.00", on(63))
    assert not claims({"transactions": parts, "returns": [returned(9)]}, "R4", at=70)
    broken = {"transactions": parts, "returns": [returned(9, "DAMAGED")]}
    assert claim(broken, "R5", at=70).amount == "20.00"
    two = [sale(-5, 3.0, 2), refund(0, -15.0), refund(3, -15.0)]
    assert claim({"transactions": two, "returns": [returned(9)]}, "R4", at=70).units == 1


def test_rows_that_cannot_be_used_are_counted_once_though_sales_are_read_again() -> None:
    parts = [sale(-5, 3.0), refund(0, -5.0), refund(3, -15.0), refund(0) | {"postedDate": "?"}]
    found = claim({"transactions": parts}, "R4", at=70)
    assert found.details["unusableRows"] == "transactions: 1"


def test_refunds_in_two_currencies_are_not_added_up() -> None:
    rows = {"transactions": [refund(0), refund(3, currency="EUR")]}
    found = claim(rows, "R4", at=70)
    assert (found.units, found.amount, found.currency) == (2, None, None)
    found = claim(rows | {"returns": [returned(5, "DAMAGED", 2)]}, "R5", at=70)
    assert (found.units, found.amount) == (2, None)


def test_one_number_may_pay_for_several_orders() -> None:
    payments = [
        paid(50, "CustomerReturn", 1, reimbursementid="pay", amazonorderid=order)
        for order in (ORDER, OTHER)
    ]
    refunds = [refund(0), refund(0, order=OTHER, _id="other")]
    assert not claims({"transactions": refunds, "reimbursements": payments}, "R4", at=70)


def test_a_paid_refund_is_settled() -> None:
    payment = paid(50, "CustomerReturn", 1, amazonorderid=ORDER)
    rows = {"transactions": [refund(0)], "reimbursements": [payment]}
    assert not find(rows, at=70).claims
    assert find(rows, at=70).settled == (f"R4:{ORDER}:SKU-1",)


@pytest.mark.parametrize("other", [{"amazonorderid": OTHER}, {"sku": "SKU-2"}])
def test_a_payment_belongs_to_its_own_order_and_sku(other: dict[str, str]) -> None:
    payment = paid(50, "CustomerReturn", 1, amazonorderid=ORDER) | other
    rows = {"transactions": [refund(0)], "reimbursements": [payment]}
    assert units(rows, "R4", at=70) == 1


@pytest.mark.parametrize("other", [{"orderid": OTHER}, {"sku": "SKU-2"}])
def test_a_return_belongs_to_its_own_order_and_sku(other: dict[str, str]) -> None:
    rows = {"transactions": [refund(0)], "returns": [returned(5) | other]}
    assert units(rows, "R4", at=70) == 1


def test_the_amount_is_the_open_share_of_the_refund() -> None:
    payment = paid(50, "CustomerReturn", 1, amazonorderid=ORDER)
    rows = {
        "transactions": [refund(0, -50.0, 3)],
        "returns": [returned(9)],
        "reimbursements": [payment],
    }
    found = claim(rows, "R4", at=70)
    assert (found.units, found.amount) == (1, "16.67")


def test_of_several_refunds_the_oldest_is_closed_first() -> None:
    rows = {"transactions": [refund(0, -10.0), refund(8, -30.0)], "returns": [returned(9)]}
    found = claim(rows, "R4", at=70)
    assert (found.opens, found.amount) == (on(68), "30.00")


def test_a_reversed_payment_opens_the_refund_again_and_is_no_case_of_its_own() -> None:
    payments = [
        paid(50, "CustomerReturn", 1, amazonorderid=ORDER, _id="pay"),
        reversed_(60, "pay", 1, "CustomerReturn", amazonorderid=ORDER),
    ]
    found = find({"transactions": [refund(0)], "reimbursements": payments}, at=70).claims
    assert [each.rule for each in found] == ["R4"]


def test_what_the_seller_ships_himself_is_not_amazons() -> None:
    assert not claims({"transactions": [refund(0, network="MFN")]}, "R4", at=70)


@pytest.mark.parametrize(("fulfiller", "owed"), [("AMAZON", 1), ("MERCHANT", 0)])
def test_who_fulfilled_is_looked_up_in_the_order_if_the_refund_does_not_tell(
    fulfiller: str, owed: int
) -> None:
    order = {"orderId": ORDER, "fulfillment": {"fulfilledBy": fulfiller}}
    rows = {"transactions": [refund(0, network=None)], "orders": [order]}
    assert units(rows, "R4", at=70) == owed


def test_an_order_that_amazon_paid_for_was_fulfilled_by_it() -> None:
    payment = paid(50, "CustomerReturn", 1, amazonorderid=ORDER, sku="SKU-2")
    rows = {"transactions": [refund(0, network="")], "reimbursements": [payment]}
    assert units(rows, "R4", at=70) == 1


def test_a_replacement_without_a_refund_is_not_owed() -> None:
    assert not find({"transactions": [sale(0, 3.0), sale(4, 3.0, order=OTHER)]}, at=70).claims


def test_a_refund_of_money_only_is_no_unit() -> None:
    assert not claims({"transactions": [refund(0, -2.0, 0)]}, "R4", at=70)


def test_a_deferred_refund_and_its_release_are_one() -> None:
    link = {"relatedIdentifierName": "DEFERRED_TRANSACTION_ID", "relatedIdentifierValue": "early"}
    early, late = refund(0, _id="early"), refund(14, _id="late")
    late["relatedIdentifiers"].append(link)
    found = claim({"transactions": [early, late]}, "R4", at=70)
    assert (found.units, found.opens) == (1, on(60))
    assert claim({"transactions": [late]}, "R4", at=80).units == 1


def test_each_item_of_a_refund_is_its_own_case() -> None:
    both = refund(0, -10.0)
    both["totalAmount"] = amount(-40.0)
    both["items"] += refund(0, -30.0, sku="SKU-2")["items"]
    found = claims({"transactions": [both]}, "R4", at=70)
    assert [each.amount for each in found] == ["10.00", "30.00"]


def test_a_refund_without_its_amount_is_owed_all_the_same() -> None:
    row = refund(0)
    row["items"][0]["totalAmount"] = None
    assert claim({"transactions": [row]}, "R4", at=70).amount == "20.00"
    row["totalAmount"] = None
    found = claim({"transactions": [row]}, "R4", at=70)
    assert (found.units, found.amount, found.currency) == (1, None, None)


# R5: damaged by Amazon on its way back -----------------------------------------------------------


@pytest.mark.parametrize("disposition", ["DAMAGED", "CARRIER_DAMAGED"])
def test_a_return_that_amazon_damaged_is_owed(disposition: str) -> None:
    rows = {"transactions": [refund(0, -17.5)], "returns": [returned(12, disposition)]}
    found = claim(rows, "R5", at=70)
    assert (found.id, found.amount, found.opens) == (f"R5:{ORDER}:SKU-1", "17.50", on(60))
    assert not claims(rows, "R4", at=70)


@pytest.mark.parametrize("disposition", ["SELLABLE", "CUSTOMER_DAMAGED", "DEFECTIVE", "EXPIRED"])
def test_any_other_return_is_not(disposition: str) -> None:
    rows = {"transactions": [refund(0)], "returns": [returned(12, disposition)]}
    assert not claims(rows, "R5", at=70)


@pytest.mark.parametrize(
    ("day", "status"),
    [(59, "waiting"), (60, "claimable"), (120, "claimable"), (121, "expired")],
)
def test_its_window_is_that_of_the_refund(day: int, status: str) -> None:
    rows = {"transactions": [refund(0)], "returns": [returned(12, "DAMAGED")]}
    assert claim(rows, "R5", at=day).status == status


def test_without_a_refund_it_has_no_amount_and_counts_from_the_return() -> None:
    found = claim({"returns": [returned(12, "DAMAGED")]}, "R5", at=80)
    assert (found.amount, found.currency, found.opens) == (None, None, on(72))


def test_without_a_place_it_is_where_most_was_sold() -> None:
    german: Any = {"currency": "EUR", "marketplaceDetails": {"marketplaceId": DE}, "order": OTHER}
    sales = [sale(-9, 3.0, **german), sale(-8, 3.0, **german), sale(-7, 3.0, order=OTHER)]
    rows = {"transactions": sales, "returns": [returned(12, "DAMAGED")]}
    assert claim(rows, "R5", at=80).opens == on(57)
    assert claim(rows, "R5", at=80, windows=Windows(home="US")).opens == on(72)
    order = {"orderId": ORDER, "salesChannel": {"marketplaceId": GB}}
    assert claim(rows | {"orders": [order]}, "R5", at=80).opens == on(72)


def test_orders_are_not_looked_through_for_a_place_if_there_is_but_one() -> None:
    sales = [sale(0, 3.0, order=OTHER)]
    seller = Seller({"transactions": sales, "returns": [returned(12, "DAMAGED")]})
    find_claims(seller, noon(80))
    assert "orders" not in seller.reads


@pytest.mark.parametrize("reason", ["CustomerReturn", "Damaged_Outbound", "General_Adjustment"])
def test_any_payment_for_the_order_and_sku_settles_it(reason: str) -> None:
    rows = {
        "returns": [returned(12, "DAMAGED")],
        "reimbursements": [paid(20, reason, 1, amazonorderid=ORDER)],
    }
    assert not find(rows, at=80).claims
    assert find(rows, at=80).settled == (f"R5:{ORDER}:SKU-1",)


def test_a_part_payment_leaves_the_other_units() -> None:
    rows = {
        "transactions": [refund(0, -40.0, 2)],
        "returns": [returned(12, "DAMAGED", 2)],
        "reimbursements": [paid(20, "CustomerReturn", 1, amazonorderid=ORDER)],
    }
    found = claim(rows, "R5", at=80)
    assert (found.units, found.amount) == (1, "20.00")


def test_the_amount_is_never_negative() -> None:
    rows = {"transactions": [refund(0, 3.0)], "returns": [returned(12, "DAMAGED")]}
    assert claim(rows, "R5", at=70).amount == "0.00"


def test_a_licence_plate_that_comes_twice_is_one_unit() -> None:
    rows = [returned(day, "DAMAGED", licenseplatenumber="LPN1") for day in (12, 14)]
    assert units({"returns": rows}, "R5", at=80) == 1
    rows = [returned(12, "DAMAGED", licenseplatenumber=f"LPN{each}") for each in (1, 2)]
    assert units({"returns": rows}, "R5", at=80) == 2


# R6: returned, not restocked ---------------------------------------------------------------------

SINCE = adjusted(-40, "", -1, eventtype="Shipments", fnsku="X9")


def test_sellable_returns_that_the_ledger_never_shows_are_owed_with_low_confidence() -> None:
    rows = {
        "ledger": [SINCE, restocked(4, 1)],
        "returns": [returned(2), returned(3), returned(5)],
        "transactions": [sale(-9, 3.0)],
    }
    found = claim(rows, "R6", at=70)
    assert (found.id, found.units, found.confidence) == ("R6:X1:2026-06", 2, "low")
    assert (found.amount, found.opens, found.closes) == ("40.00", on(65), on(125))
    assert found.evidence == {"returns": ("returns-0000", "returns-0002")}
    assert (found.details["month"], found.details["returned"]) == ("2026-06", "3")


def test_what_is_put_into_stock_is_the_newest_that_had_come_back() -> None:
    """So a return of today does not hide that one of long ago is missing."""
    rows = {"ledger": [SINCE, restocked(25, 1)], "returns": [returned(2), returned(25)]}
    found = claim(rows, "R6", at=28)
    assert (found.units, found.opens) == (1, on(62))
    assert found.evidence == {"returns": ("returns-0000",)}


def test_a_return_may_show_in_the_ledger_later_or_a_day_early() -> None:
    for day in (1, 2, 20):
        rows = {"ledger": [SINCE, restocked(day, 1)], "returns": [returned(2)]}
        assert not claims(rows, "R6", at=70)


def test_a_unit_that_the_ledger_takes_out_of_stock_again_was_not_put_there() -> None:
    rows = {"ledger": [SINCE, restocked(4, 2), restocked(5, -1)]}
    rows["returns"] = [returned(2), returned(3)]
    found = claim(rows, "R6", at=70)
    assert (found.units, found.evidence["returns"]) == (1, ("returns-0000",))


def test_its_window_counts_from_the_last_return_that_is_missing() -> None:
    rows = {"ledger": [SINCE, restocked(9, 1)]}
    rows["returns"] = [returned(2), returned(5), returned(9)]
    assert claim(rows, "R6", at=70).opens == on(65)


def test_a_unit_is_worth_what_such_sales_brought_where_it_was_sold() -> None:
    mexican: Any = {"currency": "MXN", "order": OTHER}
    other = sale(-8, 3.0, order="S01-1234567-1234567")
    other["items"][0]["totalAmount"] = amount(-4.5)
    merchants = [sale(each, 0.0, network="MFN", order=OTHER) for each in (-7, -4)]
    for each in merchants:
        each["items"][0]["totalAmount"] = amount(30.0)
    sales = [sale(-9, 3.0), *(sale(each, 3.0, **mexican) for each in (-6, -5)), other, *merchants]
    rows = {"ledger": [SINCE], "returns": [returned(2)], "transactions": sales}
    found = claim(rows, "R6", at=70)
    assert (found.amount, found.currency) == ("20.00", "USD")


def test_restocked_returns_are_not_owed_and_months_stand_for_themselves() -> None:
    rows = {"ledger": [SINCE, restocked(4, 1)], "returns": [returned(2)]}
    assert not claims(rows, "R6", at=70)
    rows = {"ledger": [SINCE, restocked(35, 1)], "returns": [returned(2)]}
    assert units(rows, "R6", at=70) == 1


@pytest.mark.parametrize(
    ("back", "put", "owed"),
    [(29, 30, 0), (29, 43, 0), (29, 44, 1), (30, 29, 0), (30, 28, 1), (25, 30, 0)],
)
def test_a_return_may_show_in_the_ledger_across_the_end_of_its_month(
    back: int, put: int, owed: int
) -> None:
    """Day 30 is the first of July."""
    rows = {"ledger": [SINCE, restocked(put, 1)], "returns": [returned(back)]}
    assert units(rows, "R6", at=70) == owed
    rows["returns"].append(returned(put))  # whose own it is
    assert units(rows, "R6", at=70) == 1


def test_a_unit_restocked_as_unsellable_or_of_another_product_does_not_count() -> None:
    damaged = restocked(4, 1, disposition="CUSTOMER_DAMAGED")
    rows = {"ledger": [SINCE, damaged, restocked(4, 1, fnsku="X2")], "returns": [returned(2)]}
    assert units(rows, "R6", at=70) == 1


@pytest.mark.parametrize(("day", "owed"), [(15, 0), (16, 1)])
def test_a_return_is_given_fourteen_days_to_show(day: int, owed: int) -> None:
    assert units({"ledger": [SINCE], "returns": [returned(2)]}, "R6", at=day) == owed


def test_nothing_is_said_of_days_before_the_ledger_begins() -> None:
    rows = {"ledger": [adjusted(3, "", -1, eventtype="Shipments")], "returns": [returned(2)]}
    assert not claims(rows, "R6", at=70)
    assert not claims({"returns": [returned(2)]}, "R6", at=70)


def test_without_a_sale_the_price_less_fees_is_an_upper_bound() -> None:
    rows = {"ledger": [SINCE], "returns": [returned(2)], "fees": [preview(0)]}
    found = claim(rows, "R6", at=70)
    assert found.amount == "17.00"
    assert "upper bound" in found.valuation
