"""Inbound shipments: all of them, with their items, from each cursor the rest."""

import json
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon.sandbox import Settings
from connectors.amazon.shipments import GET_SHIPMENTS, SHIPMENTS
from connectors.base import Cursor, Page, Retryable

from .bench import UNLIMITED, Bench, connect, edited, ids

pytestmark = pytest.mark.anyio

SIZE = 20_000
"""Orders of a seller who sends several pages of shipments."""


@pytest.fixture
def large() -> Bench:
    return Bench(Settings(orders=SIZE, quotas=UNLIMITED))


def is_list(request: httpx.Request) -> bool:
    return request.url.path == GET_SHIPMENTS.path


async def test_every_shipment_comes_once_with_all_its_items(large: Bench) -> None:
    pages = await large.read(SHIPMENTS, window=large.window(SHIPMENTS, days=700))
    counts = await large.rows()
    found = ids(pages)
    assert len(found) == len(set(found)) == counts["inboundShipments"]
    shipments = [msgspec.json.decode(record.data) for page in pages for record in page.records]
    assert sum(len(each["items"]) for each in shipments) == counts["inboundItems"]
    assert all(item["SellerSKU"] for each in shipments for item in each["items"])
    assert "Sandbox Street" not in str(shipments)


def in_pages(number: int) -> Any:
    """As if each page of the sandbox were so many."""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not is_list(request) or response.status_code == 500:
            return None
        params = request.url.params
        if token := params.get("NextToken"):
            assert params["QueryType"] == "NEXT_TOKEN"
            at = int(token.removeprefix("page-"))
        else:
            assert params["QueryType"] == "DATE_RANGE"
            kept[:] = json.loads(response.content)["payload"]["ShipmentData"]
            at = 0
        size = -(-len(kept) // number)
        payload: dict[str, Any] = {"ShipmentData": kept[at * size : (at + 1) * size]}
        if at + 1 < number:
            payload["NextToken"] = f"page-{at + 1}"
        return httpx.Response(200, json={"payload": payload})

    kept: list[Any] = []
    return spoil


async def test_from_every_cursor_comes_the_rest(bench: Bench) -> None:
    bench.wire.spoil = in_pages(3)
    pages = await bench.read(SHIPMENTS)
    assert len(pages) == 3
    for number, page in enumerate(pages[:-1], 1):
        bench.restart()
        assert ids(await bench.read(SHIPMENTS, cursor=page.cursor)) == ids(pages[number:])


async def test_a_token_that_repeats_or_died_ends_well(bench: Bench) -> None:
    whole = ids(await bench.read(SHIPMENTS))
    assert whole
    assert ids(await bench.read(SHIPMENTS, cursor=Cursor('{"token":"old"}'))) == whole
    bench.wire.spoil = lambda request, response: (
        edited(response, lambda body: body["payload"].update(NextToken="same"))
        if is_list(request) and "NextToken" not in request.url.params
        else None
    )
    with pytest.raises(Retryable, match="expired"):
        await bench.read(SHIPMENTS)


@pytest.mark.parametrize("cursor", ["x", "[]", '{"marketplace":-1}', '{"marketplace":9}'])
async def test_a_cursor_that_cannot_be_read_means_from_the_beginning(
    bench: Bench, cursor: str
) -> None:
    whole = ids(await bench.read(SHIPMENTS))
    assert ids(await bench.read(SHIPMENTS, cursor=Cursor(cursor))) == whole


@pytest.mark.parametrize("odd", [None, 7, {}, {"ShipmentId": ""}, {"ShipmentId": None}])
async def test_a_shipment_that_cannot_be_read_costs_itself(bench: Bench, odd: Any) -> None:
    whole = ids(await bench.read(SHIPMENTS))

    def replace(body: Any) -> None:
        body["payload"]["ShipmentData"][0] = odd

    bench.wire.spoil = lambda request, response: (
        edited(response, replace) if is_list(request) else None
    )
    pages = await bench.read(SHIPMENTS)
    bad = [record for page in pages for record in page.records if record.error]
    assert len(bad) == 1
    assert len(ids(pages)) == len(whole)


async def test_nulls_are_read(bench: Bench) -> None:
    def nulled(body: Any) -> None:
        for each in body["payload"].get("ShipmentData", []):
            each.update(ShipmentName=None, DestinationFulfillmentCenterId=None)
        for each in body["payload"].get("ItemData", []):
            each.update(QuantityReceived=None, FulfillmentNetworkSKU=None)

    bench.wire.spoil = lambda request, response: (
        edited(response, nulled) if "/fba/inbound/" in request.url.path else None
    )
    pages = await bench.read(SHIPMENTS)
    assert [record.error for page in pages for record in page.records if record.error] == []


async def test_without_a_marketplace_there_is_an_end(bench: Bench) -> None:
    assert await bench.read(SHIPMENTS, connect(marketplaces=())) == [Page([], share=1.0)]
