"""R16: referral fees above Amazon's own previews."""

from typing import Any

import pytest

from .sellers import DE, JP, amount, claims_of, on, only_claim, preview, sale, units

OTHER = "111-9999999-9999999"


def announced(day: int, share: str = "3.75", price: str = "25.00", **more: Any) -> Any:
    return preview(day, estimatedreferralfeeperunit=share, yourprice=price, **more)


def sold(commission: float, price: float = 25.0, quantity: int = 1, **more: Any) -> Any:
    return sale(0, 3.0, quantity, commission=commission, principal=price, **more)


def rows_of(*rows: Any, fees: Any = None) -> dict[str, Any]:
    fees = [announced(-5), announced(5)] if fees is None else fees
    return {"transactions": list(rows), "fees": fees}


def test_a_referral_fee_above_the_announced_share_is_owed() -> None:
    rows = rows_of(sold(5.0), sold(10.0, 50.0, 2, order=OTHER))
    claim = only_claim(rows, "R16")
    assert (claim.id, claim.units, claim.amount) == ("R16:SKU-1:US:USD:3.75:5.00", 3, "3.75")
    assert (claim.opens, claim.closes, claim.confidence) == (on(0), on(90), "high")
    assert claim.title == "3 units of SKU-1 charged a referral fee of 5.00, not 3.75 USD"
    assert claim.evidence["fees"] == ("fees-0000", "fees-0001")


@pytest.mark.parametrize(
    ("commission", "price", "owed"),
    [
        (3.75, 25.0, 0),
        (3.80, 25.0, 0),
        (3.83, 25.0, 1),
        (4.50, 30.0, 0),  # the price went up
        (3.75, 20.0, 1),  # the price went down, the fee did not
        (0.30, 1.0, 0),  # the lowest fee
        (0.40, 1.0, 1),
    ],
)
def test_the_fee_is_a_share_of_the_price(commission: float, price: float, owed: int) -> None:
    assert units(rows_of(sold(commission, price)), "R16") == owed


def test_until_there_is_a_preview_after_it_a_sale_has_low_confidence() -> None:
    claim = only_claim(rows_of(sold(5.0), fees=[announced(-5)]), "R16")
    assert (claim.id, claim.confidence) == ("R16:SKU-1:US:USD:3.75:5.00:weak", "low")


@pytest.mark.parametrize(
    "fees",
    [
        [announced(1)],
        [announced(-5, "")],
        [announced(-5), announced(5, "5.00")],
        [announced(-5, currency="CAD")],
        [announced(-5, marketplaceid=DE)],
        [announced(-5, price="")],
    ],
)
def test_without_a_lower_announced_fee_nothing_is_owed(fees: Any) -> None:
    assert not claims_of(rows_of(sold(5.0), fees=fees), "R16")


def test_of_two_prices_in_a_preview_the_lower_one_counts() -> None:
    fees = [announced(day, "3.00", salesprice="20.00") for day in (-5, 5)]
    assert not claims_of(rows_of(sold(3.75), fees=fees), "R16")


def test_a_price_for_which_a_category_may_have_a_higher_share_explains_the_fee() -> None:
    cheap = [announced(day, "0.72", "9.00") for day in (-5, 5)]
    assert not claims_of(rows_of(sold(1.65, 11.0), fees=cheap), "R16")
    assert units(rows_of(sold(1.35, 9.0), fees=cheap), "R16") == 1
    after = [cheap[0], announced(5, "0.88", "11.00")]
    assert only_claim(rows_of(sold(1.65, 11.0), fees=after), "R16").confidence == "high"


def test_shipping_and_gift_wrap_belong_to_the_price() -> None:
    row = sold(5.0)
    nodes = row["items"][0]["breakdowns"][1]["breakdowns"][0]["breakdowns"]
    nodes.append({"breakdownType": "Shipping", "breakdownAmount": amount(8.33)})
    assert not claims_of(rows_of(row), "R16")


@pytest.mark.parametrize(("marketplace", "currency", "owed"), [(DE, "EUR", 0), ("", "USD", 1)])
def test_prices_contain_tax_in_europe(marketplace: str, currency: str, owed: int) -> None:
    more: dict[str, Any] = {"currency": currency}
    if marketplace:
        more["marketplaceDetails"] = {"marketplaceId": marketplace}
    row = sold(4.46, 25.0, **more)
    nodes = row["items"][0]["breakdowns"][1]["breakdowns"][0]["breakdowns"]
    nodes.append({"breakdownType": "Tax", "breakdownAmount": amount(4.75, currency)})
    place = {"marketplaceid": marketplace} if marketplace else {}
    fees = [announced(day, currency=currency, **place) for day in (-5, 5)]
    assert units(rows_of(row, fees=fees), "R16") == owed


def test_a_yen_fee_is_at_least_thirty_yen() -> None:
    more: Any = {"currency": "JPY", "marketplaceDetails": {"marketplaceId": JP}}
    japanese = {"currency": "JPY", "marketplaceid": JP}
    fees = [announced(day, "300", "2000", **japanese) for day in (-5, 5)]
    assert not claims_of(rows_of(sold(30, 100, **more), fees=fees), "R16")
    assert only_claim(rows_of(sold(400, 2000, **more), fees=fees), "R16").amount == "100"


def test_a_sale_without_a_price_or_of_another_channel_is_ignored() -> None:
    assert not claims_of(rows_of(sale(0, 3.0, commission=5.0)), "R16")
    assert not claims_of(rows_of(sold(5.0, order="S01-1234567-1234567")), "R16")
