"""R7: fulfilment fees above Amazon's own preview."""

from typing import Any

import pytest

from .sellers import DE, JP, US, amount, claims_of, on, only_claim, preview, sale, units

OTHER = "111-9999999-9999999"


def charged(*rows: Any, fees: Any = None) -> dict[str, Any]:
    return {"transactions": list(rows), "fees": fees or [preview(-5)]}


def test_a_fee_above_the_preview_is_owed() -> None:
    claim = only_claim(charged(sale(0, 4.5), sale(2, 9.0, 2, order=OTHER)), "R7")
    assert (claim.id, claim.units) == ("R7:SKU-1:US:USD:3.00:4.50", 3)
    assert (claim.amount, claim.currency) == ("4.50", "USD")
    assert (claim.opens, claim.closes) == (on(0), on(90))
    assert claim.evidence == {
        "transactions": ("transactions-0000", "transactions-0001"),
        "fees": ("fees-0000",),
    }


@pytest.mark.parametrize(
    ("expected", "fee", "owed"),
    [
        ("1.00", 1.05, 0),
        ("1.00", 1.06, 1),
        ("10.00", 10.2, 0),
        ("10.00", 10.21, 1),
        ("3.00", 2.0, 0),
        ("3,00", 4.0, 1),
    ],
)
def test_a_difference_counts_above_5_cents_and_2_percent(
    expected: str, fee: float, owed: int
) -> None:
    assert units(charged(sale(0, fee), fees=[preview(-5, expected)]), "R7") == owed


@pytest.mark.parametrize(("day", "status"), [(0, "claimable"), (90, "claimable"), (91, "expired")])
def test_a_fee_can_be_disputed_for_90_days(day: int, status: str) -> None:
    assert only_claim(charged(sale(0, 4.5)), "R7", at=day).status == status


def test_charges_that_are_too_old_are_left_out_of_open_claims() -> None:
    rows = charged(sale(0, 4.5), sale(50, 4.5, order=OTHER))
    claim = only_claim(rows, "R7", at=100)
    assert (claim.units, claim.opens, claim.closes) == (1, on(50), on(140))
    assert claim.details["expiredUnits"] == "1"
    assert only_claim(rows, "R7", at=141).status == "expired"


def test_the_highest_fee_of_one_preview_is_the_expected_one() -> None:
    """A product is listed once for each marketplace, which the European layout does not name."""
    several = [preview(-5, "3.00"), preview(-5, "4.00"), preview(-5, "3.50"), preview(-9, "9.00")]
    assert claims_of(charged(sale(0, 4.02), fees=several), "R7") == []
    assert only_claim(charged(sale(0, 5.0), fees=several), "R7").details["expected"] == "4.00"


def test_without_an_earlier_preview_there_is_no_claim() -> None:
    assert not claims_of(charged(sale(0, 4.5), fees=[preview(1)]), "R7")
    assert not claims_of(charged(sale(0, 4.5), fees=[preview(-5, sku="SKU-2")]), "R7")
    assert not claims_of(charged(sale(0, 4.5), fees=[preview(-5, snapshotat="")]), "R7")


def test_the_newest_preview_before_the_charge_counts() -> None:
    previews = [preview(-1, "4.50"), preview(-50, "3.00"), preview(1, "2.00")]
    assert not claims_of(charged(sale(0, 4.5), fees=previews), "R7")
    previews = [preview(-1, "4.00"), preview(-50, "3.00"), preview(-1, "--", _id="none")]
    assert only_claim(charged(sale(0, 4.5), fees=previews), "R7").amount == "0.50"


@pytest.mark.parametrize("more", [{"marketplaceid": DE}, {"currency": "CAD"}])
def test_a_preview_of_another_marketplace_or_currency_is_ignored(more: dict[str, str]) -> None:
    assert not claims_of(charged(sale(0, 4.5), fees=[preview(-5) | more]), "R7")


@pytest.mark.parametrize(
    "more",
    [
        {"order": "S01-1234567-1234567"},
        {"marketplaceDetails": {"marketplaceId": US, "marketplaceName": "Non-Amazon US"}},
    ],
)
def test_orders_of_other_channels_are_ignored(more: dict[str, Any]) -> None:
    assert not claims_of(charged(sale(0, 9.0, **more)), "R7")


def test_different_charges_are_different_claims() -> None:
    rows = charged(sale(0, 4.5), sale(1, 5.0, order=OTHER))
    assert [claim.details["charged"] for claim in claims_of(rows, "R7")] == ["4.50", "5.00"]


def test_tax_on_a_fee_is_not_an_overcharge() -> None:
    row = sale(0, 4.5)
    fee = row["items"][0]["breakdowns"][0]["breakdowns"][0]["breakdowns"][0]
    fee["breakdowns"] = [
        {"breakdownType": "Base", "breakdownAmount": amount(-3.0)},
        {"breakdownType": "Tax", "breakdownAmount": amount(-1.5)},
    ]
    assert not claims_of(charged(row), "R7")


def test_a_fee_may_be_text_and_stand_beside_malformed_breakdowns() -> None:
    row = sale(0, 4.5)
    fees = row["items"][0]["breakdowns"][0]["breakdowns"]
    fees[0]["breakdowns"][0]["breakdownAmount"]["currencyAmount"] = "-4,50"
    fees += [None, "FBAPerUnitFulfillmentFee", {"breakdownType": 7, "breakdowns": {}}]
    assert only_claim(charged(row), "R7").amount == "1.50"


def test_the_breakdowns_of_a_transaction_apply_to_its_only_item() -> None:
    row = sale(0, 4.5)
    row["breakdowns"] = row["items"][0].pop("breakdowns")
    assert only_claim(charged(row), "R7").amount == "1.50"
    row["items"] += sale(0, 3.0, sku="SKU-2")["items"]
    assert not claims_of(charged(row), "R7")


def test_a_deferred_charge_and_its_release_count_once() -> None:
    early, late = sale(0, 4.5, _id="early"), sale(9, 4.5, _id="late")
    early["relatedIdentifiers"].append(
        {"relatedIdentifierName": "RELEASE_TRANSACTION_ID", "relatedIdentifierValue": "late"}
    )
    assert units(charged(early, late), "R7") == 1


def test_the_european_preview_applies_to_local_inventory() -> None:
    european = preview(-5, "", marketplaceid=DE, currency="EUR") | {
        "expecteddomesticfulfilmentfeeperunit": "3,00",
        "haslocalinventory": "Yes",
    }
    row = sale(0, 4.5, currency="EUR", marketplaceDetails={"marketplaceId": DE})
    assert only_claim(charged(row, fees=[european]), "R7").amount == "1.50"
    assert not claims_of(charged(row, fees=[european | {"haslocalinventory": "No"}]), "R7")


def test_a_charge_without_a_quantity_is_ignored() -> None:
    assert not claims_of(charged(sale(0, 4.5, None)), "R7")


def test_a_claim_names_at_most_100_charges_as_evidence() -> None:
    rows = [
        sale(0, 4.5, order=f"111-0000000-{number:07}", _id=f"t{number:03}") for number in range(130)
    ]
    claim = only_claim(charged(*rows), "R7")
    assert (claim.units, len(claim.evidence["transactions"])) == (130, 100)


def test_a_yen_claim_shows_whole_yen_and_keeps_its_id() -> None:
    japanese = {"marketplaceid": JP, "currency": "JPY"}
    row = sale(0, 450, currency="JPY", marketplaceDetails={"marketplaceId": JP})
    claim = only_claim(charged(row, fees=[preview(-5, "300") | japanese]), "R7")
    assert claim.id == "R7:SKU-1:JP:JPY:300.00:450.00"
    assert (claim.amount, claim.details["expected"]) == ("150", "300")
    assert claim.title == "1 unit of SKU-1 charged 450, not 300 JPY"
