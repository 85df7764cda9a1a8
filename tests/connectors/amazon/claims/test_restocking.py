"""R6: sellable returns that do not show in the stock."""

from typing import Any

import pytest

from .sellers import (
    adjusted,
    amount,
    claims_of,
    on,
    only_claim,
    preview,
    restocked,
    returned,
    sale,
    units,
)

OTHER = "111-9999999-9999999"
SINCE = adjusted(-40, "", -1, eventtype="Shipments", fnsku="X9")


def test_sellable_returns_missing_from_the_ledger_are_owed_with_low_confidence() -> None:
    rows = {
        "ledger": [SINCE, restocked(4, 1)],
        "returns": [returned(2), returned(3), returned(5)],
        "transactions": [sale(-9, 3.0)],
    }
    claim = only_claim(rows, "R6", at=70)
    assert (claim.id, claim.units, claim.confidence) == ("R6:X1:2026-06", 2, "low")
    assert (claim.amount, claim.opens, claim.closes) == ("40.00", on(65), on(125))
    assert claim.evidence == {"returns": ("returns-0000", "returns-0002")}
    assert (claim.details["month"], claim.details["returned"]) == ("2026-06", "3")


def test_restocked_units_are_matched_to_the_newest_returns() -> None:
    """Otherwise a return of today would hide that an old one is missing."""
    rows = {"ledger": [SINCE, restocked(25, 1)], "returns": [returned(2), returned(25)]}
    claim = only_claim(rows, "R6", at=28)
    assert (claim.units, claim.opens) == (1, on(62))
    assert claim.evidence == {"returns": ("returns-0000",)}


def test_a_return_may_show_in_the_ledger_later_or_a_day_early() -> None:
    for day in (1, 2, 20):
        rows = {"ledger": [SINCE, restocked(day, 1)], "returns": [returned(2)]}
        assert not claims_of(rows, "R6", at=70)


def test_a_unit_taken_out_of_stock_again_is_missing() -> None:
    rows = {"ledger": [SINCE, restocked(4, 2), restocked(5, -1)]}
    rows["returns"] = [returned(2), returned(3)]
    claim = only_claim(rows, "R6", at=70)
    assert (claim.units, claim.evidence["returns"]) == (1, ("returns-0000",))


def test_the_window_counts_from_the_last_missing_return() -> None:
    rows = {"ledger": [SINCE, restocked(9, 1)]}
    rows["returns"] = [returned(2), returned(5), returned(9)]
    assert only_claim(rows, "R6", at=70).opens == on(65)


def test_a_unit_is_worth_the_median_sale_in_its_place() -> None:
    mexican: Any = {"currency": "MXN", "order": OTHER}
    other = sale(-8, 3.0, order="S01-1234567-1234567")
    other["items"][0]["totalAmount"] = amount(-4.5)
    merchants = [sale(day, 0.0, network="MFN", order=OTHER) for day in (-7, -4)]
    for merchant_sale in merchants:
        merchant_sale["items"][0]["totalAmount"] = amount(30.0)
    sales = [sale(-9, 3.0), *(sale(day, 3.0, **mexican) for day in (-6, -5)), other, *merchants]
    rows = {"ledger": [SINCE], "returns": [returned(2)], "transactions": sales}
    claim = only_claim(rows, "R6", at=70)
    assert (claim.amount, claim.currency) == ("20.00", "USD")


def test_restocked_returns_are_not_owed_and_each_month_is_matched_separately() -> None:
    rows = {"ledger": [SINCE, restocked(4, 1)], "returns": [returned(2)]}
    assert not claims_of(rows, "R6", at=70)
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
    rows["returns"].append(returned(put))  # the restocked unit is this one
    assert units(rows, "R6", at=70) == 1


def test_a_unit_restocked_as_unsellable_or_of_another_product_does_not_count() -> None:
    damaged = restocked(4, 1, disposition="CUSTOMER_DAMAGED")
    rows = {"ledger": [SINCE, damaged, restocked(4, 1, fnsku="X2")], "returns": [returned(2)]}
    assert units(rows, "R6", at=70) == 1


@pytest.mark.parametrize(("day", "owed"), [(15, 0), (16, 1)])
def test_a_return_has_14_days_to_show_in_the_ledger(day: int, owed: int) -> None:
    assert units({"ledger": [SINCE], "returns": [returned(2)]}, "R6", at=day) == owed


def test_returns_from_before_the_ledger_begins_are_ignored() -> None:
    rows = {"ledger": [adjusted(3, "", -1, eventtype="Shipments")], "returns": [returned(2)]}
    assert not claims_of(rows, "R6", at=70)
    assert not claims_of({"returns": [returned(2)]}, "R6", at=70)


def test_without_a_sale_a_unit_is_worth_its_price_less_fees_as_an_upper_bound() -> None:
    rows = {"ledger": [SINCE], "returns": [returned(2)], "fees": [preview(0)]}
    claim = only_claim(rows, "R6", at=70)
    assert claim.amount == "17.00"
    assert "upper bound" in claim.valuation
