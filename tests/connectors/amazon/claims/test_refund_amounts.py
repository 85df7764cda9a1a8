"""R13, R17, R18: amounts of refunds."""

from typing import Any

import pytest

from connectors.amazon.claims import FEE_LIMITS, find_claims
from connectors.amazon.settings import read_settings
from connectors.base import Misconfigured

from .sellers import (
    DE,
    ORDER,
    Seller,
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

EARLY = sale(-60, 3.0, order="111-0000009-0000009", _id="early")


def refunded(*refunds: Any, price: float = 20.0, quantity: int = 1, **more: Any) -> dict[str, Any]:
    """A sale at a price for each unit, and its refunds."""
    sold = sale(-5, 3.0, quantity, principal=price * quantity)
    return {"transactions": [EARLY, sold, *refunds], **more}


# R13: paid less than the refund -------------------------------------------------------------------


def payment(day: int, per_unit: str, quantity: int = 1, **more: Any) -> Any:
    return paid(
        day,
        more.pop("reason", "CustomerReturn"),
        quantity,
        per_unit,
        **{"amazonorderid": ORDER, **more},
    )


def test_a_refund_that_was_paid_in_part_is_owed_the_difference() -> None:
    rows = {"transactions": [refund(0)], "reimbursements": [payment(50, "5.00")]}
    claim = only_claim(rows, "R13", at=70)
    assert (claim.id, claim.units, claim.amount) == (f"R13:{ORDER}:SKU-1", 1, "15.00")
    assert (claim.opens, claim.closes) == (on(50), on(110))
    assert claim.title == "1 unit of SKU-1 paid 5.00, not 20.00 USD"
    assert [claim.rule for claim in find(rows, at=70).claims] == ["R13"]


@pytest.mark.parametrize(("per_unit", "owed"), [("18.99", 1), ("19.00", 0), ("25.00", 0)])
def test_a_payment_of_95_percent_of_the_refund_is_enough(per_unit: str, owed: int) -> None:
    rows = {"transactions": [refund(0)], "reimbursements": [payment(50, per_unit)]}
    assert units(rows, "R13", at=70) == owed


def test_all_payments_for_the_order_item_count() -> None:
    payments = [payment(50, "5.00"), payment(60, "15.00", _id="more")]
    assert not find({"transactions": [refund(0)], "reimbursements": payments}, at=70).claims
    findings = find({"transactions": [refund(0)], "reimbursements": payments}, at=70)
    assert f"R13:{ORDER}:SKU-1" in findings.settled
    other = [payment(50, "5.00"), payment(60, "15.00", _id="more", reason="General_Adjustment")]
    assert not find({"transactions": [refund(0)], "reimbursements": other}, at=70).claims


def test_a_unit_is_unpaid_or_underpaid_and_never_both() -> None:
    rows = {"transactions": [refund(0, -60.0, 3)], "reimbursements": [payment(50, "5.00")]}
    claims = find(rows, at=70).claims
    assert [(claim.rule, claim.units, claim.amount) for claim in claims] == [
        ("R4", 2, "40.00"),
        ("R13", 1, "15.00"),
    ]


@pytest.mark.parametrize(
    ("disposition", "owed"), [("SELLABLE", 0), ("DEFECTIVE", 0), ("DAMAGED", 1)]
)
def test_nothing_is_due_for_a_unit_that_came_back_unless_amazon_damaged_it(
    disposition: str, owed: int
) -> None:
    rows = {
        "transactions": [refund(0)],
        "returns": [returned(9, disposition)],
        "reimbursements": [payment(50, "5.00")],
    }
    assert units(rows, "R13", at=70) == owed


@pytest.mark.parametrize(
    "more",
    [
        {"reason": "Lost_Outbound"},
        {"currencyunit": "CAD"},
        {"amazonorderid": ""},
        {"sku": "SKU-2"},
        {"quantityreimbursedcash": "0", "quantityreimbursedinventory": "1"},
    ],
)
def test_a_payment_that_cannot_be_compared_has_no_claim(more: dict[str, str]) -> None:
    rows = {"transactions": [refund(0)], "reimbursements": [payment(50, "5.00") | more]}
    assert not claims_of(rows, "R13", at=70)


def test_a_payment_that_was_taken_back_is_not_an_underpayment() -> None:
    payments = [
        payment(50, "5.00", _id="pay"),
        reversed_(60, "pay", 1, "CustomerReturn", amazonorderid=ORDER),
    ]
    rows = {"transactions": [refund(0)], "reimbursements": payments}
    assert [claim.rule for claim in find(rows, at=70).claims] == ["R4"]


# R17: too much kept -------------------------------------------------------------------------------


def kept(fee: float, given_back: float, quantity: int = 1, **more: Any) -> Any:
    return refund(0, -17.0, quantity, kept=fee, commission=-given_back, **more)


@pytest.mark.parametrize(
    ("fee", "given_back", "quantity", "owed"),
    [
        (0.60, 3.0, 1, None),
        (0.65, 3.0, 1, None),
        (1.00, 3.0, 1, "0.40"),
        (3.00, 3.0, 1, "2.40"),
        (6.00, 40.0, 1, "1.00"),
        (8.00, 40.0, 2, None),
        (12.00, 80.0, 2, "2.00"),
    ],
)
def test_amazon_keeps_at_most_five_dollars_or_a_fifth_of_the_fee(
    fee: float, given_back: float, quantity: int, owed: str | None
) -> None:
    claims = claims_of({"transactions": [kept(fee, given_back, quantity)]}, "R17")
    assert [claim.amount for claim in claims] == ([owed] if owed else [])


def test_a_claim_for_a_kept_fee_names_the_refund() -> None:
    claim = only_claim({"transactions": [kept(1.0, 3.0)]}, "R17")
    assert (claim.id, claim.opens, claim.closes) == (f"R17:{ORDER}:SKU-1", on(0), on(90))
    assert claim.title == "1 unit of SKU-1 refunded: 1.00 kept, not 0.60 USD"
    assert claim.evidence == {"transactions": ("transactions-0000",)}


def test_kept_fees_count_whoever_shipped_the_order() -> None:
    assert units({"transactions": [kept(1.0, 3.0, network="MFN")]}, "R17") == 1


def test_limits_of_other_places_and_unknown_fees_are_not_guessed() -> None:
    german: Any = {"currency": "EUR", "marketplaceDetails": {"marketplaceId": DE}}
    assert not claims_of({"transactions": [kept(3.0, 3.0, **german)]}, "R17")
    assert not claims_of({"transactions": [refund(0, kept=3.0)]}, "R17")


def limited(text: str, **refund: Any) -> list[str | None]:
    limits = read_settings({"AMAZON_REFUND_FEE_LIMITS": text}).refund_fee_limits
    seller = Seller({"transactions": [kept(3.0, 10.0, **refund)]})
    found = find_claims(seller, noon(30), fee_limits={**FEE_LIMITS, **limits})
    return [claim.amount for claim in found.claims if claim.rule == "R17"]


def test_the_limits_of_a_place_are_a_setting() -> None:
    german: Any = {"currency": "EUR", "marketplaceDetails": {"marketplaceId": DE}}
    limit = '{"amount":"2.50","currency":"EUR","share":"0.1"}'
    assert limited(f'{{"DE":{limit}}}', **german) == ["2.00"]
    assert limited(f'{{"EU":{limit}}}', **german) == ["2.00"]
    assert limited(f'{{"FR":{limit}}}', **german) == []
    assert limited(f'{{"DE":{limit}}}') == ["1.00"], "the default of the United States"
    assert limited('{"US":{"amount":0.5,"currency":"USD","share":1}}') == ["2.50"]


def test_a_refund_in_another_currency_than_the_limit_is_not_compared() -> None:
    assert limited('{"US":{"amount":"0","currency":"USD","share":"0"}}', currency="CAD") == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("5.00", ["must be JSON like"]),
        ('{"US":[5,0.2]}', ["must be JSON like"]),
        ('{"US":{"amount":"5.00","currency":"USD"}}', ["must be JSON like", "share"]),
        ('{"US":{"amount":"much","currency":"USD","share":"0.2"}}', ["must be JSON like"]),
        ('{"UK":{"amount":"4","currency":"GBP","share":"0.2"}}', ["'UK'", "not a place", "GB"]),
        ('{"GB":{"amount":"4","currency":"USD","share":"0.2"}}', ["GB", "'USD'", "GBP"]),
        ('{"US":{"amount":"-1","currency":"USD","share":"0.2"}}', ["US", "-1", "0 or more"]),
        ('{"US":{"amount":"NaN","currency":"USD","share":"0.2"}}', ["US", "NaN"]),
        ('{"US":{"amount":"5","currency":"USD","share":"20"}}', ["US", "20", "from 0 to 1"]),
    ],
)
def test_a_wrong_limit_is_refused_with_an_error_that_names_it(text: str, words: list[str]) -> None:
    with pytest.raises(Misconfigured) as error:
        read_settings({"AMAZON_REFUND_FEE_LIMITS": text})
    for word in ("AMAZON_REFUND_FEE_LIMITS", *words):
        assert word in str(error.value)


# R18: refunded above the price --------------------------------------------------------------------


def back(rows: dict[str, Any]) -> dict[str, Any]:
    """Rows in which the unit was returned, so that its refund is settled."""
    return rows | {"returns": [returned(9)]}


def test_a_refund_above_the_price_is_owed() -> None:
    claim = only_claim(back(refunded(refund(0, -45.0, principal=-50.0), price=40.0)), "R18")
    assert (claim.id, claim.units, claim.amount) == (f"R18:{ORDER}:SKU-1", 1, "10.00")
    assert (claim.opens, claim.closes, claim.confidence) == (on(0), on(90), "high")
    assert claim.title == "1 unit of SKU-1 refunded for 50.00, sold for 40.00 USD"


def test_a_second_refund_of_the_same_unit_is_owed() -> None:
    twice = [refund(0, -17.0, principal=-20.0), refund(4, -17.0, principal=-20.0)]
    claim = only_claim(back(refunded(*twice)), "R18")
    assert (claim.amount, claim.opens) == ("20.00", on(4))


@pytest.mark.parametrize("principal", [-20.0, -20.05, -19.0])
def test_a_refund_of_the_price_is_not_owed(principal: float) -> None:
    assert not find(back(refunded(refund(0, -17.0, principal=principal)))).claims


def test_refunds_of_several_units_are_not_too_much() -> None:
    refunds = [refund(day, -17.0, principal=-20.0, _id=f"r{day}") for day in (0, 4)]
    assert not claims_of(back(refunded(*refunds, quantity=2)), "R18")


def test_what_a_claim_for_the_unit_contains_is_not_claimed_twice() -> None:
    rows = refunded(refund(0, -45.0, principal=-50.0), price=40.0)
    claims = find(rows, at=70).claims
    assert [(claim.rule, claim.amount) for claim in claims] == [("R4", "45.00")]
    broken = rows | {"returns": [returned(9, "DAMAGED")]}
    assert [claim.rule for claim in find(broken, at=70).claims] == ["R5"]
    twice = [refund(0, -17.0, principal=-20.0), refund(4, -17.0, principal=-20.0)]
    claims = find(refunded(*twice), at=70).claims
    assert [(claim.rule, claim.amount) for claim in claims] == [("R4", "17.00"), ("R18", "20.00")]


def test_an_underpayment_leaves_out_what_was_refunded_above_the_price() -> None:
    rows = refunded(refund(0, -50.0, principal=-50.0), price=40.0)
    rows["reimbursements"] = [payment(50, "40.00")]
    claims = find(rows, at=70).claims
    assert [(claim.rule, claim.amount) for claim in claims] == [("R18", "10.00")]


def test_a_sale_that_may_be_incomplete_leaves_low_confidence() -> None:
    rows = back(refunded(refund(0, -45.0, principal=-50.0), price=40.0))
    rows["transactions"].remove(EARLY)
    assert only_claim(rows, "R18").confidence == "low"
    rows["transactions"].append(EARLY | {"transactionType": "ServiceFee"})
    assert only_claim(rows, "R18").confidence == "high", "transactions reach back far enough"


@pytest.mark.parametrize(
    "row",
    [
        refund(0, -45.0),
        refund(0, -45.0, principal=-50.0, network="MFN"),
        refund(0, -45.0, principal=-50.0, order="111-0000007-0000007"),
        refund(0, -45.0, principal=-50.0, currency="CAD"),
    ],
)
def test_a_refund_that_cannot_be_compared_has_no_claim(row: Any) -> None:
    assert not claims_of(back(refunded(row, price=40.0)), "R18")
