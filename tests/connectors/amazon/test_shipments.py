"""Inbound shipments: all of them, with their items, from each cursor the rest."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon.repeats import Endless
from connectors.amazon.shipments import GET_SHIPMENTS, MORE_SHIPMENT_ITEMS, SHIPMENTS
from connectors.amazon_sandbox import Settings
from connectors.base import Cursor, Page, Record, Retryable

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


def in_pages(number: int, endless: bool = False) -> Any:
    """As if each page of the sandbox were so many; `endless`: they come round and round."""

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
        here = at % number
        payload: dict[str, Any] = {"ShipmentData": kept[here * size : (here + 1) * size]}
        if at + 1 < number or endless:
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


# Shipments of more than 200 items -----------------------------------------------------------------


def is_more(request: httpx.Request) -> bool:
    return request.url.path == MORE_SHIPMENT_ITEMS.path


def items_of(record: Record) -> list[str]:
    return [each["SellerSKU"] for each in json.loads(record.data)["items"]]


async def test_all_items_of_a_large_shipment_are_read(bench: Bench) -> None:
    small = {
        each.id: items_of(each) for page in await bench.read(SHIPMENTS) for each in page.records
    }
    await bench.door("faults", {"shipmentFillers": 240})
    large = [record for page in await bench.read(SHIPMENTS) for record in page.records]
    assert {each.id: items_of(each)[240:] for each in large} == small
    assert all(len(set(items_of(each))) == len(items_of(each)) > 240 for each in large)


@pytest.mark.parametrize("fillers", [199, 200, 400])
async def test_the_last_page_of_items_is_asked_for_once(bench: Bench, fillers: int) -> None:
    await bench.door("faults", {"shipmentFillers": fillers})
    records = [record for page in await bench.read(SHIPMENTS) for record in page.records]
    assert all(len(items_of(each)) > fillers for each in records)
    more = sum((len(items_of(each)) - 1) // 200 for each in records)
    assert len(await bench.calls("getShipmentItems")) == more


async def test_a_token_of_items_that_died_costs_the_shipment_another_call(bench: Bench) -> None:
    await bench.door("faults", {"shipmentFillers": 240})
    died = httpx.Response(400, json={"errors": [{"message": "Next token is expired"}]})
    answers = [died]
    bench.wire.spoil = lambda request, response: (
        answers.pop() if answers and is_more(request) else None
    )
    records = [record for page in await bench.read(SHIPMENTS) for record in page.records]
    assert all(len(items_of(each)) > 240 for each in records)


ENDLESS_ITEMS: Mapping[str, Callable[[int], list[Any]]] = {
    "the same page": lambda count: [{"SellerSKU": "A", "QuantityShipped": 1}],
    "two pages in turn": lambda count: [{"SellerSKU": "AB"[count % 2], "QuantityShipped": 1}],
    "empty pages": lambda count: [],
    "always new items": lambda count: [
        {"SellerSKU": f"{count}-{n}", "QuantityShipped": 1} for n in range(200)
    ],
}


@pytest.mark.parametrize("kind", ENDLESS_ITEMS)
async def test_items_without_end_cost_their_shipment_alone(bench: Bench, kind: str) -> None:
    whole = ids(await bench.read(SHIPMENTS))
    await bench.door("faults", {"shipmentFillers": 240})
    count, victim = 0, ""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal count, victim
        if request.url.path.endswith(f"{whole[0]}/items"):
            return edited(response, lambda body: body["payload"].update(NextToken="endless"))
        if not is_more(request) or not request.url.params["NextToken"].startswith("endless"):
            return None
        count += 1
        payload = {"ItemData": ENDLESS_ITEMS[kind](count), "NextToken": f"endless-{count}"}
        return httpx.Response(200, json={"payload": payload})

    bench.wire.spoil = spoil
    records = [record for page in await bench.read(SHIPMENTS) for record in page.records]
    bad = [record for record in records if record.error]
    assert [each.id for each in bad] == whole[:1] and "without end" in (bad[0].error or "")
    assert count <= 110 and ids([Page(records)]) == whole


async def test_items_that_are_refused_cost_their_shipment_alone(bench: Bench) -> None:
    whole = ids(await bench.read(SHIPMENTS))
    bench.wire.spoil = lambda request, response: (
        httpx.Response(400, json={"errors": [{"message": "Invalid input"}]})
        if request.url.path.endswith(f"{whole[1]}/items")
        else None
    )
    records = [record for page in await bench.read(SHIPMENTS) for record in page.records]
    assert [each.id for each in records if each.error] == [whole[1]]


# Lists without end --------------------------------------------------------------------------------


@pytest.mark.parametrize("cycle", [1, 2, 3])
async def test_shipments_without_end_are_partial(bench: Bench, cycle: int) -> None:
    """The tokens are always new, the pages come again."""
    bench.wire.spoil = in_pages(cycle, endless=True)
    pages: list[Page] = []
    with pytest.raises(Endless, match="getShipments names further pages without end"):
        async for page in read(bench):
            pages.append(page)
    assert len(pages) == cycle + 2
    assert pages[-1].cursor and pages[-1].share == 1.0
    bench.restart()
    with pytest.raises(Endless):
        await bench.read(SHIPMENTS, cursor=pages[-1].cursor)


def read(bench: Bench) -> AsyncIterator[Page]:
    window = bench.window(SHIPMENTS)
    return bench.connector.read(connect(), SHIPMENTS, window, None, bench.waiting)


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
