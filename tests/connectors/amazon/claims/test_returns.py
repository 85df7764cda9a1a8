"""R4, R5: units refunded and not returned, and returns that Amazon damaged."""

from typing import Any

import pytest

from connectors.amazon.claims import Days, find_claims, rule_windows
from connectors.amazon.claims.refunds import refunded_units

from .sellers import (
    DE,
    GB,
    ORDER,
    US,
    Seller,
    amount,
    claims_of,
    find,
    noon,
    on,
    only_claim,
    paid,
    refund,
    returned,
    reversed_,
    sale,
    units,
)

OTHER = "111-9999999-9999999"


# R4: refunded, not returned ----------------------------------------------------------------------


def test_a_refunded_unit_that_never_came_back_is_owed() -> None:
    claim = only_claim({"transactions": [refund(0, -17.55)]}, "R4", at=70)
    assert (claim.id, claim.units) == (f"R4:{ORDER}:SKU-1", 1)
    assert (claim.amount, claim.currency) == ("17.55", "USD")
    assert (claim.opens, claim.closes, claim.confidence) == (on(60), on(120), "high")
    assert claim.evidence == {"transactions": ("transactions-0000",)}


@pytest.mark.parametrize(
    ("day", "status"),
    [(59, "waiting"), (60, "claimable"), (120, "claimable"), (121, "expired")],
)
def test_a_refund_can_be_claimed_from_day_60_to_day_120(day: int, status: str) -> None:
    assert only_claim({"transactions": [refund(0)]}, "R4", day).status == status


@pytest.mark.parametrize(
    ("day", "status"),
    [(44, "waiting"), (45, "claimable"), (105, "claimable"), (106, "expired")],
)
def test_in_the_eu_a_refund_can_be_claimed_from_day_45_to_day_105(day: int, status: str) -> None:
    german = refund(0, currency="EUR", marketplaceDetails={"marketplaceId": DE})
    assert only_claim({"transactions": [german]}, "R4", day).status == status
    by_currency = refund(0, currency="EUR", marketplaceDetails=None)
    assert only_claim({"transactions": [by_currency]}, "R4", day).status == status


def test_the_days_of_a_country_can_be_changed() -> None:
    british = refund(0, currency="GBP", marketplaceDetails={"marketplaceId": GB})
    usual = only_claim({"transactions": [british]}, "R4", 50)
    assert (usual.status, usual.opens) == ("claimable", on(45))
    windows = rule_windows({"GB": {"R4": Days(60, 120)}})
    assert only_claim({"transactions": [british]}, "R4", 50, windows=windows).status == "waiting"


@pytest.mark.parametrize("disposition", ["SELLABLE", "CUSTOMER_DAMAGED", "DEFECTIVE"])
def test_a_returned_unit_is_not_owed_in_any_condition(disposition: str) -> None:
    rows = {"transactions": [refund(0)], "returns": [returned(9, disposition)]}
    assert not find(rows, at=70).claims
    assert not find(rows, at=70).settled


def test_a_return_without_a_quantity_is_one_unit() -> None:
    rows = {"transactions": [refund(0)], "returns": [returned(9) | {"quantity": ""}]}
    assert not claims_of(rows, "R4", at=70)


TWINS = [{"sku": "SKU-1", "fnsku": "X1"}, {"sku": "SKU-2", "fnsku": "X1"}]


@pytest.mark.parametrize("sku", ["", "SKU-2"])
def test_a_return_or_payment_may_name_another_sku_of_the_product_or_none(sku: str) -> None:
    rows: dict[str, Any] = {"transactions": [refund(0)], "stock": TWINS}
    assert units(rows, "R4", at=70) == 1
    assert not find(rows | {"returns": [returned(5, sku=sku)]}, at=70).claims
    payment = paid(50, "CustomerReturn", 1, "20.00", sku=sku, amazonorderid=ORDER)
    assert not find(rows | {"reimbursements": [payment]}, at=70).claims
    broken = [returned(5, "DAMAGED")]
    assert [claim.rule for claim in find(rows | {"returns": broken}, at=70).claims] == ["R5"]
    assert not find(rows | {"returns": broken, "reimbursements": [payment]}, at=70).claims
    assert not find({"returns": broken, "reimbursements": [payment]}, at=70).claims
    both = [refund(0), refund(0, sku="SKU-2", _id="other")]
    rows = {"transactions": both, "stock": TWINS, "returns": [returned(5, sku="SKU-2")]}
    assert only_claim(rows, "R4", at=70).details["sku"] == "SKU-1"


def test_partial_refunds_of_one_unit_are_one_unit() -> None:
    parts = [sale(-5, 3.0), refund(0, -5.0), refund(3, -15.0)]
    claim = only_claim({"transactions": parts}, "R4", at=70)
    assert (claim.units, claim.amount, claim.opens) == (1, "20.00", on(63))
    assert not claims_of({"transactions": parts, "returns": [returned(9)]}, "R4", at=70)
    broken = {"transactions": parts, "returns": [returned(9, "DAMAGED")]}
    assert only_claim(broken, "R5", at=70).amount == "20.00"
    two = [sale(-5, 3.0, 2), refund(0, -15.0), refund(3, -15.0)]
    assert only_claim({"transactions": two, "returns": [returned(9)]}, "R4", at=70).units == 1


def of_price(price: float, quantity: int, *refunds: Any) -> dict[str, Any]:
    """A sale at a price for each unit, and refunds of it."""
    return {"transactions": [sale(-5, 3.0, quantity, principal=price * quantity), *refunds]}


def test_a_goodwill_refund_is_not_a_unit() -> None:
    rows = of_price(40.0, 1, refund(0, -1.70, principal=-2.0))
    assert not find(rows, at=70).claims
    assert not find(rows, at=70).settled


@pytest.mark.parametrize(
    ("principal", "confidence"), [(-9.99, None), (-10.0, "low"), (-19.98, "low"), (-20.0, "high")]
)
def test_a_refund_of_half_the_price_is_a_unit_with_low_confidence(
    principal: float, confidence: str | None
) -> None:
    claims = claims_of(of_price(20.0, 1, refund(0, -15.0, principal=principal)), "R4", at=70)
    expected = [(1, "15.00", confidence)] if confidence else []
    assert [(claim.units, claim.amount, claim.confidence) for claim in claims] == expected


def test_the_principal_decides_if_the_refunded_quantity_repeats_the_shipped_one() -> None:
    rows = of_price(20.0, 3, refund(0, -17.0, 3, principal=-20.0))
    claim = only_claim(rows, "R4", at=70)
    assert (claim.units, claim.amount, claim.details["refunded"]) == (1, "17.00", "1")
    assert not claims_of(rows | {"returns": [returned(9)]}, "R4", at=70)


def test_no_more_units_are_refunded_than_the_refund_says() -> None:
    rows = of_price(20.0, 3, refund(0, -34.0, 1, principal=-40.0))
    assert units(rows, "R4", at=70) == 1


def test_a_goodwill_refund_after_a_full_one_adds_nothing() -> None:
    refunds = [refund(0, -17.0, principal=-20.0), refund(3, -2.0, principal=-2.0)]
    claim = only_claim(of_price(20.0, 2, *refunds), "R4", at=70)
    assert (claim.units, claim.amount, claim.opens) == (1, "17.00", on(60))


def test_partial_refunds_add_up_to_the_units_that_they_complete() -> None:
    refunds = [refund(day, -10.0, principal=-10.0, _id=f"part-{day}") for day in (0, 2, 4, 6)]
    claim = only_claim(of_price(20.0, 2, *refunds), "R4", at=70)
    assert (claim.units, claim.amount, claim.confidence) == (2, "40.00", "high")
    one_back = of_price(20.0, 2, *refunds) | {"returns": [returned(9)]}
    claim = only_claim(one_back, "R4", at=70)
    assert (claim.units, claim.amount, claim.opens) == (1, "20.00", on(66))


def test_a_damaged_return_after_goodwill_alone_has_no_amount() -> None:
    rows = of_price(40.0, 1, refund(0, -2.0, principal=-2.0))
    claim = only_claim(rows | {"returns": [returned(12, "DAMAGED")]}, "R5", at=80)
    assert (claim.amount, claim.opens, claim.details["from"]) == (None, on(72), "return")


def test_unusable_rows_are_counted_once_when_transactions_are_read_twice() -> None:
    parts = [sale(-5, 3.0), refund(0, -5.0), refund(3, -15.0), refund(0) | {"postedDate": "?"}]
    claim = only_claim({"transactions": parts}, "R4", at=70)
    assert claim.details["unusableRows"] == "transactions: 1"


def test_refunds_in_two_currencies_are_not_added_up() -> None:
    rows = {"transactions": [refund(0), refund(3, currency="EUR")]}
    claim = only_claim(rows, "R4", at=70)
    assert (claim.units, claim.amount, claim.currency) == (2, None, None)
    claim = only_claim(rows | {"returns": [returned(5, "DAMAGED", 2)]}, "R5", at=70)
    assert (claim.units, claim.amount) == (2, None)


def test_every_line_of_a_reimbursement_for_an_order_counts() -> None:
    lines = [
        paid(50, "CustomerReturn", count, "20.00", reimbursementid="801", amazonorderid=ORDER)
        for count in (1, 2)
    ]
    rows = {"transactions": [refund(0, -60.0, 3)], "reimbursements": lines}
    assert not find(rows, at=70).claims
    assert find(rows, at=70).settled == (f"R4:{ORDER}:SKU-1",)


def test_one_reimbursement_id_may_be_for_several_orders() -> None:
    payments = [
        paid(50, "CustomerReturn", 1, reimbursementid="pay", amazonorderid=order)
        for order in (ORDER, OTHER)
    ]
    refunds = [refund(0), refund(0, order=OTHER, _id="other")]
    assert not claims_of({"transactions": refunds, "reimbursements": payments}, "R4", at=70)


def test_a_paid_refund_is_settled() -> None:
    payment = paid(50, "CustomerReturn", 1, "20.00", amazonorderid=ORDER)
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
    claim = only_claim(rows, "R4", at=70)
    assert (claim.units, claim.amount) == (1, "16.67")


def test_of_several_refunds_the_oldest_is_closed_first() -> None:
    rows = {"transactions": [refund(0, -10.0), refund(8, -30.0)], "returns": [returned(9)]}
    claim = only_claim(rows, "R4", at=70)
    assert (claim.opens, claim.amount) == (on(68), "30.00")


def test_a_reversed_payment_reopens_the_refund_and_is_not_a_second_claim() -> None:
    payments = [
        paid(50, "CustomerReturn", 1, amazonorderid=ORDER, _id="pay"),
        reversed_(60, "pay", 1, "CustomerReturn", amazonorderid=ORDER),
    ]
    claims = find({"transactions": [refund(0)], "reimbursements": payments}, at=70).claims
    assert [claim.rule for claim in claims] == ["R4"]


def test_a_refund_of_an_order_that_the_seller_shipped_is_not_owed() -> None:
    assert not claims_of({"transactions": [refund(0, network="MFN")]}, "R4", at=70)


@pytest.mark.parametrize(("fulfiller", "owed"), [("AMAZON", 1), ("MERCHANT", 0)])
def test_the_order_says_who_fulfilled_it_if_the_refund_does_not(fulfiller: str, owed: int) -> None:
    order = {"orderId": ORDER, "fulfillment": {"fulfilledBy": fulfiller}}
    rows = {"transactions": [refund(0, network=None)], "orders": [order]}
    assert units(rows, "R4", at=70) == owed


def test_an_order_with_a_reimbursement_was_fulfilled_by_amazon() -> None:
    payment = paid(50, "CustomerReturn", 1, amazonorderid=ORDER, sku="SKU-2")
    rows = {"transactions": [refund(0, network="")], "reimbursements": [payment]}
    assert units(rows, "R4", at=70) == 1


def test_a_replacement_without_a_refund_is_not_owed() -> None:
    assert not find({"transactions": [sale(0, 3.0), sale(4, 3.0, order=OTHER)]}, at=70).claims


def test_a_refund_with_quantity_0_has_no_units() -> None:
    assert not claims_of({"transactions": [refund(0, -2.0, 0)]}, "R4", at=70)


def test_a_deferred_refund_and_its_release_count_once() -> None:
    link = {"relatedIdentifierName": "DEFERRED_TRANSACTION_ID", "relatedIdentifierValue": "early"}
    early, late = refund(0, _id="early"), refund(14, _id="late")
    late["relatedIdentifiers"].append(link)
    claim = only_claim({"transactions": [early, late]}, "R4", at=70)
    assert (claim.units, claim.opens) == (1, on(60))
    assert only_claim({"transactions": [late]}, "R4", at=80).units == 1


def test_each_item_of_a_refund_is_its_own_claim() -> None:
    both = refund(0, -10.0)
    both["totalAmount"] = amount(-40.0)
    both["items"] += refund(0, -30.0, sku="SKU-2")["items"]
    claims = claims_of({"transactions": [both]}, "R4", at=70)
    assert [claim.amount for claim in claims] == ["10.00", "30.00"]


def test_a_refund_without_an_amount_is_owed_without_an_amount() -> None:
    row = refund(0)
    row["items"][0]["totalAmount"] = None
    assert only_claim({"transactions": [row]}, "R4", at=70).amount == "20.00"
    row["totalAmount"] = None
    claim = only_claim({"transactions": [row]}, "R4", at=70)
    assert (claim.units, claim.amount, claim.currency) == (1, None, None)


def test_the_refunds_of_an_order_item_are_added_up_once_for_all_rules(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counted = []

    def count(refunds: Any, sold: Any) -> Any:
        counted.append(refunds[0].sku)
        return refunded_units(refunds, sold)

    monkeypatch.setattr("connectors.amazon.claims.returns.refunded_units", count)
    rows = {
        "transactions": [refund(0), refund(0, sku="SKU-2", _id="other")],
        "returns": [returned(12, "DAMAGED")],
        "reimbursements": [
            paid(50, "CustomerReturn", 1, amazonorderid=ORDER, _id="pay"),
            reversed_(60, "pay", 1, "CustomerReturn", amazonorderid=ORDER),
        ],
    }
    assert find(rows, at=70).claims
    assert sorted(counted) == ["SKU-1", "SKU-2"]


# R5: returned, damaged by Amazon ------------------------------------------------------------------


@pytest.mark.parametrize("disposition", ["DAMAGED", "CARRIER_DAMAGED"])
def test_a_return_that_amazon_damaged_is_owed(disposition: str) -> None:
    rows = {"transactions": [refund(0, -17.5)], "returns": [returned(12, disposition)]}
    claim = only_claim(rows, "R5", at=70)
    assert (claim.id, claim.amount, claim.opens) == (f"R5:{ORDER}:SKU-1", "17.50", on(60))
    assert not claims_of(rows, "R4", at=70)


@pytest.mark.parametrize("disposition", ["SELLABLE", "CUSTOMER_DAMAGED", "DEFECTIVE", "EXPIRED"])
def test_a_return_that_amazon_did_not_damage_is_not_owed(disposition: str) -> None:
    rows = {"transactions": [refund(0)], "returns": [returned(12, disposition)]}
    assert not claims_of(rows, "R5", at=70)


@pytest.mark.parametrize(
    ("day", "status"),
    [(59, "waiting"), (60, "claimable"), (120, "claimable"), (121, "expired")],
)
def test_the_window_of_a_damaged_return_counts_from_the_refund(day: int, status: str) -> None:
    rows = {"transactions": [refund(0)], "returns": [returned(12, "DAMAGED")]}
    assert only_claim(rows, "R5", at=day).status == status


def test_without_a_refund_the_window_counts_from_the_return_and_the_amount_is_unknown() -> None:
    claim = only_claim({"returns": [returned(12, "DAMAGED")]}, "R5", at=80)
    assert (claim.amount, claim.currency, claim.opens) == (None, None, on(72))


def test_a_return_without_a_place_has_the_window_of_the_main_marketplace() -> None:
    german: Any = {"currency": "EUR", "marketplaceDetails": {"marketplaceId": DE}, "order": OTHER}
    sales = [sale(-9, 3.0, **german), sale(-8, 3.0, **german), sale(-7, 3.0, order=OTHER)]
    rows = {"transactions": sales, "returns": [returned(12, "DAMAGED")]}
    assert only_claim(rows, "R5", at=80).opens == on(57)
    assert only_claim(rows, "R5", at=80, windows=rule_windows(home="US")).opens == on(72)
    order = {"orderId": ORDER, "salesChannel": {"marketplaceId": US}}
    assert only_claim(rows | {"orders": [order]}, "R5", at=80).opens == on(72)


def test_orders_are_not_read_if_all_sales_are_in_one_place() -> None:
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


def test_a_partial_payment_leaves_the_other_units_open() -> None:
    rows = {
        "transactions": [refund(0, -40.0, 2)],
        "returns": [returned(12, "DAMAGED", 2)],
        "reimbursements": [paid(20, "CustomerReturn", 1, amazonorderid=ORDER)],
    }
    claim = only_claim(rows, "R5", at=80)
    assert (claim.units, claim.amount) == (1, "20.00")


def test_the_amount_is_never_negative() -> None:
    rows = {"transactions": [refund(0, 3.0)], "returns": [returned(12, "DAMAGED")]}
    assert only_claim(rows, "R5", at=70).amount == "0.00"


def test_a_repeated_licence_plate_is_one_unit() -> None:
    rows = [returned(day, "DAMAGED", licenseplatenumber="LPN1") for day in (12, 14)]
    assert units({"returns": rows}, "R5", at=80) == 1
    rows = [returned(12, "DAMAGED", licenseplatenumber=f"LPN{number}") for number in (1, 2)]
    assert units({"returns": rows}, "R5", at=80) == 2
