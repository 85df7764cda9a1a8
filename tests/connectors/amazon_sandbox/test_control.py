"""The control endpoints."""

from collections import Counter

import pytest

from connectors.amazon_sandbox import Settings

from .bench import PARTICIPATIONS, UNLIMITED, US, Bench, error_of

pytestmark = pytest.mark.anyio


async def test_the_counts_of_a_seller_match_its_pages(bench: Bench) -> None:
    seller = (await bench.client.get("/_sandbox/sellers/1")).json()
    orders = sum([len(page["orders"]) async for page in bench.orders()])
    stock = sum([len(p["payload"]["inventorySummaries"]) async for p in bench.inventory()])
    pages = bench.transactions(postedAfter=bench.ago(days=130))
    places = Counter(
        [
            transaction["marketplaceDetails"]["marketplaceId"]
            async for page in pages
            for transaction in page
        ]
    )
    assert seller.pop("rows")["orderItems"] > 120
    assert seller == {
        "seed": 1,
        "orders": 120,
        "day": "2026-03-02",
        "counts": {
            "orders": {"total": orders, "byMarketplace": {US: orders}},
            "inventory": {"total": stock, "byMarketplace": {US: stock}},
            "transactions": {"total": places.total(), "byMarketplace": places},
        },
    }
    assert (orders, stock) == (120, 20)


async def test_a_seller_may_be_named_with_its_size(bench: Bench) -> None:
    seller = (await bench.client.get("/_sandbox/sellers/5-2500")).json()
    assert (seller["seed"], seller["orders"]) == (5, 2_500)
    assert seller["counts"]["orders"]["total"] == 2_500
    assert seller["counts"]["inventory"]["total"] == 140


async def test_the_counts_are_split_by_marketplace() -> None:
    places = ("ATVPDKIKX0DER", "A2EUQ1WTGCTBG2")
    bench = Bench(Settings(orders=100, marketplaces=places, quotas=UNLIMITED))
    counts = (await bench.client.get("/_sandbox/sellers/1")).json()["counts"]["orders"]
    assert set(counts["byMarketplace"]) == set(places)
    for place, count in counts["byMarketplace"].items():
        sizes = [len(page["orders"]) async for page in bench.orders(marketplaceIds=place)]
        assert sum(sizes) == count


@pytest.mark.parametrize("name", ["x", "1-", "-1", "1-2-3", "1-9999999"])
async def test_a_malformed_seller_name_is_not_found(bench: Bench, name: str) -> None:
    assert error_of(await bench.client.get(f"/_sandbox/sellers/{name}"))[0] == 404


async def test_expire_ends_the_access_tokens_but_not_the_consent(bench: Bench) -> None:
    await bench.log_in()
    await bench.control("expire")
    assert (await bench.get(PARTICIPATIONS)).status_code == 403
    await bench.log_in()
    assert (await bench.get(PARTICIPATIONS)).status_code == 200


async def test_revoke_ends_the_consent_of_one_seller_under_each_of_its_names(
    bench: Bench,
) -> None:
    await bench.log_in()
    await bench.control("revoke", {"refreshToken": "Atzr|sandbox-1"})
    assert (await bench.get(PARTICIPATIONS)).status_code == 403
    for token in ("Atzr|sandbox-1", "Atzr|sandbox-1-120"):
        assert (await bench.log_in(token)).json()["error"] == "invalid_grant"
    assert (await bench.log_in("Atzr|sandbox-2")).status_code == 200


@pytest.mark.parametrize("body", [None, {}, {"refreshToken": 1}, {"refreshToken": "Atzr|x"}])
async def test_revoking_an_invalid_refresh_token_is_rejected(bench: Bench, body: object) -> None:
    assert error_of(await bench.control("revoke", body))[:2] == (400, "InvalidInput")


async def test_reset_forgets_revocations_faults_and_the_log(bench: Bench) -> None:
    await bench.control("revoke", {"refreshToken": "Atzr|sandbox-1"})
    await bench.control("faults", {"error500": 1})
    await bench.log_in()
    await bench.control("reset")
    assert (await bench.client.get("/_sandbox/log")).json() == {"calls": []}
    assert (await bench.get(PARTICIPATIONS)).status_code == 200
