"""Orders by reports and search together: every one, once, from each cursor the rest."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon.datasets import ORDERS, SEARCH_ORDERS
from connectors.amazon.orders import A_DAY
from connectors.amazon.pages import stamp
from connectors.amazon_sandbox import Settings
from connectors.base import Connection, Cursor, Page, SourceError, Unknowable, Window

from .bench import CANADA, MEXICO, UNLIMITED, US, Bench, connect, ids, is_data

pytestmark = pytest.mark.anyio

MANY = {A_DAY: "500"}
"""So much was learned that reports are the way."""


def data(pages: Sequence[Page]) -> dict[str, dict[str, Any]]:
    return {r.id: msgspec.json.decode(r.data) for page in pages for r in page.records}


def learned(pages: Sequence[Page]) -> dict[str, str]:
    return {key: value for page in pages for key, value in page.learned.items()}


@pytest.mark.parametrize("size", [0, 1, 300, 2_500])
@pytest.mark.parametrize("known", [{}, MANY, {A_DAY: "3"}], ids=["new", "many", "few"])
async def test_every_order_comes_once_whichever_way(size: int, known: dict[str, str]) -> None:
    bench = Bench(Settings(quotas=UNLIMITED))
    found = ids(await bench.sync(ORDERS, connect(f"1-{size}", **known)))
    assert len(found) == len(set(found)) == size
    assert bool(bench.ordered()) == (known != {A_DAY: "3"})


async def test_what_is_learned_chooses_the_next_way() -> None:
    bench = Bench(Settings(quotas=UNLIMITED))
    pages = await bench.sync(ORDERS, connect("1-300"))
    told = learned(pages)
    assert float(told[A_DAY]) == pytest.approx(300 / 90, abs=0.1)
    windows = {"orders": bench.window(ORDERS)}
    before = bench.connector.plan(connect("1-300"), windows)["orders"]
    after = bench.connector.plan(connect("1-300", **told), windows)["orders"]
    assert (before.name, after.name) == ("reports and searchOrders", "searchOrders")


async def test_a_few_hours_teach_nothing_of_a_day() -> None:
    bench = Bench(Settings(quotas=UNLIMITED))
    window = bench.window(ORDERS, hours=3)
    assert A_DAY not in learned(await bench.sync(ORDERS, connect("1-300"), window))


@pytest.mark.parametrize("known", [{}, {A_DAY: "3"}], ids=["reports", "search"])
async def test_from_every_cursor_comes_the_rest(known: dict[str, str]) -> None:
    bench = Bench(Settings(quotas=UNLIMITED))
    connection = connect("1-1250", **known)
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
async def test_where_a_report_tells_nothing_search_does(fault: str) -> None:
    bench = Bench(Settings(orders=600, quotas=UNLIMITED))
    await bench.door("faults", {fault: 0.6})
    window = bench.window(ORDERS)
    pages = await bench.sync(ORDERS, connect(), window)
    assert len(set(ids(pages))) == 600
    for number, page in enumerate(pages[:-1], 1):
        if number < 6:  # two pages for each
            continue  # not all are ordered yet: what was cancelled is asked for again
        bench.restart()
        rest = await bench.sync(ORDERS, connect(), window, page.cursor)
        assert ids(rest) == ids(pages[number:])


@pytest.mark.parametrize("days", [33, 62, 93, 200])
async def test_long_windows_are_split_and_nothing_is_missing_or_double(days: int) -> None:
    bench = Bench(Settings(orders=600, quotas=UNLIMITED))
    window = bench.window(ORDERS, days=days)
    found = ids(await bench.sync(ORDERS, connect(**MANY), window))
    alone = ids(await bench.read(ORDERS, connect(), window))
    assert sorted(found) == sorted(alone)
    assert len(bench.ordered()) == -(-(days - 2) // 30)


async def test_orders_have_the_shape_of_search_and_no_place_of_a_buyer() -> None:
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


async def test_several_marketplaces_come_in_one_report_and_only_those_asked_for() -> None:
    places = (US, CANADA, MEXICO)
    bench = Bench(Settings(orders=600, marketplaces=places, quotas=UNLIMITED))
    found = ids(await bench.sync(ORDERS, connect(marketplaces=places)))
    assert len(found) == len(set(found)) == 600
    assert len(bench.ordered()) == 3
    some = ids(await bench.sync(ORDERS, connect(marketplaces=(CANADA,), **MANY)))
    alone = ids(await bench.read(ORDERS, connect(marketplaces=(CANADA,))))
    assert sorted(some) == sorted(alone)


async def test_an_order_that_cannot_be_read_costs_itself_and_keeps_no_place() -> None:
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
    """A document whose second line has a quantity that is no number."""

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
async def test_a_seller_of_very_many_orders_is_not_searched_for_two_days(
    bench: Bench, hours: float, more: bool, searched: timedelta
) -> None:
    """What the first page of a hundred shows: how many hours it covers, whether there is more."""
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
    for _ in range(6):  # three reports, each announced and ordered
        await anext(reading)
    assert len([each for each in bench.wire.requests if is_data(each)]) == 1
    assert bench.ordered()[-1]["dataEndTime"] == stamp(window.until - searched)


async def timed(bench: Bench, connection: Connection) -> tuple[list[tuple[float, Page]], float]:
    """Each page with the seconds since the beginning, and the whole time."""
    begun = bench.clock.now()
    pages = []
    window = bench.window(ORDERS)
    async for page in bench.connector.read(connection, ORDERS, window, None, bench.waiting):
        pages.append(((bench.clock.now() - begun).total_seconds(), page))
    return pages, (bench.clock.now() - begun) / timedelta(seconds=1)


@pytest.mark.parametrize("known", [{}, MANY], ids=["new", "many"])
async def test_a_backfill_takes_about_as_long_as_said(known: dict[str, str]) -> None:
    """Six thousand orders at true quotas; alone, searchOrders takes two hours."""
    bench = Bench(Settings(orders=6_000))
    pages, seconds = await timed(bench, connect(**known))
    assert len(set(ids([page for _, page in pages]))) == 6_000
    assert seconds < 120
    assert {call["status"] for call in await bench.calls()} == {200, 202}
    at, page = [each for each in pages if each[0] <= seconds / 2][-1]
    assert at + (page.seconds_left or 0.0) == pytest.approx(seconds, rel=0.1)


# Where search is refused --------------------------------------------------------------------------


async def until_lacking(
    bench: Bench, connection: Connection, window: Window, cursor: Cursor | None = None
) -> tuple[list[Page], str]:
    """The pages, and what is said to be missing in the end."""
    pages: list[Page] = []
    with pytest.raises(Unknowable) as raised:
        async for page in bench.connector.read(connection, ORDERS, window, cursor, bench.waiting):
            pages.append(page)
    return pages, str(raised.value)


def refuses(bench: Bench, status: int, *paths: str) -> None:
    """From now on these are refused, whatever is asked."""
    error = {"code": "InvalidInput", "message": "Invalid Input"}
    bench.wire.spoil = lambda request, _: (
        httpx.Response(status, json={"errors": [error]})
        if request.url.path.startswith(paths)
        else None
    )


@pytest.mark.parametrize(("status", "calls"), [(400, 3), (403, 1)])
@pytest.mark.parametrize("known", [{}, MANY, {A_DAY: "3"}], ids=["new", "many", "few"])
async def test_where_search_is_refused_reports_tell_of_the_orders(
    status: int, calls: int, known: dict[str, str]
) -> None:
    """Not all of them, perhaps: a report may lack the newest ones, and that is said."""
    bench = Bench(Settings(orders=600, quotas=UNLIMITED))
    refuses(bench, status, SEARCH_ORDERS.path)
    connection, window = connect(**known), bench.window(ORDERS)
    pages, why = await until_lacking(bench, connection, window)
    found = ids(pages)
    assert len(found) == len(set(found)) > 580
    assert "searchOrders: HTTP" in why and "may not hold all" in why
    asked = [each for each in bench.wire.requests if is_data(each)]
    assert len(asked) == calls
    assert all(page.cursor for page in pages)
    for number in {1, len(pages) // 2, len(pages)}:
        bench.restart()
        rest, again = await until_lacking(bench, connection, window, pages[number - 1].cursor)
        assert (ids(rest), again) == (ids(pages[number:]), why)
    asked = [each for each in bench.wire.requests if is_data(each)]
    assert len(asked) <= 3 * calls, "again only where the refusal was not kept yet"


async def test_where_search_and_reports_are_refused_the_first_refusal_is_told(bench: Bench) -> None:
    refuses(bench, 400, SEARCH_ORDERS.path, "/reports/")
    with pytest.raises(SourceError, match="searchOrders: HTTP 400"):
        await bench.sync(ORDERS)
    assert len([each for each in bench.wire.requests if is_data(each)]) == 3


async def test_a_search_without_end_does_not_cost_the_past() -> None:
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
    assert count == 2 and "searchOrders names further pages without end" in why
    assert len(set(ids(pages))) > 550


async def test_what_neither_report_nor_search_tells_does_not_cost_the_other_reports() -> None:
    bench = Bench(Settings(orders=600, quotas=UNLIMITED))
    await bench.door("faults", {"fatalReports": 0.5})
    refuses(bench, 400, SEARCH_ORDERS.path)
    pages, why = await until_lacking(bench, connect(**MANY), bench.window(ORDERS))
    assert 100 < len(set(ids(pages))) < 600
    assert "searchOrders: HTTP 400" in why
