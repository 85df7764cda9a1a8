"""Paging: tokens that expire or repeat, responses that are too large, and cursors."""

import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.amazon import pages as paging
from connectors.amazon.inventory import INVENTORY
from connectors.amazon.orders.search import ORDERS
from connectors.amazon.repeats import Endless
from connectors.amazon.transactions import TRANSACTIONS
from connectors.amazon_sandbox import Settings
from connectors.base import Cursor, Dataset, Page, Retryable, SourceError

from .bench import (
    CANADA,
    EACH,
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


# Tokens -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("dataset", "life"), [(INVENTORY, 30), (TRANSACTIONS, 300)])
@pytest.mark.parametrize("late", [3])
async def test_an_expired_token_restarts_its_part_and_loses_nothing(
    large: Bench, stocked: Bench, dataset: Dataset, life: float, late: int
) -> None:
    bench = stocked if dataset is INVENTORY else large
    pages = [page async for page in reading(bench, dataset, lambda n: life + 1 if n == late else 0)]
    operation = SOURCES[dataset.name].operation.name
    assert len(set(ids(pages))) == await bench.count(dataset.name)
    assert len(ids(pages)) > len(set(ids(pages)))
    assert (await bench.statuses(operation)).count(400) == 1
    assert [page.cursor is None for page in pages] == [False] * (len(pages) - 1) + [True]


async def test_a_token_that_has_not_expired_is_used(stocked: Bench) -> None:
    pages = [page async for page in reading(stocked, INVENTORY, lambda n: 29)]
    assert len(pages) == 5
    assert set(await stocked.statuses("getInventorySummaries")) == {200}


async def test_tokens_that_always_expire_are_retryable_and_not_an_endless_loop(
    stocked: Bench,
) -> None:
    with pytest.raises(Retryable, match="expired 6 times"):
        async for _ in reading(stocked, INVENTORY, lambda n: 31):
            pass


@pytest.mark.parametrize("position", [4])
@pytest.mark.parametrize("dataset", [ORDERS, INVENTORY])
async def test_a_page_that_is_always_refused_ends_the_read(
    large: Bench, stocked: Bench, dataset: Dataset, position: int
) -> None:
    """Wherever the page is, and however small the request."""
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


# Responses that are too large -------------------------------------------------------------------


async def largest(bench: Bench, dataset: Dataset) -> int:
    """Bytes of the largest page if nothing is refused."""
    sizes = [0]

    def measure(request: httpx.Request, response: httpx.Response) -> None:
        sizes.append(len(response.content) if is_data(request) else 0)

    bench.wire.spoil = measure
    await bench.read(dataset)
    bench.wire.spoil = lambda request, response: None
    return max(sizes)


@pytest.mark.parametrize("share", [0.9, 0.1])
@pytest.mark.parametrize("dataset", [ORDERS, TRANSACTIONS])
async def test_a_response_that_is_too_large_is_read_in_smaller_ones(
    dataset: Dataset, share: float
) -> None:
    bench = Bench(Settings(orders=300, quotas=UNLIMITED))
    most = int(share * await largest(bench, dataset))
    await bench.control("reset")
    await bench.control("faults", {"largestAnswer": most})
    bench.restart()
    window = bench.window(dataset)
    pages = await bench.read(dataset, window=window)
    assert len(set(ids(pages))) == await bench.count(dataset.name)
    if dataset is ORDERS:  # smaller pages continue with the same token: no order comes twice
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
async def test_a_response_that_cannot_be_made_small_enough_is_refused(
    large: Bench, dataset: Dataset, calls: int
) -> None:
    await large.control("faults", {"largestAnswer": 10})
    with pytest.raises(SourceError, match="HTTP 400 InvalidInput"):
        await large.read(dataset)
    statuses = await large.statuses(SOURCES[dataset.name].operation.name)
    assert statuses == [400] * calls


async def test_pages_grow_again_after_a_response_that_was_too_large(large: Bench) -> None:
    """Only some orders in the middle are large: each refusal is followed by one smaller page."""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not is_data(request) or response.status_code != 200:
            return None
        orders = rows(json.loads(response.content))
        times = [order["lastUpdatedTime"] for order in orders]
        inside = [time for time in times if since <= time <= until]
        return httpx.Response(400, json={"errors": []}) if len(inside) > 20 else None

    now = large.clock.now()
    since, until = (str(now - timedelta(days=days)).replace(" ", "T") for days in (50, 40))
    large.wire.spoil = spoil
    pages = await large.read(ORDERS)
    assert len(ids(pages)) == len(set(ids(pages))) == 1_250
    sizes = [int(c["parameters"]["maxResultsPerPage"]) for c in await large.calls("searchOrders")]
    assert sizes[0] == 100 and min(sizes) == paging.SMALL_PAGE and sizes[-1] == 100


def named(request: httpx.Request, text: str) -> httpx.Response | None:
    """Refuse the optional parameter with this message."""
    if not is_data(request) or "includedData" not in request.url.params:
        return None
    errors = [{"code": "InvalidInput", "message": text}]
    return httpx.Response(400, json={"errors": errors})


@pytest.mark.parametrize(
    ("text", "calls"), [("Invalid Input", 2), ("Invalid value for [includedData]", 1)]
)
async def test_orders_are_read_without_a_refused_optional_parameter_and_the_user_is_informed(
    large: Bench, text: str, calls: int
) -> None:
    whole = [record for page in await large.read(ORDERS) for record in page.records]
    large.wire.spoil = lambda request, _: named(request, text)
    large.wire.requests.clear()
    pages: list[Page] = []
    with pytest.raises(Endless, match="searchOrders refused includedData"):
        reading = large.read_pages(connect(), ORDERS, large.window(ORDERS), None, large.waiting)
        async for page in reading:
            pages.append(page)
    assert ids(pages) == [record.id for record in whole]
    asked = [record for record in large.wire.requests if is_data(record)]
    assert sum("includedData" in request.url.params for request in asked) == calls
    assert len(asked) == calls + len(pages)
    bare = [record for page in pages for record in page.records]
    pairs = zip(whole, bare, strict=True)
    assert all(one.version != other.version for one, other in pairs)


@pytest.mark.parametrize("position", [2, 5])
async def test_transactions_are_read_whichever_page_of_a_stretch_is_refused(
    large: Bench, position: int
) -> None:
    """Like Amazon's finances v0: any page may be refused, without a reason."""
    since_start = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal since_start
        if not is_data(request):
            return None
        since_start = since_start + 1 if "nextToken" in request.url.params else 1
        return httpx.Response(400, json={"errors": []}) if since_start >= position else None

    large.wire.spoil = spoil
    read = ids(await large.read(TRANSACTIONS))
    assert len(set(read)) == await large.count("transactions")


async def test_a_refusal_that_names_the_token_does_not_shorten_the_time_span(
    large: Bench,
) -> None:
    pages = [page async for page in reading(large, TRANSACTIONS, lambda n: 301 if n == 3 else 0)]
    spans = {
        (call["parameters"]["postedAfter"], call["parameters"]["postedBefore"])
        for call in await large.calls("listTransactions")
    }
    assert pages and len(spans) == 1


# Repeated tokens and pages ----------------------------------------------------------------------


def with_token(token: Callable[[int], str | None]) -> Any:
    """Replace the next token of the n-th page."""
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
        if response.status_code == 400:  # the test's own token: any page will do
            response = httpx.Response(200, json=EMPTY[request.url.path.split("/")[1]])
        return edited(response, edit)

    return spoil


EMPTY: dict[str, Any] = {
    "orders": {"orders": []},
    "fba": {"payload": {"inventorySummaries": []}},
    "finances": {"payload": {"transactions": []}},
}


def most(dataset: Dataset) -> int:
    """How many pages in a row may be empty."""
    return SOURCES[dataset.name].most_empty


async def until_endless(bench: Bench, dataset: Dataset) -> list[Page]:
    """The pages until Endless; the last one has share 1 and a cursor."""
    pages = []
    reading = bench.read_pages(connect(), dataset, bench.window(dataset), None, bench.waiting)
    with pytest.raises(Endless, match="keeps returning a next page"):
        async for page in reading:
            pages.append(page)
    assert pages[-1].cursor and pages[-1].share == 1.0
    bench.restart()
    with pytest.raises(Endless):
        assert await bench.read(dataset, cursor=pages[-1].cursor) == []
    return pages


@EACH
@pytest.mark.parametrize("cycle", ["A", "AB", "ABCDE"])
async def test_repeated_tokens_over_empty_pages_end_their_part(
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
async def test_pages_that_repeat_in_a_cycle_end_their_part(
    bench: Bench, dataset: Dataset, cycle: int, tokens: str
) -> None:
    count, bodies = 0, list[bytes]()

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal count
        if not is_data(request):
            return None
        if not bodies:
            bodies.append(response.content)
        position, count = count % cycle, count + 1
        token = f"token-{count}" if tokens == "new" else f"token-{position}"

        def edit(body: Any) -> None:
            records = rows(body)
            size = -(-len(records) // 7)
            records[:] = records[position * size : (position + 1) * size]
            holder = body["payload"] if "transactions" in body.get("payload", {}) else body
            named = {"nextToken": token}
            holder.update(named if holder is not body else {"pagination": named})

        return edited(httpx.Response(200, content=bodies[0]), edit)

    bench.wire.spoil = spoil
    pages = await until_endless(bench, dataset)
    assert len(pages) == cycle + 2
    assert len(set(ids(pages[:cycle]))) == len(ids(pages[:cycle]))


async def test_an_endless_part_does_not_affect_the_next_one() -> None:
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
    pages: list[Page] = []
    with pytest.raises(Endless):
        connection = connect(marketplaces=(US, CANADA))
        window = bench.window(INVENTORY)
        async for page in bench.read_pages(connection, INVENTORY, window, None, bench.waiting):
            pages.append(page)
    assert number == 2 and len(ids(pages)) > 10


@pytest.mark.parametrize("token", [None, ""])
@EACH
async def test_a_page_without_a_token_is_the_last(
    bench: Bench, dataset: Dataset, token: str | None
) -> None:
    bench.wire.spoil = with_token(lambda number: token)
    assert len(await bench.read(dataset)) == 1


async def test_a_token_may_be_the_same_in_two_marketplaces(bench: Bench) -> None:
    bench.wire.spoil = with_token(lambda number: "page-2" if number % 2 else None)
    pages = await bench.read(INVENTORY, connect(marketplaces=(US, CANADA)))
    assert len(pages) == 4


# Cursors ----------------------------------------------------------------------------------------


@EACH
async def test_a_read_resumes_from_any_cursor(dataset: Dataset) -> None:
    places = (US, CANADA)
    bench = Bench(Settings(orders=600, marketplaces=places, quotas=UNLIMITED))
    connection = connect(marketplaces=places)
    window = bench.window(dataset)
    pages = await bench.read(dataset, connection, window)
    for number, page in enumerate(pages[:-1], 1):
        bench.restart()
        rest = await bench.read(dataset, connection, window, page.cursor)
        assert ids(rest) == ids(pages[number:])
        assert [page.share for page in rest] == [page.share for page in pages[number:]]


CURSORS = ["", "x", "null", "7", "[]", '"5"', '{"part":-1}', '{"part":99}', '{"part":"a"}']
CURSORS += ['{"oldest":"2026-01-01T00:00:00"}', '{"oldest":7}', "\ud800", '{"token":5}']


@pytest.mark.parametrize("cursor", CURSORS)
async def test_an_invalid_cursor_starts_from_the_beginning(bench: Bench, cursor: str) -> None:
    pages = await bench.read(ORDERS, cursor=Cursor(cursor))
    assert len(ids(pages)) == await bench.count("orders")


@EACH
async def test_an_unknown_token_in_a_cursor_restarts_its_part(
    bench: Bench, dataset: Dataset
) -> None:
    pages = await bench.read(dataset, cursor=Cursor('{"token":"old","pages":3,"share":0.5}'))
    assert len(ids(pages)) == await bench.count(dataset.name)
