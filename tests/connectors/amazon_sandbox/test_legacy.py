"""Orders v0."""

from typing import Any

import pytest

from .bench import US, Bench, refusal

pytestmark = pytest.mark.anyio

OLD = "/orders/v0/orders"


async def read(bench: Bench, **params: Any) -> list[dict[str, Any]]:
    params = {"CreatedAfter": bench.ago(days=90), "MarketplaceIds": US, **params}
    found: list[dict[str, Any]] = []
    while params:
        payload = (await bench.get(OLD, params)).json()["payload"]
        found += payload["Orders"]
        token = payload.get("NextToken")
        params = {"NextToken": token, "MarketplaceIds": US} if token else {}
    return found


async def test_every_order_of_the_new_search_is_found_with_the_token_alone(bench: Bench) -> None:
    found = await read(bench, MaxResultsPerPage=50)
    new = [order["orderId"] async for page in bench.orders() for order in page["orders"]]
    assert [each["AmazonOrderId"] for each in found] == new
    assert all(
        ("OrderTotal" in o) is (o["OrderStatus"] not in ("Pending", "Canceled")) for o in found
    )


async def test_orders_are_found_by_channel_status_and_id(bench: Bench) -> None:
    mine = await read(bench, FulfillmentChannels="MFN", OrderStatuses="Shipped")
    assert {each["FulfillmentChannel"] for each in mine} == {"MFN"}
    ids = ",".join(each["AmazonOrderId"] for each in mine[:2])
    assert len(await read(bench, AmazonOrderIds=ids)) == 2


async def test_items_are_asked_for_order_by_order(bench: Bench) -> None:
    order = next(each for each in await read(bench) if each["OrderStatus"] == "Shipped")
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
        assert refusal(await bench.get(path))[:2] == (404, "NotFound")


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
    assert refusal(await bench.get(OLD, params))[:2] == (400, "InvalidInput")


async def test_a_restricted_token_opens_the_orders_too(bench: Bench) -> None:
    resource = {"method": "GET", "path": OLD, "dataElements": ["buyerInfo"]}
    path = "/tokens/2021-03-01/restrictedDataToken"
    body = (await bench.post(path, {"restrictedResources": [resource]})).json()
    assert body["expiresIn"] == 3_600
    bench.token = body["restrictedDataToken"]
    assert bench.token.startswith("Atz.sprdt|") and await read(bench)


@pytest.mark.parametrize("body", [{}, {"restrictedResources": []}, {"restrictedResources": [{}]}])
async def test_a_restricted_token_for_nothing_is_refused(bench: Bench, body: object) -> None:
    response = await bench.post("/tokens/2021-03-01/restrictedDataToken", body)
    assert refusal(response)[:2] == (400, "InvalidRequest")
