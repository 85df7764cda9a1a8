"""R7: fulfilment fees above Amazon's own preview."""

from typing import Any

import pytest

from .sellers import DE, FR, GB, JP, US, amount, claims_of, on, only_claim, preview, sale, units

OTHER = "111-9999999-9999999"


def charged(*rows: Any, fees: Any = None, after: bool = True) -> dict[str, Any]:
    """Charges and previews, which are the same after the charges as before them unless given."""
    if fees is None:
        fees = [preview(-5), *([preview(88)] if after else [])]
    return {"transactions": list(rows), "fees": fees}


def test_a_fee_above_the_preview_is_owed() -> None:
    claim = only_claim(charged(sale(0, 4.5), sale(2, 9.0, 2, order=OTHER)), "R7")
    assert (claim.id, claim.units) == ("R7:SKU-1:US:USD:3.00:4.50", 3)
    assert claim.confidence == "high"
    assert (claim.amount, claim.currency) == ("4.50", "USD")
    assert (claim.opens, claim.closes) == (on(0), on(90))
    assert claim.evidence == {
        "transactions": ("transactions-0000", "transactions-0001"),
        "fees": ("fees-0000", "fees-0001"),
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
    previews = [preview(-5, expected), preview(5, expected)]
    assert units(charged(sale(0, fee), fees=previews), "R7") == owed


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
    previews = [preview(day, "300") | japanese for day in (-5, 5)]
    claim = only_claim(charged(row, fees=previews), "R7")
    assert claim.id == "R7:SKU-1:JP:JPY:300.00:450.00"
    assert (claim.amount, claim.details["expected"]) == ("150", "300")
    assert claim.title == "1 unit of SKU-1 charged 450, not 300 JPY"


# The preview after the charge -------------------------------------------------------------------


def test_until_there_is_a_preview_after_it_a_charge_has_low_confidence() -> None:
    claim = only_claim(charged(sale(0, 4.5), after=False), "R7")
    assert (claim.id, claim.confidence) == ("R7:SKU-1:US:USD:3.00:4.50:weak", "low")
    assert (claim.units, claim.amount) == (1, "1.50")


def test_certain_and_uncertain_charges_are_separate_claims() -> None:
    rows = charged(sale(0, 4.5), sale(5, 9.0, 2, order=OTHER), fees=[preview(-5), preview(3)])
    claims = claims_of(rows, "R7")
    assert [(claim.id, claim.units, claim.confidence) for claim in claims] == [
        ("R7:SKU-1:US:USD:3.00:4.50", 1, "high"),
        ("R7:SKU-1:US:USD:3.00:4.50:weak", 2, "low"),
    ]


@pytest.mark.parametrize(("later", "owed"), [("4.50", 0), ("4.47", 0), ("4.40", 1), ("2.00", 1)])
def test_a_charge_that_the_next_preview_announces_is_not_too_high(later: str, owed: int) -> None:
    previews = [preview(-5, "3.00"), preview(1, later), preview(9, "2.00")]
    assert units(charged(sale(0, 4.5), fees=previews), "R7") == owed


def test_the_claim_is_for_what_exceeds_both_previews_and_keeps_its_id() -> None:
    claim = only_claim(charged(sale(0, 4.5), fees=[preview(-5), preview(1, "4.00")]), "R7")
    assert (claim.id, claim.amount) == ("R7:SKU-1:US:USD:3.00:4.50", "0.50")
    assert claim.details["expected"] == "4.00"


# Announced changes --------------------------------------------------------------------------------


def dated(day: str, fee: float, **more: Any) -> Any:
    return sale(0, fee, postedDate=f"{day}T08:00:00Z", **more)


def dated_preview(day: str, expected: str, **more: Any) -> Any:
    return preview(0, expected, snapshotat=f"{day}T00:00:00Z", **more)


def owed(charge: Any, *previews: Any) -> list[str]:
    """The confidence of what is owed for a charge."""
    return [claim.confidence for claim in claims_of(charged(charge, fees=previews), "R7", at=300)]


@pytest.mark.parametrize(
    ("before", "charge"),
    [
        ("2026-10-12", "2026-10-16"),  # the peak fee
        ("2026-12-20", "2027-01-16"),  # the yearly table
        ("2027-01-10", "2027-01-20"),
        ("2026-04-10", "2026-04-17"),  # the surcharge
    ],
)
def test_a_higher_fee_after_an_announced_change_waits_for_the_next_preview(
    before: str, charge: str
) -> None:
    row, earlier = dated(charge, 3.4), dated_preview(before, "3.00")
    assert owed(row, earlier) == []
    assert owed(row, earlier, dated_preview("2027-01-31", "3.40")) == []
    elsewhere = {"marketplaceDetails": {"marketplaceId": GB}, "currency": "GBP"}
    british = dated(charge, 3.4, **elsewhere)
    assert owed(british, earlier | {"marketplaceid": GB, "currency": "GBP"}) == ["low"]


def test_a_charge_above_the_previews_on_both_sides_of_a_change_is_owed() -> None:
    previews = [dated_preview("2026-10-12", "3.00"), dated_preview("2026-10-18", "3.40")]
    assert owed(dated("2026-10-16", 3.4), *previews) == []
    assert owed(dated("2026-10-16", 4.4), *previews) == ["high"]
    january = [dated_preview("2027-01-02", "3.00"), dated_preview("2027-01-30", "3.00")]
    assert owed(dated("2027-01-16", 4.0), *january) == ["high"]


def test_a_peak_fee_between_two_previews_of_other_seasons_is_not_owed() -> None:
    previews = [dated_preview("2026-10-12", "3.00"), dated_preview("2027-01-20", "3.00")]
    assert owed(dated("2026-11-16", 3.4), *previews) == []
    assert owed(dated("2027-01-16", 3.4), *previews) == ["high"]
    inside = dated_preview("2026-10-20", "3.00")
    assert owed(dated("2026-11-16", 3.4), inside, previews[1]) == ["high"]


@pytest.mark.parametrize(("fee", "confidence"), [(10.35, []), (10.34, []), (10.5, ["high"])])
def test_the_surcharge_alone_is_not_owed(fee: float, confidence: list[str]) -> None:
    previews = [dated_preview("2026-05-01", "10.00"), dated_preview("2026-05-08", "10.00")]
    assert owed(dated("2026-05-04", fee), *previews) == confidence


@pytest.mark.parametrize(
    ("announced", "sold", "confidence"),
    [("9.99", 10.0, []), ("9.99", 9.5, ["low"]), ("10.00", 12.0, ["low"]), ("", 12.0, ["low"])],
)
def test_a_price_above_the_limit_for_low_prices_explains_a_higher_fee(
    announced: str, sold: float, confidence: list[str]
) -> None:
    row = dated("2026-06-04", 3.8, principal=sold)
    before = dated_preview("2026-06-01", "3.00", yourprice=announced)
    assert owed(row, before) == confidence
    after = dated_preview("2026-06-08", "3.80", yourprice="12.00")
    assert owed(row, before, after) == []
    cheaper = dated_preview("2026-06-08", "3.40", yourprice="12.00")
    assert owed(row, before, cheaper) == ["high"]


# Countries ----------------------------------------------------------------------------------------


def test_a_european_preview_tells_the_fee_of_each_country() -> None:
    row = preview(-5, "", marketplaceid=DE, currency="EUR") | {
        "expecteddomesticfulfilmentfeeperunit": "3,00",
        "haslocalinventory": "Yes",
        "expectedefnfulfilmentfeeperunitde": "5,10",
        "expectedefnfulfilmentfeeperunitfr": "6,20",
        "expectedefnfulfilmentfeeperunituk": "7,30",
    }
    previews = [row, row | {"snapshotat": f"{on(9)}T00:00:00Z"}]
    french: Any = {"currency": "EUR", "marketplaceDetails": {"marketplaceId": FR}}
    assert not claims_of(charged(sale(0, 6.2, **french), fees=previews), "R7")
    claim = only_claim(charged(sale(0, 7.0, **french), fees=previews), "R7")
    assert (claim.id, claim.amount) == ("R7:SKU-1:FR:EUR:6.20:7.00", "0.80")
    german: Any = {"currency": "EUR", "marketplaceDetails": {"marketplaceId": DE}}
    assert only_claim(charged(sale(0, 4.0, **german), fees=previews), "R7").amount == "1.00"
    british: Any = {"currency": "GBP", "marketplaceDetails": {"marketplaceId": GB}}
    assert not claims_of(charged(sale(0, 9.0, **british), fees=previews), "R7")
