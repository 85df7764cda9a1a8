"""What arrives: all of it, once, however the far side behaves, and whatever was asked for it."""

import json
import re
from collections.abc import AsyncIterator, Callable, Sequence
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon import pages as paging
from connectors.amazon.datasets import INVENTORY, ORDERS, SOURCES, TRANSACTIONS
from connectors.amazon.repeats import Endless
from connectors.amazon_sandbox import Settings
from connectors.base import Cursor, Dataset, Page, Retryable, SourceError, Window

from .bench import (
    CANADA,
    MEXICO,
    PAGED,
    UNLIMITED,
    US,
    Bench,
    connect,
    edited,
    ids,
    is_data,
    raw,
    rows,
)

pytestmark = pytest.mark.anyio

EACH = pytest.mark.parametrize("dataset", PAGED, ids=lambda dataset: dataset.name)

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
"""Of what Amazon's models name (July 2026), that which is used."""

DATES = {"lastUpdatedAfter", "lastUpdatedBefore", "postedAfter", "postedBefore"}


@pytest.fixture
def large() -> Bench:
    """A seller of several pages of everything: orders 13, inventory 2, transactions over 15."""
    return Bench(Settings(orders=1_250, quotas=UNLIMITED))


@pytest.fixture
def stocked() -> Bench:
    """Five pages of inventory."""
    return Bench(Settings(orders=4_100, quotas=UNLIMITED))


def readable(pages: Sequence[Page]) -> list[str]:
    return [record.id for page in pages for record in page.records if record.error is None]


# Everything, once ---------------------------------------------------------------------------------


@EACH
@pytest.mark.parametrize("seller", ["1-0", "3-1234"])
async def test_all_that_a_seller_has_arrives_once(
    bench: Bench, dataset: Dataset, seller: str
) -> None:
    found = ids(await bench.read(dataset, connect(seller)))
    assert len(found) == len(set(found)) == await bench.count(dataset.name, seller)


async def test_an_empty_page_is_not_the_end(large: Bench) -> None:
    pages = await large.read(TRANSACTIONS)
    sizes = [len(page.records) for page in pages]
    assert 0 in sizes[:-1]
    assert sum(sizes) == await large.count("transactions")


@EACH
async def test_pages_that_come_twice_bring_nothing_new_and_lose_nothing(
    large: Bench, dataset: Dataset
) -> None:
    await large.door("faults", {"duplicatePages": 0.6})
    found = ids(await large.read(dataset))
    assert len(set(found)) == await large.count(dataset.name)
    assert len(found) > len(set(found))


@EACH
async def test_several_marketplaces_are_read_whole(dataset: Dataset) -> None:
    places = (US, CANADA, MEXICO)
    bench = Bench(Settings(orders=600, marketplaces=places, quotas=UNLIMITED))
    found = ids(await bench.read(dataset, connect(marketplaces=places)))
    assert len(found) == len(set(found)) == await bench.count(dataset.name)


async def test_only_the_marketplaces_of_the_connection_are_read() -> None:
    bench = Bench(Settings(orders=300, marketplaces=(US, CANADA), quotas=UNLIMITED))
    pages = await bench.read(ORDERS, connect(marketplaces=(CANADA,)))
    orders = [json.loads(record.data) for page in pages for record in page.records]
    assert orders
    assert {order["salesChannel"]["marketplaceId"] for order in orders} == {CANADA}
    pages = await bench.read(INVENTORY, connect(marketplaces=(CANADA,)))
    assert all(each.startswith(f"{CANADA}/") for each in ids(pages))


@pytest.mark.parametrize("days", [181, 600])
async def test_a_window_over_half_a_year_is_read_in_pieces(large: Bench, days: int) -> None:
    window = large.window(TRANSACTIONS, days=days)
    found = ids(await large.read(TRANSACTIONS, window=window))
    assert len(found) == len(set(found)) == await large.count("transactions")


@pytest.mark.parametrize(
    "days", [0.1, 180, 180.000001, 365, 900, 1_826.2, 180 + 1 / 86_400 / 1_000_000]
)
async def test_the_pieces_of_a_window_meet_and_none_is_too_long(days: float) -> None:
    until = datetime.fromisoformat("2026-03-02T09:30:00.123456+00:00")
    window = Window(until - timedelta(days=days), until)
    parts = SOURCES["transactions"].parts(connect(), window)
    spans = [(part["postedAfter"], part["postedBefore"]) for part in parts]
    assert spans[0][0] == paging.stamp(window.since)
    assert spans[-1][1] == paging.stamp(window.until)
    assert [span[1] for span in spans[:-1]] == [span[0] for span in spans[1:]]
    for after, before in spans:
        length = datetime.fromisoformat(before) - datetime.fromisoformat(after)
        assert timedelta(0) < length <= timedelta(days=180)


@EACH
@pytest.mark.parametrize("reach", [timedelta(0), timedelta(microseconds=5)])
async def test_a_window_without_length_ends_well(
    bench: Bench, dataset: Dataset, reach: timedelta
) -> None:
    until = bench.clock.now() - timedelta(minutes=10)
    pages = await bench.read(dataset, window=Window(until - reach, until))
    assert pages[-1].cursor is None
    assert pages[-1].share == 1


async def test_without_a_marketplace_there_is_no_stock_and_an_end(bench: Bench) -> None:
    assert await bench.read(INVENTORY, connect(marketplaces=())) == [Page([], share=1.0)]


# Tokens -------------------------------------------------------------------------------------------


async def reading(
    bench: Bench, dataset: Dataset, between: Callable[[int], float]
) -> AsyncIterator[Page]:
    """The pages, with so many seconds between them."""
    pages = bench.turn_pages(connect(), dataset, bench.window(dataset), None, bench.waiting)
    number = 0
    async for page in pages:
        yield page
        number += 1
        bench.jumping.time += timedelta(seconds=between(number))


@pytest.mark.parametrize(("dataset", "life"), [(INVENTORY, 30), (TRANSACTIONS, 300)])
@pytest.mark.parametrize("late", [3])
async def test_a_token_that_expires_costs_its_part_and_nothing_is_missing(
    large: Bench, stocked: Bench, dataset: Dataset, life: float, late: int
) -> None:
    bench = stocked if dataset is INVENTORY else large
    pages = [page async for page in reading(bench, dataset, lambda n: life + 1 if n == late else 0)]
    operation = SOURCES[dataset.name].operation.name
    assert len(set(ids(pages))) == await bench.count(dataset.name)
    assert len(ids(pages)) > len(set(ids(pages)))
    assert (await bench.statuses(operation)).count(400) == 1
    assert [page.cursor is None for page in pages] == [False] * (len(pages) - 1) + [True]


async def test_a_token_that_lives_long_enough_is_used(stocked: Bench) -> None:
    pages = [page async for page in reading(stocked, INVENTORY, lambda n: 29)]
    assert len(pages) == 5
    assert set(await stocked.statuses("getInventorySummaries")) == {200}


async def test_tokens_that_always_expire_end_as_retryable_not_in_an_endless_loop(
    stocked: Bench,
) -> None:
    with pytest.raises(Retryable, match="expired 6 times"):
        async for _ in reading(stocked, INVENTORY, lambda n: 31):
            pass


@pytest.mark.parametrize("position", [4])
@pytest.mark.parametrize("dataset", [ORDERS, INVENTORY])
async def test_a_page_that_is_always_refused_ends_the_reading(
    large: Bench, stocked: Bench, dataset: Dataset, position: int
) -> None:
    """However far one gets before it, and however little is asked for."""
    bench = stocked if dataset is INVENTORY else large
    seen: list[str] = []

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not is_data(request):
            return None
        token = request.url.params.get(SOURCES[dataset.name].token_parameter)
        seen.append("" if token else "start")
        since = len(seen) - max(i for i, each in enumerate(seen) if each)
        return httpx.Response(400, json={"errors": []}) if since >= position else None

    bench.wire.spoil = spoil
    with pytest.raises(SourceError):
        await bench.read(dataset)
    assert seen.count("start") == 2
    assert len(seen) <= 2 * (position + 1)


async def test_a_refusal_of_the_first_page_is_final(bench: Bench) -> None:
    bench.wire.spoil = lambda request, _: (
        httpx.Response(400, json={"errors": []}) if is_data(request) else None
    )
    with pytest.raises(SourceError):
        await bench.read(ORDERS)


# Answers that are too large ----------------------------------------------------------------------


async def largest(bench: Bench, dataset: Dataset) -> int:
    """Bytes of the largest page, as it comes when nothing is refused."""
    sizes = [0]

    def measure(request: httpx.Request, response: httpx.Response) -> None:
        sizes.append(len(response.content) if is_data(request) else 0)

    bench.wire.spoil = measure
    await bench.read(dataset)
    bench.wire.spoil = lambda request, response: None
    return max(sizes)


@pytest.mark.parametrize("share", [0.9, 0.3, 0.1])
@pytest.mark.parametrize("dataset", [ORDERS, TRANSACTIONS])
async def test_what_is_too_large_is_read_in_smaller_answers(dataset: Dataset, share: float) -> None:
    bench = Bench(Settings(orders=300, quotas=UNLIMITED))
    most = int(share * await largest(bench, dataset))
    await bench.door("reset")
    await bench.door("faults", {"largestAnswer": most})
    bench.restart()
    window = bench.window(dataset)
    pages = await bench.read(dataset, window=window)
    assert len(set(ids(pages))) == await bench.count(dataset.name)
    if dataset is ORDERS:  # which go on with the same token: none comes twice
        assert len(ids(pages)) == await bench.count(dataset.name)
    statuses = await bench.statuses(SOURCES[dataset.name].operation.name)
    assert 0 < statuses.count(400) <= 2 * len(pages)
    shares = [page.share or 0.0 for page in pages]
    assert shares == sorted(shares) and shares[-1] == 1
    for number in {1, len(pages) // 3, len(pages) // 2, len(pages) - 1}:
        bench.restart()
        rest = await bench.read(dataset, window=window, cursor=pages[number - 1].cursor)
        assert ids(rest) == ids(pages[number:])


@pytest.mark.parametrize(("dataset", "calls"), [(ORDERS, 3), (TRANSACTIONS, 2)])
async def test_what_cannot_be_made_small_enough_is_refused_in_the_end(
    large: Bench, dataset: Dataset, calls: int
) -> None:
    await large.door("faults", {"largestAnswer": 10})
    with pytest.raises(SourceError, match="HTTP 400 InvalidInput"):
        await large.read(dataset)
    statuses = await large.statuses(SOURCES[dataset.name].operation.name)
    assert statuses == [400] * calls


async def test_pages_grow_again_once_what_was_too_large_is_passed(large: Bench) -> None:
    """Only some of the orders are large, in the middle: one smaller page for each refusal."""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not is_data(request) or response.status_code != 200:
            return None
        orders = rows(json.loads(response.content))
        times = [each["lastUpdatedTime"] for each in orders]
        inside = [each for each in times if since <= each <= until]
        return httpx.Response(400, json={"errors": []}) if len(inside) > 20 else None

    now = large.clock.now()
    since, until = (str(now - timedelta(days=days)).replace(" ", "T") for days in (50, 40))
    large.wire.spoil = spoil
    pages = await large.read(ORDERS)
    assert len(ids(pages)) == len(set(ids(pages))) == 1_250
    sizes = [int(c["parameters"]["maxResultsPerPage"]) for c in await large.calls("searchOrders")]
    assert sizes[0] == 100 and min(sizes) == paging.SMALL_PAGE and sizes[-1] == 100


def named(request: httpx.Request, text: str) -> httpx.Response | None:
    """Refuses what is optional, in these words."""
    if not is_data(request) or "includedData" not in request.url.params:
        return None
    errors = [{"code": "InvalidInput", "message": text}]
    return httpx.Response(400, json={"errors": errors})


@pytest.mark.parametrize(
    ("text", "calls"), [("Invalid Input", 2), ("Invalid value for [includedData]", 1)]
)
async def test_orders_are_read_without_what_is_refused_and_that_is_said(
    large: Bench, text: str, calls: int
) -> None:
    whole = [record for page in await large.read(ORDERS) for record in page.records]
    large.wire.spoil = lambda request, _: named(request, text)
    large.wire.requests.clear()
    pages: list[Page] = []
    with pytest.raises(Endless, match="searchOrders refused includedData"):
        reading = large.turn_pages(connect(), ORDERS, large.window(ORDERS), None, large.waiting)
        async for page in reading:
            pages.append(page)
    assert ids(pages) == [each.id for each in whole]
    asked = [each for each in large.wire.requests if is_data(each)]
    assert sum("includedData" in each.url.params for each in asked) == calls
    assert len(asked) == calls + len(pages)
    bare = [record for page in pages for record in page.records]
    pairs = zip(whole, bare, strict=True)
    assert all(one.version != other.version for one, other in pairs)


@pytest.mark.parametrize("position", [2, 5])
async def test_transactions_are_read_whatever_page_is_refused_in_a_stretch(
    large: Bench, position: int
) -> None:
    """As Amazon's v0 of finances does: at some page, without a word of why."""
    since_start = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal since_start
        if not is_data(request):
            return None
        since_start = since_start + 1 if "nextToken" in request.url.params else 1
        return httpx.Response(400, json={"errors": []}) if since_start >= position else None

    large.wire.spoil = spoil
    found = ids(await large.read(TRANSACTIONS))
    assert len(set(found)) == await large.count("transactions")


async def test_a_token_that_is_named_is_not_taken_for_an_answer_that_is_too_large(
    large: Bench,
) -> None:
    pages = [page async for page in reading(large, TRANSACTIONS, lambda n: 301 if n == 3 else 0)]
    spans = {
        (call["parameters"]["postedAfter"], call["parameters"]["postedBefore"])
        for call in await large.calls("listTransactions")
    }
    assert pages and len(spans) == 1


# Tokens that come again ---------------------------------------------------------------------------


def with_token(token: Callable[[int], str | None]) -> Any:
    """Spoils answers: the n-th page's next token is this."""
    count = 0

    def edit(body: Any) -> None:
        nonlocal count
        count += 1
        holder = body["payload"] if "transactions" in body.get("payload", {}) else body
        key = {"nextToken": token(count)}
        if holder is body:
            body["pagination"] = key
        else:
            holder.update(key)

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not is_data(request):
            return None
        if response.status_code == 400:  # a token that we made up: any page will do
            response = httpx.Response(200, json=EMPTY[request.url.path.split("/")[1]])
        return edited(response, edit)

    return spoil


EMPTY: dict[str, Any] = {
    "orders": {"orders": []},
    "fba": {"payload": {"inventorySummaries": []}},
    "finances": {"payload": {"transactions": []}},
}


def most(dataset: Dataset) -> int:
    """Pages in a row that may be empty before the next that is not."""
    return SOURCES[dataset.name].most_empty


async def until_endless(bench: Bench, dataset: Dataset) -> list[Page]:
    """The pages; the last one says that it is, but not that all was read."""
    pages = []
    reading = bench.turn_pages(connect(), dataset, bench.window(dataset), None, bench.waiting)
    with pytest.raises(Endless, match="names further pages without end"):
        async for page in reading:
            pages.append(page)
    assert pages[-1].cursor and pages[-1].share == 1.0
    bench.restart()
    with pytest.raises(Endless):
        assert await bench.read(dataset, cursor=pages[-1].cursor) == []
    return pages


@EACH
@pytest.mark.parametrize("cycle", ["A", "AB", "ABCDE"])
async def test_tokens_that_come_again_over_empty_pages_end_their_part(
    bench: Bench, dataset: Dataset, cycle: str
) -> None:
    bench.wire.spoil = with_token(lambda number: cycle[(number - 1) % len(cycle)])
    assert len(await until_endless(bench, dataset)) == 1 + most(dataset)


@EACH
async def test_new_tokens_over_empty_pages_end_their_part(bench: Bench, dataset: Dataset) -> None:
    bench.wire.spoil = with_token(lambda number: f"token-{number}")
    assert len(await until_endless(bench, dataset)) == 1 + most(dataset)


@EACH
@pytest.mark.parametrize("cycle", [1, 2, 7])
@pytest.mark.parametrize("tokens", ["new", "same"])
async def test_pages_that_come_round_end_their_part(
    bench: Bench, dataset: Dataset, cycle: int, tokens: str
) -> None:
    count, kept = 0, list[bytes]()

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal count
        if not is_data(request):
            return None
        if not kept:
            kept.append(response.content)
        here, count = count % cycle, count + 1
        token = f"token-{count}" if tokens == "new" else f"token-{here}"

        def edit(body: Any) -> None:
            found = rows(body)
            size = -(-len(found) // 7)
            found[:] = found[here * size : (here + 1) * size]
            holder = body["payload"] if "transactions" in body.get("payload", {}) else body
            named = {"nextToken": token}
            holder.update(named if holder is not body else {"pagination": named})

        return edited(httpx.Response(200, content=kept[0]), edit)

    bench.wire.spoil = spoil
    pages = await until_endless(bench, dataset)
    assert len(pages) == cycle + 2
    assert len(set(ids(pages[:cycle]))) == len(ids(pages[:cycle]))


async def test_a_part_without_end_does_not_cost_the_next_one() -> None:
    bench = Bench(Settings(orders=600, marketplaces=(US, CANADA), quotas=UNLIMITED))
    number = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal number
        if not is_data(request) or request.url.params["granularityId"] != US:
            return None
        number += 1
        body = {**EMPTY["fba"], "pagination": {"nextToken": f"token-{number}"}}
        return httpx.Response(200, json=body)

    bench.wire.spoil = spoil
    found: list[Page] = []
    with pytest.raises(Endless):
        connection = connect(marketplaces=(US, CANADA))
        window = bench.window(INVENTORY)
        async for page in bench.turn_pages(connection, INVENTORY, window, None, bench.waiting):
            found.append(page)
    assert number == 2 and len(ids(found)) > 10


@pytest.mark.parametrize("token", [None, ""])
@EACH
async def test_no_token_is_the_end(bench: Bench, dataset: Dataset, token: str | None) -> None:
    bench.wire.spoil = with_token(lambda number: token)
    assert len(await bench.read(dataset)) == 1


async def test_a_token_may_be_the_same_in_two_marketplaces(bench: Bench) -> None:
    bench.wire.spoil = with_token(lambda number: "page-2" if number % 2 else None)
    pages = await bench.read(INVENTORY, connect(marketplaces=(US, CANADA)))
    assert len(pages) == 4


# Cursors ------------------------------------------------------------------------------------------


@EACH
async def test_from_any_cursor_comes_the_rest_and_only_the_rest(dataset: Dataset) -> None:
    places = (US, CANADA)
    bench = Bench(Settings(orders=600, marketplaces=places, quotas=UNLIMITED))
    connection = connect(marketplaces=places)
    window = bench.window(dataset)
    pages = await bench.read(dataset, connection, window)
    for number, page in enumerate(pages[:-1], 1):
        bench.restart()
        rest = await bench.read(dataset, connection, window, page.cursor)
        assert ids(rest) == ids(pages[number:])
        assert [each.share for each in rest] == [each.share for each in pages[number:]]


CURSORS = ["", "x", "null", "7", "[]", '"5"', '{"part":-1}', '{"part":99}', '{"part":"a"}']
CURSORS += ['{"oldest":"2026-01-01T00:00:00"}', '{"oldest":7}', "\ud800", '{"token":5}']


@pytest.mark.parametrize("cursor", CURSORS)
async def test_a_cursor_that_cannot_be_read_means_from_the_beginning(
    bench: Bench, cursor: str
) -> None:
    pages = await bench.read(ORDERS, cursor=Cursor(cursor))
    assert len(ids(pages)) == await bench.count("orders")


@EACH
async def test_a_token_of_another_version_means_its_part_from_the_beginning(
    bench: Bench, dataset: Dataset
) -> None:
    pages = await bench.read(dataset, cursor=Cursor('{"token":"old","pages":3,"share":0.5}'))
    assert len(ids(pages)) == await bench.count(dataset.name)


# Requests -----------------------------------------------------------------------------------------


@EACH
async def test_the_window_is_sent_unchanged_with_every_page(
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


async def test_every_request_is_one_that_amazon_documents(large: Bench) -> None:
    large.http.headers["User-Agent"] = "seller-sync/0.1 (Language=Python; Platform=Linux)"
    await large.connector.check(connect(), large.waiting)
    for dataset in PAGED:
        await large.read(dataset, connect(marketplaces=(US, CANADA)))
        await large.read(dataset, window=large.window(dataset, days=400))
        await large.door("expire")
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


async def test_nobody_is_asked_about_a_person(bench: Bench) -> None:
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


async def test_dates_are_sent_in_utc_whatever_zone_they_came_in(bench: Bench) -> None:
    window = Window(
        datetime.fromisoformat("2026-02-01T09:00:00.999+09:00"),
        datetime.fromisoformat("2026-02-20T00:00:00-05:00"),
    )
    await bench.read(ORDERS, window=window)
    [call, *_] = await bench.calls("searchOrders")
    assert call["parameters"]["lastUpdatedAfter"] == "2026-02-01T00:00:00Z"
    assert call["parameters"]["lastUpdatedBefore"] == "2026-02-20T05:00:00Z"


async def test_the_default_windows_are_accepted_by_a_clock_two_minutes_behind(bench: Bench) -> None:
    for dataset in PAGED:
        window = bench.window(dataset)
        bench.jumping.time -= timedelta(seconds=4)
        await bench.read(dataset, window=window)
        bench.jumping.time += timedelta(seconds=4)


# Records ------------------------------------------------------------------------------------------

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
CASES = [(each, odd) for each in PAGED for odd in ODD[each.name]]


@pytest.mark.parametrize(("dataset", "odd"), CASES)
async def test_a_record_that_cannot_be_read_costs_itself(
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
    await assert_one_is_lost(bench, dataset, pages)


@pytest.mark.parametrize("instead", [None, 7, "order", [], {}])
@EACH
async def test_what_is_no_record_at_all_costs_itself(
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
    await assert_one_is_lost(bench, dataset, pages)


@pytest.mark.parametrize("new", [b'"\xff\xfe', b'"\xed\xa0\x80'])
@EACH
async def test_text_that_is_no_utf8_costs_its_record(
    bench: Bench, dataset: Dataset, new: bytes
) -> None:
    """Wherever it is: also in what we never look at."""
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
    await assert_one_is_lost(bench, dataset, pages)


async def assert_one_is_lost(bench: Bench, dataset: Dataset, pages: Sequence[Page]) -> None:
    [bad] = [record for page in pages for record in page.records if record.error]
    assert bad.id.startswith("unreadable-")
    assert bad.error is not None
    assert bad.error.startswith("Cannot be read: ")
    found = readable(pages)
    assert len(found) == len(set(found)) == await bench.count(dataset.name) - 1


async def test_a_broken_record_has_the_same_name_at_every_reading(bench: Bench) -> None:
    bench.wire.spoil = lambda request, response: (
        edited(response, lambda body: rows(body)[0].update(orderId=None))
        if is_data(request)
        else None
    )
    first = [each for each in ids(await bench.read(ORDERS)) if each.startswith("unreadable")]
    again = [each for each in ids(await bench.read(ORDERS)) if each.startswith("unreadable")]
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
async def test_what_is_odd_but_readable_is_read(
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


async def test_a_transaction_without_an_id_has_the_same_name_when_its_status_changes(
    bench: Bench,
) -> None:
    names: list[list[str]] = []

    def change(body: Any) -> None:
        for each in rows(body):
            each.update(transactionStatus=f"changed {len(names)} times")
            del each["transactionId"]

    bench.wire.spoil = lambda request, response: (
        edited(response, change) if is_data(request) else None
    )
    for _ in range(2):
        names.append(ids(await bench.read(TRANSACTIONS)))
    assert names[0] == names[1]
    assert len(set(names[0])) == await bench.count("transactions")
    assert all(each.startswith("unnamed-") for each in names[0])


@EACH
async def test_a_record_holds_the_bytes_that_came(bench: Bench, dataset: Dataset) -> None:
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
async def test_an_answer_that_is_no_page_is_retryable(bench: Bench, body: bytes) -> None:
    bench.wire.spoil = lambda request, _: (
        httpx.Response(200, content=body) if is_data(request) else None
    )
    with pytest.raises(Retryable, match="not what the API promises"):
        await bench.read(ORDERS)


async def test_an_answer_that_is_nested_without_end_is_retryable(bench: Bench) -> None:
    body = b'{"orders": [' + b"[" * 100_000 + b"]" * 100_000 + b"]}"
    bench.wire.spoil = lambda request, _: (
        httpx.Response(200, content=body) if is_data(request) else None
    )
    with pytest.raises(Retryable):
        await bench.read(ORDERS)


# How far, how long --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("dataset", "days"), [(ORDERS, 90), (INVENTORY, 90), (TRANSACTIONS, 90), (TRANSACTIONS, 400)]
)
async def test_the_share_grows_from_nothing_to_everything(
    large: Bench, dataset: Dataset, days: int
) -> None:
    window = large.window(dataset, days=days)
    pages = await large.read(dataset, connect(marketplaces=(US, CANADA)), window)
    shares = [page.share for page in pages]
    assert None not in shares
    known = [share or 0.0 for share in shares]
    assert known == sorted(known)
    assert known[0] < 0.6
    assert known[-1] == 1
    assert all(share < 1 for share in known[:-1])
    assert pages[-1].seconds_left is None


async def test_the_share_never_falls_when_a_part_is_read_again(large: Bench) -> None:
    pages = [page async for page in reading(large, TRANSACTIONS, lambda n: 301 if n == 7 else 0)]
    shares = [page.share or 0.0 for page in pages]
    assert len(pages) > 15
    assert shares == sorted(shares)


@pytest.mark.parametrize(
    ("days", "pages", "newest_first"), [(120, 60, False), (90, 44, True), (86, 30, False)]
)
async def test_at_half_way_the_end_is_known_within_a_tenth(
    days: int, pages: int, newest_first: bool
) -> None:
    """Sixty pages at true quotas: two hours. The seller began 85 days ago."""
    bench = Bench(Settings(orders=pages * 100))
    if newest_first:
        bench.wire.spoil = mirrored(bench)
    seen = []
    window = bench.window(ORDERS, days=days)
    async for page in bench.turn_pages(connect(), ORDERS, window, None, bench.waiting):
        seen.append((bench.clock.now(), page.seconds_left))
    assert len(seen) == pages
    assert set(await bench.statuses("searchOrders")) == {200}
    end = seen[-1][0]
    for at, left in seen[pages // 2 - 1 : pages // 2 + 2]:
        assert left == pytest.approx((end - at).total_seconds(), rel=0.1)


def mirrored(bench: Bench) -> Any:
    """As if the newest came first: each order gets the time of its mirror image in the window."""
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
