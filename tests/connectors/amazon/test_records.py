"""Records of datasets that are read page by page: an unreadable one fails alone."""

from collections.abc import Sequence
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon.inventory import INVENTORY
from connectors.amazon.orders.search import ORDERS
from connectors.amazon.transactions import TRANSACTIONS
from connectors.base import Dataset, Page, Retryable

from .bench import (
    EACH,
    PAGED,
    Bench,
    edited,
    ids,
    is_data,
    raw,
    rows,
)

pytestmark = pytest.mark.anyio


def readable(pages: Sequence[Page]) -> list[str]:
    return [record.id for page in pages for record in page.records if record.error is None]


ODD: dict[str, list[dict[str, Any]]] = {
    "orders": [
        {"orderId": None},
        {"orderId": ""},
        {"orderId": 7},
        {"createdTime": None},
        {"lastUpdatedTime": None},
        {"lastUpdatedTime": ""},
        {"lastUpdatedTime": "yesterday"},
        {"lastUpdatedTime": 1_700_000_000},
        {"orderItems": None},
        {"orderItems": {}},
    ],
    "inventory": [{"sellerSku": None}, {"sellerSku": ""}, {"sellerSku": []}, {"productName": 7}],
    "transactions": [
        {"transactionId": 7},
        {"postedDate": None},
        {"postedDate": "2026-13-01T00:00:00Z"},
        {"transactionType": ["Shipment"]},
    ],
}
CASES = [(dataset, odd) for dataset in PAGED for odd in ODD[dataset.name]]


@pytest.mark.parametrize(("dataset", "odd"), CASES)
async def test_an_unreadable_record_fails_alone(
    bench: Bench, dataset: Dataset, odd: dict[str, Any]
) -> None:
    spoilt = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal spoilt
        spoilt += is_data(request)
        first = is_data(request) and spoilt == 1
        return edited(response, lambda body: rows(body)[1].update(odd)) if first else None

    bench.wire.spoil = spoil
    pages = await bench.read(dataset)
    await assert_one_failed(bench, dataset, pages)


@pytest.mark.parametrize("instead", [None, 7, "order", [], {}])
@EACH
async def test_a_value_that_is_not_a_record_fails_alone(
    bench: Bench, dataset: Dataset, instead: Any
) -> None:
    def replace(body: Any) -> None:
        rows(body)[1] = instead

    done: list[httpx.Request] = []

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not is_data(request) or done:
            return None
        done.append(request)
        return edited(response, replace)

    bench.wire.spoil = spoil
    pages = await bench.read(dataset)
    await assert_one_failed(bench, dataset, pages)


@pytest.mark.parametrize("new", [b'"\xff\xfe', b'"\xed\xa0\x80'])
@EACH
async def test_invalid_utf8_fails_its_record_alone(
    bench: Bench, dataset: Dataset, new: bytes
) -> None:
    """Also in fields that are not read."""
    field = {"orders": b'"title":"', "inventory": b'"asin":"', "transactions": b'"description":"'}
    old = field[dataset.name]
    done: list[httpx.Request] = []

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not is_data(request) or done:
            return None
        done.append(request)
        return raw(response, old, old[:-1] + new)

    bench.wire.spoil = spoil
    pages = await bench.read(dataset)
    await assert_one_failed(bench, dataset, pages)


async def assert_one_failed(bench: Bench, dataset: Dataset, pages: Sequence[Page]) -> None:
    [bad] = [record for page in pages for record in page.records if record.error]
    assert bad.id.startswith("unreadable-")
    assert bad.error is not None
    assert bad.error.startswith("Cannot be read: ")
    read = readable(pages)
    assert len(read) == len(set(read)) == await bench.count(dataset.name) - 1


async def test_an_unreadable_record_has_the_same_id_at_every_read(bench: Bench) -> None:
    bench.wire.spoil = lambda request, response: (
        edited(response, lambda body: rows(body)[0].update(orderId=None))
        if is_data(request)
        else None
    )
    first = [id for id in ids(await bench.read(ORDERS)) if id.startswith("unreadable")]
    again = [id for id in ids(await bench.read(ORDERS)) if id.startswith("unreadable")]
    assert first == again
    assert len(set(first)) == 2


FINE = [
    (ORDERS, {"lastUpdatedTime": "2026-02-01T00:00:00"}),
    (ORDERS, {"lastUpdatedTime": "0001-01-01T00:00:00+10:00"}),
    (ORDERS, {"lastUpdatedTime": "9999-12-31T23:59:59-10:00"}),
    (ORDERS, {"lastUpdatedTime": "2026-02-01T00:00:00.123456789Z", "somethingNew": [{}]}),
    (ORDERS, {"fulfillment": {"fulfillmentStatus": "TELEPORTED"}, "proceeds": None}),
    (INVENTORY, {"lastUpdatedTime": ""}),
    (INVENTORY, {"lastUpdatedTime": None, "productName": None, "inventoryDetails": None}),
    (INVENTORY, {"sellerSku": " ü/青 &+%#?\u0000\n"}),
    (TRANSACTIONS, {"transactionType": None, "transactionStatus": "Released", "items": None}),
    (TRANSACTIONS, {"transactionType": "SomethingNew", "breakdowns": None}),
    (TRANSACTIONS, {"transactionId": None, "relatedIdentifiers": None, "totalAmount": "much"}),
    (TRANSACTIONS, {"transactionId": ""}),
]


@pytest.mark.parametrize(("dataset", "odd"), FINE)
async def test_unusual_but_valid_records_are_read(
    bench: Bench, dataset: Dataset, odd: dict[str, Any]
) -> None:
    def change(body: Any) -> None:
        for first in rows(body)[:1]:
            first.update(odd)

    bench.wire.spoil = lambda request, response: (
        edited(response, change) if is_data(request) else None
    )
    pages = await bench.read(dataset)
    assert [record.error for page in pages for record in page.records if record.error] == []
    shares = [page.share or 0.0 for page in pages]
    assert shares == sorted(shares)
    assert shares[-1] == 1


async def test_a_transaction_without_an_id_keeps_its_id_when_its_status_changes(
    bench: Bench,
) -> None:
    names: list[list[str]] = []

    def change(body: Any) -> None:
        for row in rows(body):
            row.update(transactionStatus=f"changed {len(names)} times")
            del row["transactionId"]

    bench.wire.spoil = lambda request, response: (
        edited(response, change) if is_data(request) else None
    )
    for _ in range(2):
        names.append(ids(await bench.read(TRANSACTIONS)))
    assert names[0] == names[1]
    assert len(set(names[0])) == await bench.count("transactions")
    assert all(name.startswith("unnamed-") for name in names[0])


@EACH
async def test_a_record_contains_the_received_bytes(bench: Bench, dataset: Dataset) -> None:
    bodies: list[bytes] = []

    def spoil(request: httpx.Request, response: httpx.Response) -> None:
        bodies.append(response.content)

    bench.wire.spoil = spoil
    pages = await bench.read(dataset)
    whole = b"\n".join(bodies)
    for page in pages:
        for record in page.records:
            assert record.data in whole
            assert msgspec.json.decode(record.data)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"<html>",
        b"\xff",
        b"null",
        b"[]",
        b"{}",
        b'{"orders": null}',
        b'{"orders": {}}',
        b'{"orders": [], "pagination": {"nextToken": "\xff"}}',
        b'{"orders": [{"a": 1}',
    ],
)
async def test_a_response_of_another_shape_is_retryable(bench: Bench, body: bytes) -> None:
    bench.wire.spoil = lambda request, _: (
        httpx.Response(200, content=body) if is_data(request) else None
    )
    with pytest.raises(Retryable, match="does not have the documented shape"):
        await bench.read(ORDERS)


async def test_a_deeply_nested_response_is_retryable(bench: Bench) -> None:
    body = b'{"orders": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}"
    bench.wire.spoil = lambda request, _: (
        httpx.Response(200, content=body) if is_data(request) else None
    )
    with pytest.raises(Retryable):
        await bench.read(ORDERS)
