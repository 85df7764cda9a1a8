"""Datasets that are read page by page: complete, by documented requests, with a right estimate."""

import json
import re
from datetime import datetime, timedelta
from typing import Any

import pytest

from connectors.amazon.inventory import INVENTORY
from connectors.amazon.orders.search import ORDERS
from connectors.amazon.times import stamp
from connectors.amazon.transactions import TRANSACTIONS
from connectors.amazon_sandbox import Settings
from connectors.base import Dataset, Page, Window

from .bench import (
    CANADA,
    EACH,
    MEXICO,
    PAGED,
    SOURCES,
    UNLIMITED,
    US,
    Bench,
    connect,
    edited,
    ids,
    is_data,
    reading,
    rows,
)

pytestmark = pytest.mark.anyio

PARAMETERS = {
    "/orders/2026-01-01/orders": {
        "lastUpdatedAfter",
        "lastUpdatedBefore",
        "marketplaceIds",
        "includedData",
        "maxResultsPerPage",
        "paginationToken",
    },
    "/fba/inventory/v1/summaries": {
        "granularityType",
        "granularityId",
        "marketplaceIds",
        "details",
        "nextToken",
    },
    "/finances/2024-06-19/transactions": {"postedAfter", "postedBefore", "nextToken"},
    "/sellers/v1/marketplaceParticipations": set[str](),
}
"""The parameters in use, all of which are in Amazon's models (July 2026)."""

DATES = {"lastUpdatedAfter", "lastUpdatedBefore", "postedAfter", "postedBefore"}


# Complete ---------------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("seller", ["1-0", "3-1234"])
async def test_every_record_of_a_seller_is_read_once(
    bench: Bench, dataset: Dataset, seller: str
) -> None:
    read = ids(await bench.read(dataset, connect(seller)))
    assert len(read) == len(set(read)) == await bench.count(dataset.name, seller)


async def test_an_empty_page_does_not_end_the_read(large: Bench) -> None:
    pages = await large.read(TRANSACTIONS)
    sizes = [len(page.records) for page in pages]
    assert 0 in sizes[:-1]
    assert sum(sizes) == await large.count("transactions")


@EACH
async def test_duplicate_pages_add_and_lose_no_records(large: Bench, dataset: Dataset) -> None:
    await large.control("faults", {"duplicatePages": 0.6})
    read = ids(await large.read(dataset))
    assert len(set(read)) == await large.count(dataset.name)
    assert len(read) > len(set(read))


@EACH
async def test_several_marketplaces_are_read_completely(dataset: Dataset) -> None:
    places = (US, CANADA, MEXICO)
    bench = Bench(Settings(orders=600, marketplaces=places, quotas=UNLIMITED))
    read = ids(await bench.read(dataset, connect(marketplaces=places)))
    assert len(read) == len(set(read)) == await bench.count(dataset.name)


async def test_only_the_marketplaces_of_the_connection_are_read() -> None:
    bench = Bench(Settings(orders=300, marketplaces=(US, CANADA), quotas=UNLIMITED))
    pages = await bench.read(ORDERS, connect(marketplaces=(CANADA,)))
    orders = [json.loads(record.data) for page in pages for record in page.records]
    assert orders
    assert {order["salesChannel"]["marketplaceId"] for order in orders} == {CANADA}
    pages = await bench.read(INVENTORY, connect(marketplaces=(CANADA,)))
    assert all(page.startswith(f"{CANADA}/") for page in ids(pages))


@pytest.mark.parametrize("days", [181, 600])
async def test_a_window_over_half_a_year_is_split(large: Bench, days: int) -> None:
    window = large.window(TRANSACTIONS, days=days)
    read = ids(await large.read(TRANSACTIONS, window=window))
    assert len(read) == len(set(read)) == await large.count("transactions")


@pytest.mark.parametrize(
    "days", [0.1, 180, 180.000001, 365, 900, 1_826.2, 180 + 1 / 86_400 / 1_000_000]
)
async def test_the_parts_of_a_window_are_adjacent_and_none_is_too_long(days: float) -> None:
    until = datetime.fromisoformat("2026-03-02T09:30:00.123456+00:00")
    window = Window(until - timedelta(days=days), until)
    parts = SOURCES["transactions"].parts(connect(), window)
    spans = [(part["postedAfter"], part["postedBefore"]) for part in parts]
    assert spans[0][0] == stamp(window.since)
    assert spans[-1][1] == stamp(window.until)
    assert [span[1] for span in spans[:-1]] == [span[0] for span in spans[1:]]
    for after, before in spans:
        length = datetime.fromisoformat(before) - datetime.fromisoformat(after)
        assert timedelta(0) < length <= timedelta(days=180)


@EACH
@pytest.mark.parametrize("reach", [timedelta(0), timedelta(microseconds=5)])
async def test_an_empty_window_is_read_without_error(
    bench: Bench, dataset: Dataset, reach: timedelta
) -> None:
    until = bench.clock.now() - timedelta(minutes=10)
    pages = await bench.read(dataset, window=Window(until - reach, until))
    assert pages[-1].cursor is None
    assert pages[-1].share == 1


async def test_without_a_marketplace_the_inventory_is_empty(bench: Bench) -> None:
    assert await bench.read(INVENTORY, connect(marketplaces=())) == [Page([], share=1.0)]


# Requests ---------------------------------------------------------------------------------------


@EACH
async def test_the_window_is_the_same_in_every_request(
    large: Bench, stocked: Bench, dataset: Dataset
) -> None:
    bench = stocked if dataset is INVENTORY else large
    [_ async for _ in reading(bench, dataset, lambda n: 7.7)]
    source = SOURCES[dataset.name]
    calls = await bench.calls(source.operation.name)
    sent = {
        tuple((k, v) for k, v in call["parameters"].items() if k != source.token_parameter)
        for call in calls
    }
    assert len(calls) > 3
    assert len(sent) == 1
    assert set(await bench.statuses(source.operation.name)) == {200}


async def test_every_request_uses_documented_parameters_only(large: Bench) -> None:
    large.http.headers["User-Agent"] = "seller-sync/0.1 (Language=Python; Platform=Linux)"
    await large.connector.check(connect(), large.waiting)
    for dataset in PAGED:
        await large.read(dataset, connect(marketplaces=(US, CANADA)))
        await large.read(dataset, window=large.window(dataset, days=400))
        await large.control("expire")
    assert len(large.wire.requests) > 40
    for request in large.wire.requests:
        if request.url.path == "/auth/o2/token":
            assert request.method == "POST"
            assert request.url.query == b""
            continue
        assert request.method == "GET"
        params = dict(request.url.params.multi_items())
        assert len(params) == len(request.url.params.multi_items())
        assert set(params) <= PARAMETERS[request.url.path]
        assert all(params.values())
        assert request.headers["x-amz-access-token"].startswith("Atza|")
        assert 0 < len(request.headers["user-agent"]) <= 500
        assert "content-length" not in request.headers
        for name in DATES & params.keys():
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", params[name])


async def test_no_personal_data_is_requested(bench: Bench) -> None:
    for dataset in PAGED:
        await bench.read(dataset)
    calls = await bench.calls()
    assert len(calls) > 5
    for call in calls:
        asked = set(",".join(call["parameters"].values()).upper().split(","))
        assert not asked & {"BUYER", "RECIPIENT"}
        assert "BUYER" not in str(call["parameters"]).upper()
        assert "restrictedDataToken" not in call["path"]
    pages = await bench.read(ORDERS)
    words = b" ".join(record.data for page in pages for record in page.records)
    assert b'"buyer' not in words
    assert b'"recipient' not in words


async def test_dates_are_sent_in_utc(bench: Bench) -> None:
    window = Window(
        datetime.fromisoformat("2026-02-01T09:00:00.999+09:00"),
        datetime.fromisoformat("2026-02-20T00:00:00-05:00"),
    )
    await bench.read(ORDERS, window=window)
    [call, *_] = await bench.calls("searchOrders")
    assert call["parameters"]["lastUpdatedAfter"] == "2026-02-01T00:00:00Z"
    assert call["parameters"]["lastUpdatedBefore"] == "2026-02-20T05:00:00Z"


async def test_the_default_windows_are_accepted_by_a_clock_that_is_behind(bench: Bench) -> None:
    for dataset in PAGED:
        window = bench.window(dataset)
        bench.jumping.time -= timedelta(seconds=4)
        await bench.read(dataset, window=window)
        bench.jumping.time += timedelta(seconds=4)


# Progress ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "days"), [(ORDERS, 90), (INVENTORY, 90), (TRANSACTIONS, 90), (TRANSACTIONS, 400)]
)
async def test_the_share_grows_from_zero_to_one(large: Bench, dataset: Dataset, days: int) -> None:
    window = large.window(dataset, days=days)
    pages = await large.read(dataset, connect(marketplaces=(US, CANADA)), window)
    shares = [page.share for page in pages]
    assert None not in shares
    numbers = [share or 0.0 for share in shares]
    assert numbers == sorted(numbers)
    assert numbers[0] < 0.6
    assert numbers[-1] == 1
    assert all(share < 1 for share in numbers[:-1])
    assert pages[-1].seconds_left is None


async def test_the_share_never_falls_when_a_part_is_restarted(large: Bench) -> None:
    pages = [page async for page in reading(large, TRANSACTIONS, lambda n: 301 if n == 7 else 0)]
    shares = [page.share or 0.0 for page in pages]
    assert len(pages) > 15
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("days", "pages", "newest_first"), [(120, 60, False), (90, 44, True), (86, 30, False)]
)
async def test_half_way_the_estimated_end_is_within_a_tenth(
    days: int, pages: int, newest_first: bool
) -> None:
    """Sixty pages at the published quotas take two hours. The seller started 85 days ago."""
    bench = Bench(Settings(orders=pages * 100))
    if newest_first:
        bench.wire.spoil = mirrored(bench)
    seen = []
    window = bench.window(ORDERS, days=days)
    async for page in bench.read_pages(connect(), ORDERS, window, None, bench.waiting):
        seen.append((bench.clock.now(), page.seconds_left))
    assert len(seen) == pages
    assert set(await bench.statuses("searchOrders")) == {200}
    end = seen[-1][0]
    for at, left in seen[pages // 2 - 1 : pages // 2 + 2]:
        assert left == pytest.approx((end - at).total_seconds(), rel=0.1)


def mirrored(bench: Bench) -> Any:
    """Newest first: the time of each order is mirrored in the window."""
    until = bench.clock.now()
    since = until - timedelta(days=86)

    def edit(body: Any) -> None:
        for order in rows(body):
            at = datetime.fromisoformat(order["lastUpdatedTime"])
            order["lastUpdatedTime"] = (since + (until - at)).isoformat()

    return lambda request, response: edited(response, edit) if is_data(request) else None


async def test_waits_for_the_quota_are_announced_with_their_end() -> None:
    bench = Bench(Settings(orders=2_300))
    await bench.read(ORDERS)
    assert len(bench.waits) == 3
    for until, why in bench.waits:
        assert why == "Amazon's quota for searchOrders (one call in 179 s)"
        assert bench.jumping.time >= until
    assert sum(bench.jumping.slept) == pytest.approx(3 * 178.57, rel=0.01)
