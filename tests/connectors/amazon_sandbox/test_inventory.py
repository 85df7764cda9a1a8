"""FBA Inventory v1."""

from typing import Any

import pytest

from connectors.amazon_sandbox import Settings

from .bench import INVENTORY, ORDERS, UNLIMITED, US, WHOLE_INVENTORY, Bench, error_of

pytestmark = pytest.mark.anyio


@pytest.fixture
def bench() -> Bench:
    """A sandbox whose seller has 125 SKUs."""
    return Bench(Settings(orders=2_500, quotas=UNLIMITED))


async def read(bench: Bench, **params: Any) -> list[dict[str, Any]]:
    pages = bench.inventory(**params)
    return [summary async for page in pages for summary in page["payload"]["inventorySummaries"]]


async def first_token(bench: Bench) -> str:
    page = (await bench.get(INVENTORY, WHOLE_INVENTORY)).json()
    return str(page["pagination"]["nextToken"])


async def test_pages_of_fifty_list_every_sku_once(bench: Bench) -> None:
    pages = [page async for page in bench.inventory()]
    assert [len(page["payload"]["inventorySummaries"]) for page in pages] == [50, 50, 40]
    skus = {
        summary["sellerSku"] for page in pages for summary in page["payload"]["inventorySummaries"]
    }
    assert len(skus) == 140


async def test_the_token_is_outside_the_payload(bench: Bench) -> None:
    first, *_, last = [page async for page in bench.inventory()]
    assert first.keys() == {"payload", "pagination"}
    assert last.keys() == {"payload"}
    assert last["payload"]["granularity"] == {
        "granularityType": "Marketplace",
        "granularityId": US,
    }


@pytest.mark.parametrize(("speed", "lifetime"), [(1, 30), (2, 15), (60, 10)])
async def test_a_page_token_of_inventory_expires_after_thirty_seconds(
    speed: float, lifetime: int
) -> None:
    bench = Bench(Settings(orders=2_500, quotas=UNLIMITED, speed=speed))
    params = WHOLE_INVENTORY | {"nextToken": await first_token(bench)}
    await bench.clock.sleep(lifetime)
    assert (await bench.get(INVENTORY, params)).status_code == 200
    await bench.clock.sleep(1)
    expired = (400, "InvalidInput", "Next token is invalid or expired")
    assert error_of(await bench.get(INVENTORY, params)) == expired


async def test_a_token_must_be_encoded_once(bench: Bench) -> None:
    await bench.clock.sleep(0.1)  # the token depends on the time
    query = "&".join(f"{name}={value}" for name, value in WHOLE_INVENTORY.items())
    token = await first_token(bench)
    while "+" not in token:
        await bench.clock.sleep(0.1)
        token = await first_token(bench)
    assert error_of(await bench.get(f"{INVENTORY}?{query}&nextToken={token}"))[0] == 400
    assert (await bench.get(INVENTORY, WHOLE_INVENTORY | {"nextToken": token})).status_code == 200


async def test_details_add_up_to_the_total(bench: Bench) -> None:
    for summary in await read(bench, details="True"):
        details = summary["inventoryDetails"]
        assert summary["totalQuantity"] == (
            details["fulfillableQuantity"]
            + details["inboundWorkingQuantity"]
            + details["inboundShippedQuantity"]
            + details["inboundReceivingQuantity"]
            + details["reservedQuantity"]["totalReservedQuantity"]
            + details["researchingQuantity"]["totalResearchingQuantity"]
            + details["unfulfillableQuantity"]["totalUnfulfillableQuantity"]
        )


async def test_details_are_returned_only_on_request(bench: Bench) -> None:
    assert not any("inventoryDetails" in summary for summary in await read(bench))
    assert not any("inventoryDetails" in summary for summary in await read(bench, details="false"))


async def test_sold_products_are_in_stock(bench: Bench) -> None:
    stocked = {(summary["sellerSku"], summary["asin"]) for summary in await read(bench)}
    page = (await bench.get(ORDERS, {"createdAfter": bench.ago(days=90)})).json()
    sold = [item["product"] for order in page["orders"] for item in order["orderItems"]]
    assert {(product["sellerSku"], product["asin"]) for product in sold} <= stocked


async def test_skus_with_special_characters_are_found(bench: Bench) -> None:
    skus = [summary["sellerSku"] for summary in await read(bench)]
    for character in " /+&#%ö青":
        sku = next(sku for sku in skus if character in sku)
        assert [summary["sellerSku"] for summary in await read(bench, sellerSku=sku)] == [sku]
        assert [summary["sellerSku"] for summary in await read(bench, sellerSkus=sku)] == [sku]


async def test_a_start_selects_changed_stock_and_overrides_skus(bench: Bench) -> None:
    since = bench.ago(days=40)
    summaries = await read(bench, startDateTime=since, sellerSkus="no such SKU")
    changed = [
        summary for summary in await read(bench) if summary.get("lastUpdatedTime", "") >= since
    ]
    assert summaries == changed
    assert 0 < len(summaries) < 125


async def test_a_product_that_was_never_in_stock_has_no_date(bench: Bench) -> None:
    undated = [summary for summary in await read(bench) if "lastUpdatedTime" not in summary]
    assert [summary["totalQuantity"] for summary in undated] == [0, 0, 0]


async def test_a_marketplace_without_stock_is_empty(bench: Bench) -> None:
    canada = "A2EUQ1WTGCTBG2"
    assert await read(bench, granularityId=canada, marketplaceIds=canada) == []


@pytest.mark.parametrize(
    "params",
    [
        {"granularityType": ""},
        {"granularityType": "World"},
        {"granularityId": ""},
        {"marketplaceIds": ""},
        {"marketplaceIds": ","},
        {"marketplaceIds": f"{US},A2EUQ1WTGCTBG2"},
        {"marketplaceIds": "A1PA6795UKMFR9"},
        {"details": "yes"},
        {"sellerSkus": ",".join(map(str, range(51)))},
        {"startDateTime": "2024-08-01T00:00:00Z"},
        {"startDateTime": "yesterday"},
        {"nextToken": "made up"},
    ],
)
async def test_bad_parameters_are_invalid_input(params: dict[str, str]) -> None:
    response = await Bench().get(INVENTORY, WHOLE_INVENTORY | params)
    assert error_of(response)[:2] == (400, "InvalidInput")
