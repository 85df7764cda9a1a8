"""Sellers v1."""

import pytest

from .bench import PARTICIPATIONS, US, Bench

pytestmark = pytest.mark.anyio


async def test_a_seller_participates_in_the_three_marketplaces_of_north_america(
    bench: Bench,
) -> None:
    payload = (await bench.get(PARTICIPATIONS)).json()["payload"]
    assert [participation["marketplace"]["countryCode"] for participation in payload] == [
        "US",
        "CA",
        "MX",
    ]
    assert payload[0] == {
        "marketplace": {
            "id": US,
            "name": "Amazon.com",
            "countryCode": "US",
            "defaultCurrencyCode": "USD",
            "defaultLanguageCode": "en_US",
            "domainName": "www.amazon.com",
        },
        "storeName": "Sandbox Store 1",
        "participation": {"isParticipating": True, "hasSuspendedListings": False},
    }


async def test_the_account_has_the_same_participations(bench: Bench) -> None:
    account = (await bench.get("/sellers/v1/account")).json()["payload"]
    payload = (await bench.get(PARTICIPATIONS)).json()["payload"]
    assert account["marketplaceParticipationList"] == payload
