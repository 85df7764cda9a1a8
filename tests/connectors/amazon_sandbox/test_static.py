"""The mode that behaves like Amazon's static sandbox."""

import pytest

from connectors.amazon_sandbox import Settings

from .bench import (
    INVENTORY,
    ORDERS,
    PARTICIPATIONS,
    REPORTS,
    TRANSACTIONS,
    US,
    WHOLE_INVENTORY,
    error_of,
)
from .bench import Bench as Ordinary

pytestmark = pytest.mark.anyio

REFUSED = (400, "InvalidInput", "Could not match input arguments")


@pytest.fixture
def bench() -> Ordinary:
    return Ordinary(Settings(orders=0, static=True))


async def test_only_the_literal_parameters_are_accepted(bench: Ordinary) -> None:
    params = {"CreatedAfter": "TEST_CASE_200", "MarketplaceIds": US}
    body = (await bench.get("/orders/v0/orders", params)).json()
    assert body["payload"]["CreatedBefore"] == "1.569521782042E9"
    params["CreatedAfter"] = "2026-01-01T00:00:00Z"
    assert error_of(await bench.get("/orders/v0/orders", params)) == REFUSED


async def test_parameters_that_no_case_names_are_ignored(bench: Ordinary) -> None:
    params = {"CreatedAfter": "TEST_CASE_200", "MarketplaceIds": US, "marketplace": "x"}
    assert (await bench.get("/orders/v0/orders", params)).status_code == 200
    params["CreatedAfter"] = "TEST_CASE_400"
    assert error_of(await bench.get("/orders/v0/orders", params))[0] == 400
    assert (await bench.get(PARTICIPATIONS)).status_code == 200


async def test_transactions_require_a_token_on_the_first_call(bench: Ordinary) -> None:
    params = {"postedAfter": "2023-03-07"}
    assert error_of(await bench.get(TRANSACTIONS, params)) == REFUSED
    params["nextToken"] = "jehgri34yo7jr9e8f984tr9i4o"
    assert (await bench.get(TRANSACTIONS, params)).status_code == 200


JAPAN = {
    "createdAfter": "2024-12-25T00:00:00Z",
    "marketplaceIds": "A1VC38T7YXB528",
    "includedData": "BUYER,RECIPIENT,PROCEEDS,EXPENSE,PROMOTION,CANCELLATION,FULFILLMENT,PACKAGES",
}
BRITAIN = JAPAN | {"createdAfter": "2024-12-23T00:00:00Z", "marketplaceIds": "A1F83G8C2ARO7P"}


async def test_orders_exist_in_japan_but_not_in_the_united_states(bench: Ordinary) -> None:
    response = await bench.get(ORDERS, JAPAN)
    assert [order["orderId"] for order in response.json()["orders"]] == ["250-1234567-8901234"]
    for name, value in {"marketplaceIds": US, "createdAfter": bench.ago(days=9)}.items():
        assert error_of(await bench.get(ORDERS, JAPAN | {name: value})) == REFUSED
    for name in JAPAN:
        some = {key: value for key, value in JAPAN.items() if key != name}
        assert error_of(await bench.get(ORDERS, some)) == REFUSED


async def test_orders_of_britain_require_a_token(bench: Ordinary) -> None:
    assert error_of(await bench.get(ORDERS, BRITAIN)) == REFUSED
    token = {"paginationToken": "9ZhB4RmVyc2lvbiAxLjAgb2YgdGhl"}
    assert (await bench.get(ORDERS, BRITAIN | token)).status_code == 200


async def test_the_items_belong_to_another_shipment_than_the_listed_one(
    bench: Ordinary,
) -> None:
    shipments = "/fba/inbound/v0/shipments"
    listed = await bench.get(shipments, {"QueryType": "SHIPMENT", "MarketplaceId": US})
    [shipment] = listed.json()["payload"]["ShipmentData"]
    items = f"{shipments}/{shipment['ShipmentId']}/items"
    assert error_of(await bench.get(items, {"MarketplaceId": US})) == REFUSED
    items = f"{shipments}/FBA15DJ9SVVD/items"
    assert (await bench.get(items, {"MarketplaceId": US})).status_code == 200


async def test_the_stock_is_empty_and_a_report_never_finishes(bench: Ordinary) -> None:
    stock = (await bench.get(INVENTORY, WHOLE_INVENTORY)).json()
    assert stock["payload"]["inventorySummaries"] == []
    body = {
        "reportType": "GET_MERCHANT_LISTINGS_ALL_DATA",
        "dataStartTime": "2024-03-10T20:11:24.000Z",
        "marketplaceIds": ["A1PA6795UKMFR9", US],
    }
    created = await bench.post(REPORTS, body)
    assert created.status_code == 202
    report = await bench.report(created.json()["reportId"])
    assert report["processingStatus"] == "IN_PROGRESS"
    assert error_of(await bench.post(REPORTS, body | {"reportType": "OTHER"})) == REFUSED
    bad = body | {"reportType": "BAD_FEE_DISCOUNTS_REPORT"}
    assert error_of(await bench.post(REPORTS, bad))[:2] == (400, "400")


async def test_all_operations_share_one_quota(bench: Ordinary) -> None:
    statuses = [(await bench.get(path)).status_code for path in (PARTICIPATIONS, ORDERS) * 8]
    assert statuses == [200, 400] * 7 + [200, 429]


async def test_the_quota_is_the_same_for_every_operation(bench: Ordinary) -> None:
    statuses = [(await bench.get(ORDERS)).status_code for _ in range(16)]
    assert statuses == [400] * 15 + [429]
    await bench.clock.sleep(0.2)
    response = await bench.get(ORDERS)
    assert response.status_code == 400 and response.headers["x-amzn-ratelimit-limit"] == "5"
