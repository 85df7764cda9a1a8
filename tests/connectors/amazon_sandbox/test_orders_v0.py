"""Orders v0."""

from typing import Any

import pytest

from .bench import US, Bench, error_of

pytestmark = pytest.mark.anyio

OLD = "/orders/v0/orders"


async def read(bench: Bench, **params: Any) -> list[dict[str, Any]]:
    params = {"CreatedAfter": bench.ago(days=90), "MarketplaceIds": US, **params}
    orders: list[dict[str, Any]] = []
    while params:
        payload = (await bench.get(OLD, params)).json()["payload"]
        orders += payload["Orders"]
        token = payload.get("NextToken")
        params = {"NextToken": token, "MarketplaceIds": US} if token else {}
    return orders


async def test_all_orders_of_the_new_search_are_listed_with_the_token_alone(bench: Bench) -> None:
    orders = await read(bench, MaxResultsPerPage=50)
    new = [order["orderId"] async for page in bench.orders() for order in page["orders"]]
    assert [order["AmazonOrderId"] for order in orders] == new
    assert all(
        ("OrderTotal" in o) is (o["OrderStatus"] not in ("Pending", "Canceled")) for o in orders
    )


async def test_orders_are_filtered_by_channel_status_and_id(bench: Bench) -> None:
    merchant_orders = await read(bench, FulfillmentChannels="MFN", OrderStatuses="Shipped")
    assert {order["FulfillmentChannel"] for order in merchant_orders} == {"MFN"}
    ids = ",".join(order["AmazonOrderId"] for order in merchant_orders[:2])
    assert len(await read(bench, AmazonOrderIds=ids)) == 2


async def test_the_items_of_an_order_add_up_to_its_total(bench: Bench) -> None:
    order = next(order for order in await read(bench) if order["OrderStatus"] == "Shipped")
    path = f"{OLD}/{order['AmazonOrderId']}"
    assert (await bench.get(path)).json()["payload"] == order
    items = (await bench.get(f"{path}/orderItems")).json()["payload"]["OrderItems"]
    paid = sum(
        round(100 * (float(item["ItemPrice"]["Amount"]) + float(item["ItemTax"]["Amount"])))
        for item in items
    )
    assert paid == round(100 * float(order["OrderTotal"]["Amount"]))


async def test_an_unknown_order_is_not_found(bench: Bench) -> None:
    for path in (f"{OLD}/1", f"{OLD}/1/orderItems"):
        assert error_of(await bench.get(path))[:2] == (404, "NotFound")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"MarketplaceIds": US},
        {"CreatedAfter": "2026-01-01T00:00:00Z"},
        {"CreatedAfter": "2026-01-01", "LastUpdatedAfter": "2026-01-01", "MarketplaceIds": US},
        {"CreatedAfter": "2026-01-01", "CreatedBefore": "2026-03-03", "MarketplaceIds": US},
        {"CreatedAfter": "TEST_CASE_200", "MarketplaceIds": US},
    ],
)
async def test_bad_parameters_are_invalid_input(bench: Bench, params: dict[str, str]) -> None:
    assert error_of(await bench.get(OLD, params))[:2] == (400, "InvalidInput")


async def test_a_restricted_token_gives_access_to_orders(bench: Bench) -> None:
    resource = {"method": "GET", "path": OLD, "dataElements": ["buyerInfo"]}
    path = "/tokens/2021-03-01/restrictedDataToken"
    body = (await bench.post(path, {"restrictedResources": [resource]})).json()
    assert body["expiresIn"] == 3_600
    bench.token = body["restrictedDataToken"]
    assert bench.token.startswith("Atz.sprdt|") and await read(bench)


@pytest.mark.parametrize("body", [{}, {"restrictedResources": []}, {"restrictedResources": [{}]}])
async def test_a_restricted_token_needs_a_resource(bench: Bench, body: object) -> None:
    response = await bench.post("/tokens/2021-03-01/restrictedDataToken", body)
    assert error_of(response)[:2] == (400, "InvalidRequest")
