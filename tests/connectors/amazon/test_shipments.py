"""Inbound shipments: each one is read with all its items, and a read resumes from any cursor."""

import json
from collections.abc import AsyncIterator, Callable, Mapping
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon import shipment_items
from connectors.amazon.repeats import Endless
from connectors.amazon.shipment_items import GET_SHIPMENT_ITEMS, LIST_SHIPMENT_ITEMS
from connectors.amazon.shipments import GET_SHIPMENTS, SHIPMENTS
from connectors.amazon_sandbox import Settings
from connectors.base import Cursor, Page, Record, Retryable

from .bench import CANADA, UNLIMITED, US, Bench, connect, edited, ids

pytestmark = pytest.mark.anyio

SIZE = 20_000
"""Orders of a seller with several pages of shipments."""


@pytest.fixture
def large() -> Bench:
    return Bench(Settings(orders=SIZE, quotas=UNLIMITED))


@pytest.fixture
def one_by_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """Items are never listed by date."""
    monkeypatch.setattr(shipment_items, "FEW", 1_000)


def is_list(request: httpx.Request) -> bool:
    return request.url.path == GET_SHIPMENTS.path


def is_items(request: httpx.Request) -> bool:
    return request.url.path == LIST_SHIPMENT_ITEMS.path


def items_of(record: Record) -> list[str]:
    return [item["SellerSKU"] for item in json.loads(record.data)["items"]]


def is_final(record: Record) -> bool:
    return json.loads(record.data)["ShipmentStatus"] in shipment_items.FINAL


def records_of(pages: list[Page]) -> list[Record]:
    return [record for page in pages for record in page.records]


async def test_every_shipment_is_read_once_with_all_its_items(large: Bench) -> None:
    pages = await large.read(SHIPMENTS, window=large.window(SHIPMENTS, days=700))
    counts = await large.rows()
    read = ids(pages)
    assert len(read) == len(set(read)) == counts["inboundShipments"]
    shipments = [msgspec.json.decode(record.data) for record in records_of(pages)]
    assert sum(len(shipment["items"]) for shipment in shipments) == counts["inboundItems"]
    assert all(item["SellerSKU"] for shipment in shipments for item in shipment["items"])
    assert "Sandbox Street" not in str(shipments)


# Pages and tokens ---------------------------------------------------------------------------------


def in_pages(number: int, endless: bool = False) -> Any:
    """Splits the sandbox's page into so many; with `endless`, they come again and again."""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not is_list(request) or response.status_code == 500:
            return None
        params = request.url.params
        if token := params.get("NextToken"):
            assert params["QueryType"] == "NEXT_TOKEN"
            start = int(token.removeprefix("page-"))
        else:
            assert params["QueryType"] == "DATE_RANGE"
            whole[:] = json.loads(response.content)["payload"]["ShipmentData"]
            start = 0
        assert start < 20, "the read does not end"
        size = -(-len(whole) // number)
        page = start % number
        payload: dict[str, Any] = {"ShipmentData": whole[page * size : (page + 1) * size]}
        if start + 1 < number or endless:
            payload["NextToken"] = f"page-{start + 1}"
        return httpx.Response(200, json={"payload": payload})

    whole: list[Any] = []
    return spoil


async def test_a_read_resumes_from_any_cursor(bench: Bench) -> None:
    bench.wire.spoil = in_pages(3)
    pages = await bench.read(SHIPMENTS)
    assert len(pages) == 3
    for number, page in enumerate(pages[:-1], 1):
        bench.restart()
        rest = await bench.read(SHIPMENTS, cursor=page.cursor)
        assert records_of(rest) == records_of(pages[number:])


async def test_a_token_that_expired_restarts_the_list(bench: Bench) -> None:
    whole = ids(await bench.read(SHIPMENTS))
    assert whole
    assert ids(await bench.read(SHIPMENTS, cursor=Cursor('{"token":"old"}'))) == whole


async def test_tokens_that_always_expire_are_retried_later(bench: Bench) -> None:
    bench.wire.spoil = lambda request, response: (
        edited(response, lambda body: body["payload"].update(NextToken="made up"))
        if is_list(request) and "NextToken" not in request.url.params
        else None
    )
    with pytest.raises(Retryable, match="expired 6 times"):
        await bench.read(SHIPMENTS)


async def test_a_token_that_repeats_ends_the_list_as_unknown(bench: Bench) -> None:
    """Every page names the same token, and that token returns the same page."""
    count = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal count
        if not is_list(request):
            return None
        count += 1
        assert count < 10, "the read does not end"
        if response.status_code != 200:  # the sandbox does not know the token
            return httpx.Response(200, json={"payload": pages[0]})
        pages.append(json.loads(response.content)["payload"] | {"NextToken": "same"})
        return httpx.Response(200, json={"payload": pages[0]})

    pages: list[Any] = []
    bench.wire.spoil = spoil
    with pytest.raises(Endless, match="getShipments keeps returning a next page"):
        await bench.read(SHIPMENTS)


@pytest.mark.parametrize("cycle", [1, 2, 3])
async def test_new_tokens_over_repeated_pages_end_the_list_as_unknown(
    bench: Bench, cycle: int
) -> None:
    bench.wire.spoil = in_pages(cycle, endless=True)
    pages: list[Page] = []
    with pytest.raises(Endless, match="getShipments keeps returning a next page"):
        async for page in reading(bench):
            pages.append(page)
    assert len(pages) == cycle + 2
    assert pages[-1].cursor and pages[-1].share == 1.0
    bench.restart()
    with pytest.raises(Endless):
        await bench.read(SHIPMENTS, cursor=pages[-1].cursor)


def reading(bench: Bench) -> AsyncIterator[Page]:
    window = bench.window(SHIPMENTS)
    return bench.connector.read(connect(), SHIPMENTS, window, None, bench.waiting)


@pytest.mark.parametrize("cursor", ["x", "[]", '{"marketplace":-1}', '{"marketplace":9}'])
async def test_an_invalid_cursor_starts_from_the_beginning(bench: Bench, cursor: str) -> None:
    whole = ids(await bench.read(SHIPMENTS))
    assert ids(await bench.read(SHIPMENTS, cursor=Cursor(cursor))) == whole


async def test_a_cursor_of_an_older_version_resumes_in_its_marketplace(bench: Bench) -> None:
    """Older versions called the part `marketplace`."""
    connection = connect(marketplaces=(CANADA, US))
    await bench.read(SHIPMENTS, connection, cursor=Cursor('{"marketplace":1}'))
    lists = await bench.calls("getShipments")
    assert [call["parameters"]["MarketplaceId"] for call in lists] == [US]
    with pytest.raises(Endless, match="the reason"):
        await bench.read(SHIPMENTS, cursor=Cursor('{"marketplace":1,"cut":"the reason"}'))


async def test_without_a_marketplace_the_dataset_is_empty(bench: Bench) -> None:
    assert await bench.read(SHIPMENTS, connect(marketplaces=())) == [Page([], share=1.0)]


# Records ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("odd", [None, 7, {}, {"ShipmentId": ""}, {"ShipmentId": None}])
async def test_an_unreadable_shipment_fails_alone(bench: Bench, odd: Any) -> None:
    whole = ids(await bench.read(SHIPMENTS))

    def replace(body: Any) -> None:
        body["payload"]["ShipmentData"][0] = odd

    bench.wire.spoil = lambda request, response: (
        edited(response, replace) if is_list(request) else None
    )
    pages = await bench.read(SHIPMENTS)
    assert len([record for record in records_of(pages) if record.error]) == 1
    assert len(ids(pages)) == len(whole)


async def test_null_fields_are_read(bench: Bench) -> None:
    def nulled(body: Any) -> None:
        for shipment in body["payload"].get("ShipmentData", []):
            shipment.update(ShipmentName=None, DestinationFulfillmentCenterId=None)
        for item in body["payload"].get("ItemData", []):
            item.update(QuantityReceived=None, FulfillmentNetworkSKU=None)

    bench.wire.spoil = lambda request, response: (
        edited(response, nulled) if "/fba/inbound/" in request.url.path else None
    )
    pages = await bench.read(SHIPMENTS)
    assert [record.error for record in records_of(pages) if record.error] == []


# Items by date ------------------------------------------------------------------------------------


async def test_items_of_final_shipments_are_listed_in_few_calls(bench: Bench) -> None:
    records = records_of(await bench.read(SHIPMENTS))
    open_ones = [record for record in records if not is_final(record)]
    assert len(records) - len(open_ones) > shipment_items.FEW
    lists = await bench.calls(LIST_SHIPMENT_ITEMS.name)
    assert 0 < len(lists) < (len(records) - len(open_ones)) / 2
    assert len(await bench.calls(GET_SHIPMENT_ITEMS.name)) == len(open_ones) > 0


async def test_an_item_that_changes_during_the_read_is_not_lost(bench: Bench) -> None:
    """Its last update is then after the end of the window, so that the list does not contain it."""
    whole = records_of(await bench.read(SHIPMENTS))
    changing = next(record.id for record in whole if not is_final(record))

    def without(body: Any) -> None:
        items = body["payload"]["ItemData"]
        skus = [item["SellerSKU"] for item in items if item["ShipmentId"] == changing]
        items[:] = [
            item for item in items if item["ShipmentId"] != changing or item["SellerSKU"] != skus[0]
        ]

    bench.wire.spoil = lambda request, response: (
        edited(response, without) if is_items(request) else None
    )
    assert records_of(await bench.read(SHIPMENTS)) == whole


async def test_a_list_by_date_yields_the_same_records_as_reading_one_by_one(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = records_of(await bench.read(SHIPMENTS))
    monkeypatch.setattr(shipment_items, "FEW", 1_000)
    assert records_of(await bench.read(SHIPMENTS)) == listed


async def test_a_shipment_that_the_list_does_not_contain_is_read_by_its_id(bench: Bench) -> None:
    whole = records_of(await bench.read(SHIPMENTS))
    missing = next(record.id for record in whole if is_final(record))

    def without_one(body: Any) -> None:
        items = body["payload"]["ItemData"]
        items[:] = [item for item in items if item["ShipmentId"] != missing]

    bench.wire.spoil = lambda request, response: (
        edited(response, without_one) if is_items(request) else None
    )
    before = len(await bench.calls(GET_SHIPMENT_ITEMS.name))
    assert records_of(await bench.read(SHIPMENTS)) == whole
    assert len(await bench.calls(GET_SHIPMENT_ITEMS.name)) == 2 * before + 1


@pytest.mark.parametrize(
    "spoilt",
    [
        httpx.Response(400, json={"errors": [{"message": "Invalid input"}]}),
        httpx.Response(200, content=b"<html>"),
        httpx.Response(200, json={"payload": {"ItemData": [{"SellerSKU": "A"}]}}),
        httpx.Response(200, json={"payload": {"ItemData": [], "NextToken": "more"}}),
    ],
    ids=["refused", "html", "without a shipment", "endless"],
)
async def test_if_the_list_fails_the_shipments_are_read_one_by_one(
    bench: Bench, spoilt: httpx.Response
) -> None:
    whole = records_of(await bench.read(SHIPMENTS))
    bench.wire.spoil = lambda request, _: spoilt if is_items(request) else None
    before = len(await bench.calls(GET_SHIPMENT_ITEMS.name))
    assert records_of(await bench.read(SHIPMENTS)) == whole
    assert len(await bench.calls(GET_SHIPMENT_ITEMS.name)) == before + len(whole)


async def test_a_list_that_would_need_more_calls_than_it_saves_is_abandoned(bench: Bench) -> None:
    await bench.control("faults", {"shipmentFillers": 100})
    records = records_of(await bench.read(SHIPMENTS))
    assert all(len(items_of(record)) > 100 for record in records)
    assert len(await bench.calls(LIST_SHIPMENT_ITEMS.name)) == 1
    assert len(await bench.calls(GET_SHIPMENT_ITEMS.name)) == len(records)


# Pages of items -----------------------------------------------------------------------------------


@pytest.mark.parametrize("by_date", [True, False])
async def test_a_second_page_of_items_is_not_lost(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, by_date: bool
) -> None:
    if not by_date:
        monkeypatch.setattr(shipment_items, "FEW", 1_000)
    whole = records_of(await bench.read(SHIPMENTS))

    def split(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        """Splits every response into two pages."""
        token = request.url.params.get("NextToken", "")
        if token in rests:
            return httpx.Response(200, json={"payload": rests.pop(token)})
        if not request.url.path.endswith(("/items", "/shipmentItems")):
            return None
        payload = json.loads(response.content)["payload"]
        items, name = payload["ItemData"], f"rest-{len(request.url.path)}-{len(seen)}"
        seen.append(name)
        cut = max(1, len(items) - 1)
        rests[name] = {**payload, "ItemData": items[cut:]}
        return httpx.Response(200, json={"payload": {"ItemData": items[:cut], "NextToken": name}})

    rests: dict[str, Any] = {}
    seen: list[str] = []
    bench.wire.spoil = split
    assert records_of(await bench.read(SHIPMENTS)) == whole
    assert seen and not rests


@pytest.mark.usefixtures("one_by_one")
async def test_all_items_of_a_large_shipment_are_read(bench: Bench) -> None:
    small = {record.id: items_of(record) for record in records_of(await bench.read(SHIPMENTS))}
    await bench.control("faults", {"shipmentFillers": 240})
    for record in records_of(await bench.read(SHIPMENTS)):
        skus = items_of(record)
        assert [sku for sku in skus if not sku.startswith("FILLER-")] == small[record.id]
        assert len(set(skus)) == len(skus) == 240 + len(small[record.id])


@pytest.mark.parametrize("fillers", [199, 200, 400])
@pytest.mark.usefixtures("one_by_one")
async def test_the_last_page_of_items_is_requested_once(bench: Bench, fillers: int) -> None:
    await bench.control("faults", {"shipmentFillers": fillers})
    records = records_of(await bench.read(SHIPMENTS))
    assert all(len(items_of(record)) > fillers for record in records)
    further = sum((len(items_of(record)) - 1) // 200 for record in records)
    assert len(await bench.calls(LIST_SHIPMENT_ITEMS.name)) == further


@pytest.mark.usefixtures("one_by_one")
async def test_an_expired_token_of_items_costs_the_shipment_another_call(bench: Bench) -> None:
    await bench.control("faults", {"shipmentFillers": 240})
    expired = [httpx.Response(400, json={"errors": [{"message": "Next token is expired"}]})]
    bench.wire.spoil = lambda request, response: (
        expired.pop() if expired and is_items(request) else None
    )
    records = records_of(await bench.read(SHIPMENTS))
    assert all(len(set(items_of(record))) == len(items_of(record)) > 240 for record in records)


@pytest.mark.usefixtures("one_by_one")
async def test_tokens_of_items_that_always_expire_cost_their_shipments_alone(bench: Bench) -> None:
    whole = ids(await bench.read(SHIPMENTS))
    await bench.control("faults", {"shipmentFillers": 240})
    expired = httpx.Response(400, json={"errors": [{"message": "Next token is expired"}]})
    bench.wire.spoil = lambda request, _: expired if is_items(request) else None
    records = records_of(await bench.read(SHIPMENTS))
    assert [record.id for record in records if record.error] == whole


ENDLESS_ITEMS: Mapping[str, Callable[[int], list[Any]]] = {
    "the same page": lambda count: [{"SellerSKU": "A", "QuantityShipped": 1}],
    "two pages in turn": lambda count: [{"SellerSKU": "AB"[count % 2], "QuantityShipped": 1}],
    "empty pages": lambda count: [],
    "always new items": lambda count: [
        {"SellerSKU": f"{count}-{n}", "QuantityShipped": 1} for n in range(200)
    ],
}


@pytest.mark.parametrize("kind", ENDLESS_ITEMS)
@pytest.mark.usefixtures("one_by_one")
async def test_endless_items_cost_their_shipment_alone(bench: Bench, kind: str) -> None:
    whole = ids(await bench.read(SHIPMENTS))
    await bench.control("faults", {"shipmentFillers": 240})
    count = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal count
        if request.url.path.endswith(f"{whole[0]}/items"):
            return edited(response, lambda body: body["payload"].update(NextToken="endless"))
        if not is_items(request) or not request.url.params["NextToken"].startswith("endless"):
            return None
        count += 1
        assert count < 200, "the read does not end"
        payload = {"ItemData": ENDLESS_ITEMS[kind](count), "NextToken": f"endless-{count}"}
        return httpx.Response(200, json={"payload": payload})

    bench.wire.spoil = spoil
    records = records_of(await bench.read(SHIPMENTS))
    bad = [record for record in records if record.error]
    assert [record.id for record in bad] == whole[:1] and "keeps returning a next page" in (
        bad[0].error or ""
    )
    assert count <= 110 and ids([Page(records)]) == whole


@pytest.mark.usefixtures("one_by_one")
async def test_refused_items_cost_their_shipment_alone(bench: Bench) -> None:
    whole = ids(await bench.read(SHIPMENTS))
    bench.wire.spoil = lambda request, response: (
        httpx.Response(400, json={"errors": [{"message": "Invalid input"}]})
        if request.url.path.endswith(f"{whole[1]}/items")
        else None
    )
    records = records_of(await bench.read(SHIPMENTS))
    assert [record.id for record in records if record.error] == [whole[1]]
