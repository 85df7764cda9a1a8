"""Fulfillment Inbound v0."""

from typing import Any

import pytest

from connectors.amazon_sandbox import Settings
from connectors.amazon_sandbox.generator.identity import Identity
from connectors.amazon_sandbox.generator.seller import generate
from connectors.amazon_sandbox.generator.times import timestamp

from .bench import LEDGER, UNLIMITED, US, Bench, error_of

pytestmark = pytest.mark.anyio

SHIPMENTS = "/fba/inbound/v0/shipments"
ITEMS = "/fba/inbound/v0/shipmentItems"
STATUSES = "WORKING,READY_TO_SHIP,SHIPPED,IN_TRANSIT,DELIVERED,CHECKED_IN,RECEIVING,CLOSED"
ALL = {"QueryType": "SHIPMENT", "MarketplaceId": US, "ShipmentStatusList": STATUSES}


@pytest.fixture
def bench() -> Bench:
    return Bench(Settings(orders=1_000, quotas=UNLIMITED))


async def shipments(bench: Bench, **params: str) -> list[dict[str, Any]]:
    shipments, token = [], ""
    while True:
        next_page = {"QueryType": "NEXT_TOKEN", "MarketplaceId": US, "NextToken": token}
        page = await bench.get(SHIPMENTS, next_page if token else ALL | params)
        payload = page.json()["payload"]
        shipments += payload["ShipmentData"]
        if not (token := payload.get("NextToken", "")):
            return shipments


async def test_every_shipment_is_listed_once(bench: Bench) -> None:
    listed = await shipments(bench)
    ids = {shipment["ShipmentId"] for shipment in listed}
    counts = (await bench.client.get("/_sandbox/sellers/1")).json()["rows"]
    assert len(ids) == len(listed) == counts["inboundShipments"] > 100
    assert {shipment["ShipmentStatus"] for shipment in listed} >= {"RECEIVING", "CLOSED"}


async def test_a_token_without_its_query_type_repeats_the_first_page(bench: Bench) -> None:
    first = (await bench.get(SHIPMENTS, ALL)).json()["payload"]
    next_page = (await bench.get(SHIPMENTS, ALL | {"NextToken": first["NextToken"]})).json()[
        "payload"
    ]
    assert next_page["ShipmentData"] == first["ShipmentData"]


async def test_shipments_are_filtered_by_status_id_and_last_change(bench: Bench) -> None:
    closed = await shipments(bench, ShipmentStatusList="CLOSED")
    assert {shipment["ShipmentStatus"] for shipment in closed} == {"CLOSED"}
    by_id = {
        "QueryType": "SHIPMENT",
        "MarketplaceId": US,
        "ShipmentIdList": closed[3]["ShipmentId"],
    }
    assert (await bench.get(SHIPMENTS, by_id)).json()["payload"]["ShipmentData"] == [closed[3]]
    window = {"LastUpdatedAfter": bench.ago(days=20), "LastUpdatedBefore": bench.ago(days=0)}
    recent = await shipments(bench, QueryType="DATE_RANGE", **window)
    assert 0 < len(recent) < len(await shipments(bench))


async def test_items_have_at_most_the_units_of_the_ledger(bench: Bench) -> None:
    received: dict[tuple[str, str], int] = {}
    for row in await bench.rows(LEDGER, 100):
        cells = {name.strip('"'): cell.strip('"') for name, cell in row.items()}
        if cells["Event Type"] == "Receipts":
            key = (cells["Reference ID"], cells["MSKU"])
            received[key] = received.get(key, 0) + max(0, int(cells["Quantity"]))
    bench.token = ""
    closed = await shipments(bench, ShipmentStatusList="CLOSED")
    seen = 0
    for shipment in closed:
        path = f"{SHIPMENTS}/{shipment['ShipmentId']}/items"
        for item in (await bench.get(path)).json()["payload"]["ItemData"]:
            units = received.get((shipment["ShipmentId"], item["SellerSKU"]))
            seen += units is not None
            assert units is None or units >= item["QuantityReceived"]
    assert seen > 20


async def test_goods_are_sent_to_the_home_marketplace_only(bench: Bench) -> None:
    multichannel_sales = ALL | {"MarketplaceId": "A2EUQ1WTGCTBG2"}
    assert (await bench.get(SHIPMENTS, multichannel_sales)).json()["payload"]["ShipmentData"] == []


@pytest.mark.parametrize(
    ("path", "params"),
    [
        (SHIPMENTS, {}),
        (SHIPMENTS, {"QueryType": "SHIPMENT"}),
        (SHIPMENTS, {"QueryType": "SHIPMENT", "MarketplaceId": US}),
        (SHIPMENTS, {"QueryType": "DATE_RANGE", "MarketplaceId": US}),
        (SHIPMENTS, {"QueryType": "NEXT_TOKEN", "MarketplaceId": US}),
        (SHIPMENTS, {"QueryType": "NEXT_TOKEN", "MarketplaceId": US, "NextToken": "x"}),
        (ITEMS, {"QueryType": "SHIPMENT", "MarketplaceId": US}),
        (ITEMS, {"QueryType": "DATE_RANGE", "MarketplaceId": US}),
        (ITEMS, {"QueryType": "DATE_RANGE", "MarketplaceId": US, "LastUpdatedAfter": "2026-01-01"}),
        (ITEMS, {"QueryType": "DATE_RANGE", "LastUpdatedAfter": "2026-01-01"}),
        (ITEMS, {"QueryType": "NEXT_TOKEN", "MarketplaceId": US}),
        (ITEMS, {"QueryType": "NEXT_TOKEN", "MarketplaceId": US, "NextToken": "x"}),
    ],
)
async def test_bad_parameters_are_invalid_input(
    bench: Bench, path: str, params: dict[str, str]
) -> None:
    assert error_of(await bench.get(path, params))[:2] == (400, "InvalidInput")


async def test_the_items_of_an_unknown_shipment_are_not_found(bench: Bench) -> None:
    assert error_of(await bench.get(f"{SHIPMENTS}/FBA0/items"))[0] == 404


async def test_the_items_of_one_shipment_have_pages_of_200(bench: Bench) -> None:
    await bench.control("faults", {"shipmentFillers": 450})
    shipment = (await shipments(bench))[0]["ShipmentId"]
    page = (await bench.get(f"{SHIPMENTS}/{shipment}/items")).json()["payload"]
    sizes, items = [len(page["ItemData"])], page["ItemData"]
    while token := page.get("NextToken"):
        params = {"QueryType": "NEXT_TOKEN", "MarketplaceId": US, "NextToken": token}
        page = (await bench.get(ITEMS, params)).json()["payload"]
        sizes.append(len(page["ItemData"]))
        items += page["ItemData"]
    assert sizes[:2] == [200, 200] and 50 < sizes[2] < 60
    assert {shipment["ShipmentId"] for shipment in items} == {shipment}
    assert len({shipment["SellerSKU"] for shipment in items}) == len(items)
    await bench.control("faults", {"shipmentFillers": 0})
    next_page = (await bench.get(f"{SHIPMENTS}/{shipment}/items")).json()["payload"]
    assert next_page == {"ItemData": items[450:]}


async def item_pages(bench: Bench, **params: str) -> list[list[dict[str, Any]]]:
    """The pages of items by last change; by default of all items."""
    window = {"LastUpdatedAfter": bench.ago(days=900), "LastUpdatedBefore": bench.ago(days=0)}
    query = {"QueryType": "DATE_RANGE", "MarketplaceId": US} | window | params
    pages = []
    while query:
        response = await bench.get(ITEMS, query)
        assert response.status_code == 200, response.text
        payload = response.json()["payload"]
        pages.append(payload["ItemData"])
        token = payload.get("NextToken")
        next_query = {"QueryType": "NEXT_TOKEN", "MarketplaceId": US, "NextToken": token}
        query = next_query if token else {}
    return pages


async def test_a_range_lists_every_item_once_in_pages_of_fifty(bench: Bench) -> None:
    pages = await item_pages(bench)
    assert {len(page) for page in pages[:-1]} == {50} and 0 < len(pages[-1]) <= 50
    items = [item for page in pages for item in page]
    by_shipment = []
    for shipment in await shipments(bench):
        path = f"{SHIPMENTS}/{shipment['ShipmentId']}/items"
        by_shipment += (await bench.get(path)).json()["payload"]["ItemData"]
    assert items == by_shipment
    counts = (await bench.client.get("/_sandbox/sellers/1")).json()["rows"]
    assert len(items) == counts["inboundItems"]


async def test_a_range_of_items_includes_both_its_ends(bench: Bench) -> None:
    seller = generate(Identity(1, 1_000), bench.clock.now().date(), (US,))
    shipment = seller.journal.inbound_shipments[0]
    exact = timestamp(shipment.updated)
    for after, before, included in (
        (exact, exact, True),
        (timestamp(shipment.updated + 1), bench.ago(days=0), False),
        (bench.ago(days=900), timestamp(shipment.updated - 1), False),
    ):
        pages = await item_pages(bench, LastUpdatedAfter=after, LastUpdatedBefore=before)
        ids = {item["ShipmentId"] for page in pages for item in page}
        assert (shipment.id in ids) is included


async def test_a_range_of_items_contains_the_items_of_the_shipments_in_it(bench: Bench) -> None:
    window = {"LastUpdatedAfter": bench.ago(days=60), "LastUpdatedBefore": bench.ago(days=20)}
    listed = await shipments(bench, QueryType="DATE_RANGE", **window)
    pages = await item_pages(bench, **window)
    ids = {item["ShipmentId"] for page in pages for item in page}
    assert ids == {shipment["ShipmentId"] for shipment in listed} and ids
    assert await item_pages(bench, **window, ShipmentStatusList="WORKING") == pages


async def test_a_page_token_of_items_carries_its_range(bench: Bench) -> None:
    first, second, *_ = await item_pages(bench)
    window = {"LastUpdatedAfter": bench.ago(days=900), "LastUpdatedBefore": bench.ago(days=0)}
    query = {"QueryType": "DATE_RANGE", "MarketplaceId": US} | window
    token = (await bench.get(ITEMS, query)).json()["payload"]["NextToken"]
    ignored = {"LastUpdatedAfter": bench.ago(days=1), "LastUpdatedBefore": bench.ago(days=0)}
    next_query = {"QueryType": "NEXT_TOKEN", "MarketplaceId": US, "NextToken": token}
    page = (await bench.get(ITEMS, next_query | ignored)).json()["payload"]["ItemData"]
    assert page == second
    page = (await bench.get(ITEMS, query | {"NextToken": token})).json()["payload"]["ItemData"]
    assert page == first  # without its query type, a token is ignored
    await bench.log_in("Atzr|sandbox-2")
    assert error_of(await bench.get(ITEMS, next_query))[0] == 400
    await bench.log_in()
    await bench.clock.sleep(86_401)
    await bench.log_in()
    assert error_of(await bench.get(ITEMS, next_query))[0] == 400


async def test_a_page_of_items_may_be_served_twice(bench: Bench) -> None:
    pages = await item_pages(bench)
    await bench.control("faults", {"duplicatePages": 1})
    twice = await item_pages(bench)
    assert twice == [page for page in pages for _ in range(2)]


async def test_a_range_of_items_covers_the_home_marketplace_only(bench: Bench) -> None:
    assert await item_pages(bench, MarketplaceId="A2EUQ1WTGCTBG2") == [[]]
