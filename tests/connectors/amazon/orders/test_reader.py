"""Orders by reports and search: every order once, and a read resumes from any cursor."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon.orders.reader import A_DAY
from connectors.amazon.orders.search import ORDERS, SEARCH_ORDERS
from connectors.amazon.times import stamp
from connectors.amazon_sandbox import Settings
from connectors.base import Connection, Cursor, Page, SourceError, Unknowable, Window
from tests.connectors.amazon.bench import (
    CANADA,
    MEXICO,
    UNLIMITED,
    US,
    Bench,
    connect,
    ids,
    is_data,
)

pytestmark = pytest.mark.anyio

MANY = {A_DAY: "500"}
"""A learned number of orders for which reports are faster."""


def data(pages: Sequence[Page]) -> dict[str, dict[str, Any]]:
    return {r.id: msgspec.json.decode(r.data) for page in pages for r in page.records}


def learned(pages: Sequence[Page]) -> dict[str, str]:
    return {key: value for page in pages for key, value in page.learned.items()}


@pytest.mark.parametrize("size", [0, 1, 300, 2_500])
@pytest.mark.parametrize("hints", [{}, MANY, {A_DAY: "3"}], ids=["new", "many", "few"])
async def test_every_order_is_read_once_by_either_way(size: int, hints: dict[str, str]) -> None:
    bench = Bench(Settings(quotas=UNLIMITED))
    order_ids = ids(await bench.sync(ORDERS, connect(f"1-{size}", **hints)))
    assert len(order_ids) == len(set(order_ids)) == size
    assert bool(bench.ordered()) == (hints != {A_DAY: "3"})


async def test_the_learned_number_of_orders_changes_the_next_plan() -> None:
    bench = Bench(Settings(quotas=UNLIMITED))
    pages = await bench.sync(ORDERS, connect("1-300"))
    facts = learned(pages)
    assert float(facts[A_DAY]) == pytest.approx(300 / 90, abs=0.1)
    windows = {"orders": bench.window(ORDERS)}
    before = bench.connector.plan(connect("1-300"), windows)["orders"]
    after = bench.connector.plan(connect("1-300", **facts), windows)["orders"]
    assert (before.name, after.name) == ("reports and searchOrders", "searchOrders")


async def test_a_window_of_hours_does_not_estimate_the_orders_per_day() -> None:
    bench = Bench(Settings(quotas=UNLIMITED))
    window = bench.window(ORDERS, hours=3)
    assert A_DAY not in learned(await bench.sync(ORDERS, connect("1-300"), window))


@pytest.mark.parametrize("hints", [{}, {A_DAY: "3"}], ids=["reports", "search"])
async def test_a_read_resumes_from_any_cursor(hints: dict[str, str]) -> None:
    bench = Bench(Settings(quotas=UNLIMITED))
    connection = connect("1-800", **hints)
    window = bench.window(ORDERS)
    pages = await bench.sync(ORDERS, connection, window)
    ordered = len(bench.ordered())
    assert len(pages) > 6
    for number, page in enumerate(pages[:-1], 1):
        bench.restart()
        rest = await bench.sync(ORDERS, connection, window, page.cursor)
        assert ids(rest) == ids(pages[number:])
        assert rest[-1].cursor is None
    assert len(bench.ordered()) == ordered
    shares = [page.share or 0.0 for page in pages]
    assert shares == sorted(shares)
    assert shares[-1] == 1


@pytest.mark.parametrize("fault", ["cancelledReports", "fatalReports", "headerOnlyReports"])
async def test_the_span_of_a_failed_report_is_searched(fault: str) -> None:
    bench = Bench(Settings(orders=600, quotas=UNLIMITED))
    await bench.control("faults", {fault: 0.6})
    window = bench.window(ORDERS)
    pages = await bench.sync(ORDERS, connect(), window)
    assert len(set(ids(pages))) == 600
    for number, page in enumerate(pages[:-1], 1):
        if number < 7:  # the first of the search, then two per report
            continue  # not all are ordered yet, and cancelled ones are ordered again
        bench.restart()
        rest = await bench.sync(ORDERS, connect(), window, page.cursor)
        assert ids(rest) == ids(pages[number:])


@pytest.mark.parametrize("days", [33, 62, 93, 200])
async def test_long_windows_are_split_without_missing_or_duplicate_orders(days: int) -> None:
    bench = Bench(Settings(orders=600, quotas=UNLIMITED))
    window = bench.window(ORDERS, days=days)
    order_ids = ids(await bench.sync(ORDERS, connect(**MANY), window))
    alone = ids(await bench.read(ORDERS, connect(), window))
    assert sorted(order_ids) == sorted(alone)
    assert len(bench.ordered()) == -(-(days - 2) // 30)


async def test_orders_of_reports_have_the_shape_of_searched_ones_without_addresses() -> None:
    bench = Bench(Settings(orders=300, quotas=UNLIMITED))
    by_report = data(await bench.sync(ORDERS, connect(**MANY)))
    by_search = data(await bench.read(ORDERS))
    several = 0
    for key, order in by_report.items():
        same = by_search[key]
        assert same["fulfillment"].items() >= order["fulfillment"].items()
        assert order["createdTime"][:19] == same["createdTime"][:19]
        assert order["lastUpdatedTime"][:19] == same["lastUpdatedTime"][:19]
        assert len(order["orderItems"]) == len(same["orderItems"])
        several += len(order["orderItems"]) > 1
        if order.get("source") == "report":
            assert "exampleville" not in str(order).lower()
            for ours, theirs in zip(order["orderItems"], same["orderItems"], strict=True):
                assert ours["product"]["sellerSku"] == theirs["product"]["sellerSku"]
    assert several


async def test_one_report_contains_the_marketplaces_of_the_connection_only() -> None:
    places = (US, CANADA, MEXICO)
    bench = Bench(Settings(orders=600, marketplaces=places, quotas=UNLIMITED))
    order_ids = ids(await bench.sync(ORDERS, connect(marketplaces=places)))
    assert len(order_ids) == len(set(order_ids)) == 600
    assert len(bench.ordered()) == 3
    some = ids(await bench.sync(ORDERS, connect(marketplaces=(CANADA,), **MANY)))
    alone = ids(await bench.read(ORDERS, connect(marketplaces=(CANADA,))))
    assert sorted(some) == sorted(alone)


async def test_an_unreadable_order_fails_alone_and_contains_no_address() -> None:
    bench = Bench(Settings(orders=120, quotas=UNLIMITED))
    done: list[httpx.Request] = []

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not request.url.path.startswith("/_documents/") or done:
            return None
        done.append(request)
        return httpx.Response(200, stream=_Spoilt(response))

    bench.wire.spoil = spoil
    pages = await bench.sync(ORDERS, connect(**MANY))
    bad = [record for page in pages for record in page.records if record.error]
    assert len(bad) == 1
    assert b"xampleville" not in bad[0].data
    assert len(set(ids(pages))) == 120


class _Spoilt(httpx.AsyncByteStream):
    """A document whose second line has an invalid quantity."""

    def __init__(self, response: httpx.Response) -> None:
        self.response = response

    async def __aiter__(self) -> Any:
        whole = b"".join([part async for part in self.response.aiter_raw()])
        header, first, *rest = whole.split(b"\r\n")
        cells = first.split(b"\t")
        cells[header.split(b"\t").index(b"quantity")] = b"many"
        yield b"\r\n".join([header, b"\t".join(cells), *rest])


@pytest.mark.parametrize(
    ("hours", "more", "searched"),
    [
        (5, True, timedelta(days=2)),
        (1, True, timedelta(hours=10)),
        (0.1, True, timedelta(hours=6)),
        (0.1, False, timedelta(days=2)),
    ],
)
async def test_for_a_seller_of_many_orders_the_search_is_shorter_than_two_days(
    bench: Bench, hours: float, more: bool, searched: timedelta
) -> None:
    """By the first page of a hundred: the hours that it covers, and whether a page follows."""
    window = bench.window(ORDERS)
    turn = window.until - timedelta(days=2)

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if request.url.path != SEARCH_ORDERS.path:
            return None
        template = json.loads(response.content)["orders"][0]
        moments = [turn + timedelta(hours=hours) * number / 99 for number in range(100)]
        orders = [
            {**template, "orderId": str(number), "lastUpdatedTime": moment.isoformat()}
            for number, moment in enumerate(moments)
        ]
        return httpx.Response(200, json={"orders": orders, **answer})

    answer = {"pagination": {"nextToken": "more"}} if more else {}
    bench.wire.spoil = spoil
    reading = bench.connector.read(connect(), ORDERS, window, None, bench.waiting)
    for _ in range(7):  # the first of the search, then two for each of three reports
        await anext(reading)
    assert len([request for request in bench.wire.requests if is_data(request)]) == 1
    assert bench.ordered()[-1]["dataEndTime"] == stamp(window.until - searched)


@pytest.mark.parametrize("orders", [3, 1250], ids=["few", "many"])
async def test_a_crash_does_not_repeat_the_call_that_estimates_the_number_of_orders(
    orders: int,
) -> None:
    """searchOrders refills once in three minutes: workers that die again and again would use up its
    quota before a page is stored."""
    bench = Bench(Settings(orders=orders, quotas=UNLIMITED))
    window = bench.window(ORDERS)
    first = await anext(bench.connector.read(connect(), ORDERS, window, None, bench.waiting))
    for _ in range(3):
        bench.restart()
        rest = bench.connector.read(connect(), ORDERS, window, first.cursor, bench.waiting)
        await anext(rest)
    assert len([request for request in bench.wire.requests if is_data(request)]) == 1


async def timed(bench: Bench, connection: Connection) -> tuple[list[tuple[float, Page]], float]:
    """Each page with the seconds since the start, and the total duration."""
    begun = bench.clock.now()
    pages = []
    window = bench.window(ORDERS)
    async for page in bench.connector.read(connection, ORDERS, window, None, bench.waiting):
        pages.append(((bench.clock.now() - begun).total_seconds(), page))
    return pages, (bench.clock.now() - begun) / timedelta(seconds=1)


@pytest.mark.parametrize("hints", [{}, MANY], ids=["new", "many"])
async def test_a_backfill_takes_about_as_long_as_estimated(hints: dict[str, str]) -> None:
    """Six thousand orders at the published quotas; searchOrders alone takes two hours."""
    bench = Bench(Settings(orders=6_000))
    pages, seconds = await timed(bench, connect(**hints))
    assert len(set(ids([page for _, page in pages]))) == 6_000
    assert seconds < 120
    assert {call["status"] for call in await bench.calls()} == {200, 202}
    at, page = [page for page in pages if page[0] <= seconds / 2][-1]
    assert at + (page.seconds_left or 0.0) == pytest.approx(seconds, rel=0.1)


# Where search is refused --------------------------------------------------------------------------


async def until_lacking(
    bench: Bench, connection: Connection, window: Window, cursor: Cursor | None = None
) -> tuple[list[Page], str]:
    """The pages, and the final error about what is missing."""
    pages: list[Page] = []
    with pytest.raises(Unknowable) as raised:
        async for page in bench.connector.read(connection, ORDERS, window, cursor, bench.waiting):
            pages.append(page)
    return pages, str(raised.value)


def refuses(bench: Bench, status: int, *paths: str) -> None:
    """Refuse every request to these paths from now on."""
    error = {"code": "InvalidInput", "message": "Invalid Input"}
    bench.wire.spoil = lambda request, _: (
        httpx.Response(status, json={"errors": [error]})
        if request.url.path.startswith(paths)
        else None
    )


@pytest.mark.parametrize(("status", "calls"), [(400, 3), (403, 1)])
@pytest.mark.parametrize("hints", [{}, MANY, {A_DAY: "3"}], ids=["new", "many", "few"])
async def test_if_the_search_is_refused_reports_take_its_place(
    status: int, calls: int, hints: dict[str, str]
) -> None:
    """A report may lack the newest orders, which the error says."""
    bench = Bench(Settings(orders=600, quotas=UNLIMITED))
    refuses(bench, status, SEARCH_ORDERS.path)
    connection, window = connect(**hints), bench.window(ORDERS)
    pages, why = await until_lacking(bench, connection, window)
    order_ids = ids(pages)
    assert len(order_ids) == len(set(order_ids)) > 580
    assert "searchOrders: HTTP" in why and "may not contain all" in why
    asked = [request for request in bench.wire.requests if is_data(request)]
    assert len(asked) == calls
    assert all(page.cursor for page in pages)
    for number in {1, len(pages) // 2, len(pages)}:
        bench.restart()
        rest, again = await until_lacking(bench, connection, window, pages[number - 1].cursor)
        assert (ids(rest), again) == (ids(pages[number:]), why)
    asked = [request for request in bench.wire.requests if is_data(request)]
    assert len(asked) <= 3 * calls, "only repeated if the refusal was not stored yet"


async def test_if_search_and_reports_are_refused_the_first_refusal_is_raised(bench: Bench) -> None:
    refuses(bench, 400, SEARCH_ORDERS.path, "/reports/")
    with pytest.raises(SourceError, match="searchOrders: HTTP 400"):
        await bench.sync(ORDERS)
    assert len([request for request in bench.wire.requests if is_data(request)]) == 3


async def test_an_endless_search_does_not_affect_the_reports() -> None:
    bench = Bench(Settings(orders=600, quotas=UNLIMITED))
    count = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal count
        if not is_data(request):
            return None
        count += 1
        body = {"orders": [], "pagination": {"nextToken": f"token-{count}"}}
        return httpx.Response(200, json=body)

    bench.wire.spoil = spoil
    pages, why = await until_lacking(bench, connect(**MANY), bench.window(ORDERS))
    assert count == 2 and "searchOrders keeps returning a next page" in why
    assert len(set(ids(pages))) > 550


async def test_a_span_without_report_and_search_does_not_affect_the_other_reports() -> None:
    bench = Bench(Settings(orders=600, quotas=UNLIMITED))
    await bench.control("faults", {"fatalReports": 0.5})
    refuses(bench, 400, SEARCH_ORDERS.path)
    pages, why = await until_lacking(bench, connect(**MANY), bench.window(ORDERS))
    assert 100 < len(set(ids(pages))) < 600
    assert "searchOrders: HTTP 400" in why
