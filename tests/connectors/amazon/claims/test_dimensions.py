"""R19: fulfilment fees of products that Amazon measured larger than before, or than the seller."""

from collections.abc import Iterable
from typing import Any

import pytest

from connectors.claims import Claim, Dimensions

from .sellers import DE, FR, claims_of, find, on, only_claim, preview, sale

SMALL = {"longestside": "6.00", "medianside": "4.00", "shortestside": "1.00"}
LARGE = {"longestside": "9.00", "medianside": "6.00", "shortestside": "2.00"}
OWN = {"SKU-1": Dimensions("6", "4", "1", "in", "0.5", "lb")}
AS_LARGE = {"SKU-1": Dimensions("9", "6", "2", "in", "0.5", "lb")}
BETWEEN = {"SKU-1": Dimensions("7", "4.5", "1.4", "in", "0.5", "lb")}


def measured(day: int, expected: str, sides: Any, tier: str = "Small standard", **more: Any) -> Any:
    """A fee preview in the American layout."""
    return preview(day, expected) | {
        "asin": "B1",
        "amazonstore": "US",
        **sides,
        "unitofdimension": "inches",
        "itempackageweight": "0.50",
        "unitofweight": "pounds",
        "productsizetier": tier,
        **more,
    }


def banded(day: int, expected: str, sides: Any, band: str, **more: Any) -> Any:
    """A fee preview in the European layout, whose domestic fee is given."""
    row = measured(day, "", sides, "", amazonstore="", marketplaceid=DE, currency="EUR")
    return row | {
        "haslocalinventory": "Yes",
        "expecteddomesticfulfilmentfeeperunit": expected,
        "unitofdimension": "centimetres",
        "unitofweight": "grams",
        "itempackageweight": "230",
        "productsizeweightband": band,
        **more,
    }


def rows(previews: Iterable[Any], *charges: Any) -> dict[str, Any]:
    return {"fees": list(previews), "transactions": list(charges)}


def remeasured(*charges: Any) -> dict[str, Any]:
    return rows([measured(-5, "3.00", SMALL), measured(1, "4.00", LARGE)], *charges)


def found(seller: Any, **more: Any) -> list[Claim]:
    return claims_of(seller, "R19", **more)


# A raised measurement ---------------------------------------------------------------------------


def test_a_fee_that_rose_with_the_measures_is_owed_above_the_fee_before() -> None:
    claim = only_claim(remeasured(sale(2, 8.0, 2), sale(4, 4.0), sale(-6, 3.0)), "R19")
    assert (claim.id, claim.units) == ("R19:SKU-1:US:USD:3.00:4.00", 3)
    assert (claim.amount, claim.currency, claim.confidence) == ("3.00", "USD", "low")
    assert (claim.opens, claim.closes) == (on(2), on(92))
    assert claim.evidence == {
        "transactions": ("transactions-0000", "transactions-0001"),
        "fees": ("fees-0000", "fees-0001"),
    }
    assert claim.title == "3 units of SKU-1 charged 4.00 each for a larger measurement"
    assert claim.details["smallerMeasures"] == "15.24 x 10.16 x 2.54 cm, 227 g, Small standard"
    assert claim.details["largerMeasures"] == "22.86 x 15.24 x 5.08 cm, 227 g, Small standard"


def test_the_text_of_a_claim_says_that_amazons_measurement_governs_and_names_both() -> None:
    claim = only_claim(remeasured(sale(2, 4.0)), "R19", dimensions=OWN)
    assert "Amazon's own measurement governs, so ask for a new one" in claim.case_text
    for line in (
        "Fee before: 3.00",
        "Charged: 4.00",
        "Smaller measures: 15.24 x 10.16 x 2.54 cm, 227 g, Small standard",
        "Larger measures: 22.86 x 15.24 x 5.08 cm, 227 g, Small standard",
        "Your measures: 15.24 x 10.16 x 2.54 cm, 227 g",
        "Amount: 1.00 USD",
    ):
        assert line in claim.case_text.splitlines(), claim.case_text
    assert [step.amount for step in claim.steps] == [None, "1.00"]
    assert "above the 3.00 USD per unit for the smaller measures" in claim.steps[0].text


def test_a_charge_between_the_two_previews_counts() -> None:
    assert only_claim(remeasured(sale(0, 4.0)), "R19").amount == "1.00"


@pytest.mark.parametrize(
    "changed",
    [
        {"longestside": "6.10"},
        {"shortestside": "1.10"},
        {"itempackageweight": "0.60"},
        {"productsizetier": "Large standard"},
    ],
)
def test_a_side_the_weight_or_the_tier_may_have_been_raised(changed: Any) -> None:
    previews = [measured(-5, "3.00", SMALL), measured(1, "4.00", SMALL, **changed)]
    assert only_claim(rows(previews, sale(2, 4.0)), "R19").amount == "1.00"


@pytest.mark.parametrize(
    "later",
    [
        measured(1, "4.00", SMALL),  # a higher fee for the same measures
        measured(1, "4.00", {**SMALL, "longestside": "5.00"}),
        measured(1, "3.05", LARGE),  # no more than the tolerance
        measured(1, "4.00", LARGE, asin="B2"),  # another product
        measured(1, "4.00", LARGE, fnsku="X2"),
        measured(1, "4.00", LARGE, unitofdimension="cubits"),
        measured(1, "4.00", LARGE, unitofdimension="cm"),  # smaller
        measured(1, "4.00", LARGE, snapshotat=""),
        measured(1, "4.00", LARGE, amazonstore="CA", marketplaceid="A2EUQ1WTGCTBG2"),
    ],
)
def test_a_fee_that_rose_for_another_reason_is_not_owed(later: Any) -> None:
    assert not found(rows([measured(-5, "3.00", SMALL), later], sale(2, 4.0)))


def test_without_a_preview_before_the_raise_nothing_is_owed() -> None:
    previews = [measured(1, "4.00", LARGE), measured(9, "4.00", LARGE)]
    assert not found(rows(previews, sale(2, 4.0)))


def test_a_charge_before_the_raise_or_at_the_old_fee_is_not_owed() -> None:
    assert not found(remeasured(sale(-6, 4.0), sale(2, 3.04)))


def test_a_product_that_was_measured_right_again_is_owed_until_then() -> None:
    previews = [*remeasured()["fees"], measured(9, "3.00", SMALL)]
    claim = only_claim(rows(previews, sale(2, 4.0), sale(10, 3.0)), "R19")
    assert (claim.units, claim.amount) == (1, "1.00")


def test_after_several_raises_the_fee_before_the_first_one_was_due() -> None:
    larger = {**LARGE, "longestside": "12.00"}
    previews = [
        *(measured(day, "3.00", SMALL) for day in (-9, -5)),
        *(measured(day, "4.00", LARGE) for day in (1, 4)),
        measured(7, "5.00", larger),
    ]
    claims = found(rows(previews, sale(3, 4.0), sale(8, 5.0)))
    assert {claim.details["charged"]: claim.amount for claim in claims} == {
        "4.00": "1.00",
        "5.00": "2.00",
    }
    assert {claim.details["smallerMeasures"][:5] for claim in claims} == {"15.24"}


def test_no_unit_is_claimed_by_both_rules_on_fulfilment_fees() -> None:
    previews = [*remeasured()["fees"], measured(9, "4.00", LARGE)]
    claims = find(rows(previews, sale(2, 5.0), sale(3, 4.0))).claims
    assert [(claim.rule, claim.units, claim.amount) for claim in claims] == [
        ("R7", 1, "1.00"),
        ("R19", 1, "1.00"),
    ]
    before = find(rows(previews[:1], sale(0, 4.0))).claims
    assert [claim.rule for claim in before] == ["R7"], "until a preview shows the measures"
    after = find(rows(previews[:2], sale(0, 4.0)))
    assert [claim.rule for claim in after.claims] == ["R19"]


@pytest.mark.parametrize(("day", "status"), [(2, "claimable"), (92, "claimable"), (93, "expired")])
def test_a_claim_is_open_for_90_days_from_the_first_charge(day: int, status: str) -> None:
    assert only_claim(remeasured(sale(2, 4.0)), "R19", at=day).status == status


def test_charges_that_are_too_old_are_left_out_of_open_claims() -> None:
    claim = only_claim(remeasured(sale(2, 4.0), sale(50, 4.0)), "R19", at=100)
    assert (claim.units, claim.opens, claim.details["expiredUnits"]) == (1, on(50), "1")


def test_the_european_layout_names_a_band_and_a_fee_for_each_country() -> None:
    def row(day: int, expected: str, sides: Any, band: str, abroad: str) -> Any:
        return banded(day, expected, sides, band, expectedefnfulfilmentfeeperunitfr=abroad)

    previews = [
        row(-5, "3,00", SMALL, "Standard envelope", "5,00"),
        row(1, "4,00", SMALL, "Standard parcel", "7,50"),
    ]
    german: Any = {"currency": "EUR", "marketplaceDetails": {"marketplaceId": DE}}
    french: Any = {"currency": "EUR", "marketplaceDetails": {"marketplaceId": FR}}
    claims = found(rows(previews, sale(2, 4.0, **german), sale(3, 7.5, **french)))
    assert [(claim.id, claim.amount) for claim in claims] == [
        ("R19:SKU-1:DE:EUR:3.00:4.00", "1.00"),
        ("R19:SKU-1:FR:EUR:5.00:7.50", "2.50"),
    ]
    assert "6.00 x 4.00 x 1.00 cm, 230 g, Standard parcel" in claims[0].case_text


# Announced changes ------------------------------------------------------------------------------


def dated(day: str, make: Any) -> Any:
    field = "postedDate" if "transactionType" in make else "snapshotat"
    return make | {field: f"{day}T08:00:00Z"}


def test_a_raise_between_previews_with_an_announced_change_between_them_proves_nothing() -> None:
    previews = [
        dated("2026-10-10", measured(0, "3.00", SMALL)),
        dated("2026-10-20", measured(0, "4.00", LARGE)),
    ]
    assert not found(rows(previews, dated("2026-10-22", sale(0, 4.0))), at=200)


def test_after_an_announced_change_the_amount_is_unknown() -> None:
    previews = [
        dated("2026-09-01", measured(0, "3.00", SMALL)),
        dated("2026-09-10", measured(0, "4.00", LARGE)),
        dated("2026-10-20", measured(0, "4.30", LARGE)),
    ]
    charges = [dated("2026-09-12", sale(0, 4.0)), dated("2026-10-22", sale(0, 4.3))]
    claims = found(rows(previews, *charges), at=150, dimensions=OWN)
    assert [(claim.id, claim.amount, claim.confidence) for claim in claims] == [
        ("R19:SKU-1:US:USD:3.00:4.00", "1.00", "high"),
        ("R19:SKU-1:US:USD:3.00:4.30:announced", None, "low"),
    ]
    assert "announced other fees" in claims[1].valuation


def test_the_surcharge_and_the_limit_for_low_prices_are_no_raise() -> None:
    previews = [
        measured(-5, "3.00", SMALL, yourprice="9.50"),
        measured(1, "3.80", LARGE, yourprice="12.00"),
    ]
    assert not found(rows(previews, sale(2, 3.8, principal=12.0)))
    surcharged = [measured(-5, "10.00", SMALL), measured(1, "12.00", LARGE)]
    assert not found(rows(surcharged, sale(0, 10.35)))


# The seller's own table -------------------------------------------------------------------------


def test_the_sellers_measures_decide_whether_a_raise_is_right() -> None:
    seller = remeasured(sale(2, 4.0))
    assert only_claim(seller, "R19").confidence == "low"
    supported = only_claim(seller, "R19", dimensions=OWN)
    assert (supported.confidence, supported.amount) == ("high", "1.00")
    assert supported.id == only_claim(seller, "R19").id, "a later table does not change the id"
    assert not found(seller, dimensions=AS_LARGE)
    assert only_claim(seller, "R19", dimensions={"SKU-2": OWN["SKU-1"]}).confidence == "low"


def test_measures_between_both_of_amazons_leave_the_amount_open() -> None:
    claim = only_claim(remeasured(sale(2, 4.0)), "R19", dimensions=BETWEEN)
    assert (claim.amount, claim.confidence) == (None, "low")


def test_a_raised_tier_of_equal_measures_is_wrong_by_the_sellers_table() -> None:
    previews = [measured(-5, "3.00", SMALL), measured(1, "4.00", SMALL, "Large standard")]
    seller = rows(previews, sale(2, 4.0))
    assert only_claim(seller, "R19", dimensions=OWN).confidence == "high"
    assert not found(seller, dimensions=AS_LARGE)


def test_a_measurement_above_the_sellers_has_an_amount_once_a_preview_shows_their_fee() -> None:
    previews = [measured(-5, "4.00", LARGE), measured(1, "4.00", LARGE)]
    charges = [sale(0, 4.0), sale(2, 8.0, 2)]
    unknown = only_claim(rows(previews, *charges), "R19", dimensions=OWN)
    assert (unknown.units, unknown.amount, unknown.confidence) == (3, None, "low")
    assert "shows the fee for your measures" in unknown.valuation
    assert (unknown.opens, unknown.closes) == (on(0), on(90))
    assert not found(rows(previews, *charges)), "without a table, nothing was raised"
    previews.append(measured(9, "3.00", SMALL))
    known = only_claim(rows(previews, *charges), "R19", dimensions=OWN)
    assert (known.id, known.amount, known.confidence) == (unknown.id, "3.00", "high")


def test_measures_above_the_sellers_without_a_higher_fee_are_not_owed() -> None:
    previews = [measured(-5, "4.00", LARGE), measured(1, "4.00", SMALL)]
    assert not found(rows(previews, sale(0, 4.0)), dimensions=OWN)


def test_a_table_without_usable_measures_is_silent() -> None:
    broken = {"SKU-1": Dimensions("x", "", "1", "in", "", "lb")}
    assert only_claim(remeasured(sale(2, 4.0)), "R19", dimensions=broken).confidence == "low"


def test_without_its_inputs_the_rule_does_not_run() -> None:
    findings = find(remeasured(sale(2, 4.0)), missing=["fees"])
    assert "R19" not in findings.ran
    assert findings.skipped["R19"] == "Not completely read: fees."
