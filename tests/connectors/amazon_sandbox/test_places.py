"""Sellers of several places: their names, currencies, claim windows and fee previews."""

from collections import Counter
from datetime import UTC, date, datetime
from typing import Any

import pytest

from connectors.amazon_sandbox import Settings, connection, read_marketplaces
from connectors.amazon_sandbox.generator import truth
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import Seller, generate
from connectors.amazon_sandbox.generator.windows import claim_window

from .bench import (
    FEES,
    ORDERS_BY_DATE,
    PARTICIPATIONS,
    REIMBURSEMENTS,
    UNLIMITED,
    US,
    Bench,
    error_of,
)

pytestmark = pytest.mark.anyio

GERMANY, FRANCE, BRITAIN = "A1PA6795UKMFR9", "A13V1IB3VIYZZH", "A1F83G8C2ARO7P"
JAPAN, EMIRATES, INDIA = "A1VC38T7YXB528", "A2VIGQ35RCS4UG", "A21TJRUUN4KGV"
DAY = date(2026, 3, 2)


def seller(*marketplaces: str, orders: int = 1_000, seed: int = 1) -> Seller:
    return generate(Identity(seed, orders), DAY, marketplaces)


def windows(generated: Seller, *rules: str) -> set[tuple[int, int]]:
    return {
        ((claim.opens - claim.base).days, (claim.closes - claim.base).days)
        for claim in truth.claims(generated, False)
        if claim.rule in rules
    }


def test_returns_open_earlier_in_europe_and_japan() -> None:
    assert windows(seller(US), "R4", "R5", "R6") == {(60, 120)}
    for place in (GERMANY, BRITAIN, JAPAN):
        assert windows(seller(place), "R4", "R5", "R6") == {(45, 105)}


def test_a_shipment_can_be_claimed_for_as_long_as_its_country_allows() -> None:
    allowed = {
        US: (15, 270),
        BRITAIN: (15, 180),
        GERMANY: (15, 180),
        JAPAN: (15, 270),
        EMIRATES: (15, 60),
        INDIA: (0, 60),
    }
    for place, days in allowed.items():
        assert windows(seller(place), "R8", "R14") == {days}


def test_a_refund_has_the_window_of_its_own_marketplace() -> None:
    """All marketplaces of one European account have the same window of returns."""
    generated = seller(GERMANY, FRANCE, BRITAIN)
    currencies = Counter(
        claim.currency for claim in truth.claims(generated, False) if claim.rule == "R4"
    )
    assert currencies["EUR"] and currencies["GBP"]
    assert claim_window("R4", "GB") == claim_window("R4", "FR") == (45, 105)


def test_a_name_with_countries_is_a_seller_of_these_places() -> None:
    identity = Identity.of_name("5-300-DE-FR", 2_500)
    assert identity == Identity(5, 300, ("DE", "FR"))
    assert identity.marketplaces == (GERMANY, FRANCE)
    assert identity.name == "5-300-DE-FR"
    assert Identity.of_token(identity.refresh_token, 1) == identity
    assert Identity.of_name("5-JP", 2_500) == Identity(5, 2_500, ("JP",))


@pytest.mark.parametrize("name", ["5-300-XX", "5-300-DE-JP", "5-300-de", "5-300-DE-", "5-JP-300"])
def test_countries_that_no_single_account_covers_name_no_seller(name: str) -> None:
    assert Identity.of_name(name, 2_500) is None


def test_countries_are_read_as_marketplaces() -> None:
    assert read_marketplaces("US") == (US,)
    assert read_marketplaces(" de, FR ") == (GERMANY, FRANCE)
    for text in ("", "XX", "DE,US", "JP,AU"):
        with pytest.raises(ValueError, match="The countries are: US, CA, MX, DE, GB"):
            read_marketplaces(text)


async def test_a_connection_names_the_places_and_their_region() -> None:
    body = connection(4, 7, (GERMANY, FRANCE))
    assert (body["region"], body["marketplaceIds"]) == ("EU", [GERMANY, FRANCE])
    bench = Bench(Settings(orders=7, quotas=UNLIMITED))
    assert (await bench.log_in(str(body["refreshToken"]))).status_code == 200
    payload = (await bench.get(PARTICIPATIONS)).json()["payload"]
    countries = [entry["marketplace"]["countryCode"] for entry in payload]
    assert countries == ["DE", "GB", "FR", "IT", "ES"]
    assert connection(4, 7)["refreshToken"] == "Atzr|sandbox-4-7"


async def test_yen_have_no_decimals_anywhere() -> None:
    bench = Bench(Settings(orders=1_000, quotas=UNLIMITED, marketplaces=(JAPAN,)))
    for claim in await bench.truth():
        assert claim["currency"] == "JPY"
        assert claim["amount"] is None or claim["amount"].isdecimal()
    for row in await bench.rows(REIMBURSEMENTS, 300):
        assert row["currency-unit"] == "JPY" and "." not in row["amount-total"]
    for row in await bench.rows(ORDERS_BY_DATE):
        assert row["currency"] in ("JPY", "") and "." not in row["item-price"]
    for row in await bench.rows(FEES, None):
        assert row["currency"] == "JPY" and row["amazon-store"] == "JP"
        assert row["estimated-fee-total"].isdecimal()
    async for page in bench.transactions():
        for transaction in page:
            total = transaction["totalAmount"]
            assert total["currencyCode"] != "JPY" or isinstance(total["currencyAmount"], int)
    async for orders in bench.orders(includedData="PROCEEDS"):
        for order in orders["orders"]:
            amounts = [item["product"]["price"]["unitPrice"] for item in order["orderItems"]]
            assert all(price["amount"].isdecimal() for price in amounts)


async def test_a_fee_preview_is_of_one_country() -> None:
    bench = Bench(Settings(orders=200, quotas=UNLIMITED, marketplaces=(GERMANY, FRANCE)))
    column = "expected-domestic-fulfilment-fee-per-unit"

    async def expected(*places: str) -> list[str]:
        await bench.clock.sleep(4 * 3_600)
        await bench.log_in()
        rows: list[dict[str, Any]] = await bench.rows(FEES, None, marketplaceIds=list(places))
        return [row[column] for row in rows]

    at_home = await expected(GERMANY)
    assert at_home == await expected(FRANCE, GERMANY)
    assert all(home < abroad for home, abroad in zip(at_home, await expected(FRANCE), strict=True))


async def test_the_control_endpoints_accept_countries() -> None:
    bench = Bench(Settings(orders=1_000, quotas=UNLIMITED), datetime(2026, 3, 2, 9, tzinfo=UTC))
    claims = await bench.truth("1-1000-JP")
    claim = next(
        claim for claim in claims if claim["rule"] == "R1" and claim["status"] == "claimable"
    )
    body = {"seed": 1, "rule": "R1", "key": claim["key"]}
    wrong = {**body, "countries": ["JP", "DE"]}
    assert error_of(await bench.control("reimburse", wrong))[0] == 400
    assert (await bench.control("reimburse", {**body, "countries": ["JP"]})).status_code == 200
    after = {claim["key"]: claim["status"] for claim in await bench.truth("1-1000-JP")}
    assert after[claim["key"]] == "reimbursed"
    at_home = {claim["key"]: claim["status"] for claim in await bench.truth("1-1000")}
    assert at_home[claim["key"]] == "claimable"
