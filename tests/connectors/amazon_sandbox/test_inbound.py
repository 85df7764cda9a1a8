"""Fulfillment Inbound v0."""

from typing import Any

import pytest

from connectors.amazon_sandbox import Settings

from .bench import LEDGER, UNLIMITED, US, Bench, refusal

pytestmark = pytest.mark.anyio

SHIPMENTS = "/fba/inbound/v0/shipments"
ITEMS = "/fba/inbound/v0/shipmentItems"
STATUSES = "WORKING,READY_TO_SHIP,SHIPPED,IN_TRANSIT,DELIVERED,CHECKED_IN,RECEIVING,CLOSED"
ALL = {"QueryType": "SHIPMENT", "MarketplaceId": US, "ShipmentStatusList": STATUSES}


@pytest.fixture
def bench() -> Bench:
    return Bench(Settings(orders=1_000, quotas=UNLIMITED))


async def shipments(bench: Bench, **params: str) -> list[dict[str, Any]]:
    found, token = [], ""
    while True:
        again = {"QueryType": "NEXT_TOKEN", "MarketplaceId": US, "NextToken": token}
        page = await bench.get(SHIPMENTS, again if token else ALL | params)
        payload = page.json()["payload"]
        found += payload["ShipmentData"]
        if not (token := payload.get("NextToken", "")):
            return found


async def test_every_shipment_comes_once(bench: Bench) -> None:
    found = await shipments(bench)
    ids = {each["ShipmentId"] for each in found}
    counts = (await bench.client.get("/_sandbox/sellers/1")).json()["rows"]
    assert len(ids) == len(found) == counts["inboundShipments"] > 100
    assert {each["ShipmentStatus"] for each in found} >= {"RECEIVING", "CLOSED"}


async def test_a_token_without_its_query_type_begins_again_for_ever(bench: Bench) -> None:
    first = (await bench.get(SHIPMENTS, ALL)).json()["payload"]
    again = (await bench.get(SHIPMENTS, ALL | {"NextToken": first["NextToken"]})).json()["payload"]
    assert again["ShipmentData"] == first["ShipmentData"]


async def test_shipments_are_found_by_status_id_and_last_change(bench: Bench) -> None:
    closed = await shipments(bench, ShipmentStatusList="CLOSED")
    assert {each["ShipmentStatus"] for each in closed} == {"CLOSED"}
    one = {"QueryType": "SHIPMENT", "MarketplaceId": US, "ShipmentIdList": closed[3]["ShipmentId"]}
    assert (await bench.get(SHIPMENTS, one)).json()["payload"]["ShipmentData"] == [closed[3]]
    window = {"LastUpdatedAfter": bench.ago(days=20), "LastUpdatedBefore": bench.ago(days=0)}
    recent = await shipments(bench, QueryType="DATE_RANGE", **window)
    assert 0 < len(recent) < len(await shipments(bench))


async def test_items_are_what_the_ledger_received(bench: Bench) -> None:
    received: dict[tuple[str, str], int] = {}
    for row in await bench.rows(LEDGER, 100):
        cells = {name.strip('"'): cell.strip('"') for name, cell in row.items()}
        if cells["Event Type"] == "Receipts":
            key = (cells["Reference ID"], cells["MSKU"])
            received[key] = received.get(key, 0) + int(cells["Quantity"])
    bench.token = ""
    closed = await shipments(bench, ShipmentStatusList="CLOSED")
    seen = 0
    for each in closed:
        path = f"{SHIPMENTS}/{each['ShipmentId']}/items"
        for item in (await bench.get(path)).json()["payload"]["ItemData"]:
            known = received.get((each["ShipmentId"], item["SellerSKU"]))
            seen += known is not None
            assert known is None or known >= item["QuantityReceived"]
    assert seen > 20


async def test_items_can_be_listed_by_last_change(bench: Bench) -> None:
    window = {"LastUpdatedAfter": bench.ago(days=60), "LastUpdatedBefore": bench.ago(days=0)}
    params = {"QueryType": "DATE_RANGE", "MarketplaceId": US, **window}
    first = (await bench.get(ITEMS, params)).json()["payload"]
    token = {"QueryType": "NEXT_TOKEN", "MarketplaceId": US, "NextToken": first["NextToken"]}
    second = (await bench.get(ITEMS, token)).json()["payload"]
    keys = [(i["ShipmentId"], i["SellerSKU"]) for i in first["ItemData"] + second["ItemData"]]
    assert len(first["ItemData"]) == 50 and len(set(keys)) == len(keys)


async def test_goods_are_sent_to_the_home_marketplace_only(bench: Bench) -> None:
    elsewhere = ALL | {"MarketplaceId": "A2EUQ1WTGCTBG2"}
    assert (await bench.get(SHIPMENTS, elsewhere)).json()["payload"]["ShipmentData"] == []


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
    ],
)
async def test_bad_parameters_are_invalid_input(
    bench: Bench, path: str, params: dict[str, str]
) -> None:
    assert refusal(await bench.get(path, params))[:2] == (400, "InvalidInput")


async def test_the_items_of_an_unknown_shipment_are_not_found(bench: Bench) -> None:
    assert refusal(await bench.get(f"{SHIPMENTS}/FBA0/items"))[0] == 404


async def test_the_items_of_a_large_shipment_come_two_hundred_at_a_time(bench: Bench) -> None:
    await bench.door("faults", {"shipmentFillers": 450})
    shipment = (await shipments(bench))[0]["ShipmentId"]
    page = (await bench.get(f"{SHIPMENTS}/{shipment}/items")).json()["payload"]
    sizes, found = [len(page["ItemData"])], page["ItemData"]
    while token := page.get("NextToken"):
        params = {"QueryType": "NEXT_TOKEN", "MarketplaceId": US, "NextToken": token}
        page = (await bench.get(ITEMS, params)).json()["payload"]
        sizes.append(len(page["ItemData"]))
        found += page["ItemData"]
    assert sizes[:2] == [200, 200] and 50 < sizes[2] < 60
    assert {each["ShipmentId"] for each in found} == {shipment}
    assert len({each["SellerSKU"] for each in found}) == len(found)
    await bench.door("faults", {"shipmentFillers": 0})
    again = (await bench.get(f"{SHIPMENTS}/{shipment}/items")).json()["payload"]
    assert again == {"ItemData": found[450:]}
