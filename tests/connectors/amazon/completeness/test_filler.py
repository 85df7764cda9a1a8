"""Reading missing orders from the sandbox."""

from collections.abc import Iterable
from datetime import date, timedelta

import httpx
import msgspec
import pytest

from connectors.amazon.completeness import plan
from connectors.amazon.completeness.plan import RESERVED
from connectors.amazon.orders.search import SEARCH_ORDERS
from connectors.amazon.single_orders import GET_ORDER
from connectors.amazon_sandbox import Settings
from connectors.base import ConnectionLost, ConnectorError, Page, Retryable, SourceError
from connectors.completing import DatasetDay, Gap, Gaps
from tests.connectors.amazon.bench import CANADA, UNLIMITED, US, Bench, connect
from tests.connectors.amazon.completeness.stored import SyncedSeller

pytestmark = pytest.mark.anyio


def gaps_of(bench: Bench, ids: Iterable[str], unknown: Iterable[date] = (), age: int = 20) -> Gaps:
    today = bench.clock.now().date()
    day = today - timedelta(days=age)
    gaps = [Gap(order, day, ("transactions",)) for order in ids]
    gaps += [Gap(f"{at}/X1", at, ("ledger",), identified=False) for at in unknown]
    days = [
        DatasetDay(
            at := today - timedelta(days=days_ago), "short", 2, sum(gap.day == at for gap in gaps)
        )
        for days_ago in range(60, -1, -1)
    ]
    return Gaps("orders", days, gaps)


def one_by_one(bench: Bench, ids: Iterable[str]) -> Gaps:
    """Gaps that are not searched, since the days are unknown."""
    return msgspec.structs.replace(gaps_of(bench, ids), days=())


async def order_ids(bench: Bench) -> list[str]:
    seller = SyncedSeller(bench, connect())
    await seller.sync()
    return sorted(seller.records["orders"])


async def filled(bench: Bench, gaps: Gaps) -> list[Page]:
    connection = connect(marketplaces=(US,))
    return [page async for page in bench.connector.fill(connection, gaps, bench.waiting)]


def failing(bench: Bench, status: int, code: str, path: str) -> None:
    body = {"errors": [{"code": code, "message": "no", "details": ""}]}

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        return httpx.Response(status, json=body) if path in request.url.path else None

    bench.wire.spoil = spoil


async def test_orders_are_read_by_id_with_the_version_of_other_reads(bench: Bench) -> None:
    ids = await order_ids(bench)
    seller = SyncedSeller(bench, connect())
    await seller.sync()
    pages = await filled(bench, one_by_one(bench, ids[:12]))
    found = {record.id: record for page in pages for record in page.records}
    assert sorted(found) == ids[:12]
    versions = {id: record.version for id, record in seller.records["orders"].items()}
    assert {id: record.version for id, record in found.items()} == {
        id: versions[id] for id in ids[:12]
    }
    assert all(page.cursor is None for page in pages)
    assert len(await bench.calls(GET_ORDER.name)) == 12


async def test_an_order_that_amazon_does_not_know_is_absent(bench: Bench) -> None:
    (page,) = await filled(bench, gaps_of(bench, ["111-1111111-1111111"]))
    assert (list(page.records), list(page.absent)) == ([], ["111-1111111-1111111"])


async def test_an_order_that_is_not_visible_yet_is_looked_for_again(bench: Bench) -> None:
    pages: list[Page] = []
    gaps = gaps_of(bench, ["111-1111111-1111111"], age=3)
    with pytest.raises(SourceError, match="getOrder"):
        async for page in bench.connector.fill(connect(), gaps, bench.waiting):
            pages.append(page)
    assert [list(page.absent) for page in pages] == [[]]


async def test_the_pages_say_how_long_the_rest_takes() -> None:
    bench = Bench(Settings(orders=120))
    ids = [f"111-1111111-{number:07}" for number in range(60)]
    gaps = one_by_one(bench, ids)
    left = [
        page.seconds_left async for page in bench.connector.fill(connect(), gaps, bench.waiting)
    ]
    assert left == [pytest.approx(seconds, abs=2) for seconds in (60, 60, 60, 40, 20, 0)]


async def test_an_order_of_another_marketplace_is_absent() -> None:
    bench = Bench(Settings(orders=60, quotas=UNLIMITED, marketplaces=(CANADA,)))
    seller = SyncedSeller(bench, connect(marketplaces=(CANADA,)))
    await seller.sync()
    (order,) = sorted(seller.records["orders"])[:1]
    (page,) = await filled(bench, gaps_of(bench, [order]))
    assert (list(page.records), list(page.absent)) == ([], [order])


async def test_many_orders_are_read_by_search_and_by_id() -> None:
    bench = Bench(Settings(orders=700))
    ids = await order_ids(bench)
    bench.jumping.time += timedelta(hours=2)
    gaps = SyncedSeller(bench, connect())
    await gaps.sync()
    for id in ids[::5]:
        del gaps.records["orders"][id]
    bench.jumping.time += timedelta(hours=2)
    before, after = await gaps.fill()
    assert before.missing > 100
    assert after.missing == 0
    searched = len(await bench.calls(SEARCH_ORDERS.name))
    assert searched
    assert gaps.fill_seconds < before.missing / GET_ORDER.rate / 2


async def test_a_day_of_unexplained_units_is_searched_once(bench: Bench) -> None:
    day = bench.clock.now().date() - timedelta(days=20)
    pages = await filled(bench, gaps_of(bench, [], [day]))
    assert [key for page in pages for key in page.absent] == [f"{day}/X1"]
    assert sum(len(page.records) for page in pages)
    assert await bench.calls(SEARCH_ORDERS.name)
    assert not await bench.calls(GET_ORDER.name)


async def test_a_refused_search_is_replaced_by_single_calls(bench: Bench) -> None:
    ids = await order_ids(bench)
    body = {"errors": [{"code": "Unauthorized", "message": "no", "details": ""}]}

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        searching = request.url.path == SEARCH_ORDERS.path
        return httpx.Response(403, json=body) if searching else None

    bench.wire.spoil = spoil
    found: list[str] = []
    day = bench.clock.now().date() - timedelta(days=20)
    with pytest.raises(SourceError, match="searchOrders"):
        async for page in bench.connector.fill(
            connect(), gaps_of(bench, ids[:5], [day]), bench.waiting
        ):
            found += [record.id for record in page.records]
    assert found == ids[:5]


@pytest.mark.parametrize(
    ("status", "code", "error", "calls"),
    [
        (400, "InvalidInput", SourceError, 3),
        (403, "Unauthorized", SourceError, 1),
        (503, "ServiceUnavailable", Retryable, 1),
    ],
)
async def test_a_fill_that_fails_stops_after_a_few_calls_and_says_why(
    bench: Bench, status: int, code: str, error: type[ConnectorError], calls: int
) -> None:
    failing(bench, status, code, "/orders/2026-01-01/orders/")
    ids = [f"111-1111111-{number:07}" for number in range(20)]
    with pytest.raises(error, match="getOrder"):
        await filled(bench, gaps_of(bench, ids))
    asked = {request.url.path for request in bench.wire.requests if "111-" in request.url.path}
    assert len(asked) == calls


async def test_no_more_orders_are_requested_than_the_quota_of_an_hour_allows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(plan, "HOUR", 20)
    bench = Bench(Settings(orders=60))
    ids = [f"111-1111111-{number:07}" for number in range(60)]
    absent: list[str] = []
    with pytest.raises(SourceError, match="getOrder allows 40 orders within an hour"):
        async for page in bench.connector.fill(connect(), one_by_one(bench, ids), bench.waiting):
            absent += page.absent
    assert (len(absent), len(await bench.calls(GET_ORDER.name))) == (40, 40)


async def test_an_answer_about_another_order_is_not_stored(bench: Bench) -> None:
    ids = await order_ids(bench)
    other = {"order": {"orderId": ids[1], "createdTime": "2026-01-01T00:00:00Z"}}
    bench.wire.spoil = lambda request, response: (
        httpx.Response(200, json=other) if "orders/111" in request.url.path else None
    )
    with pytest.raises(Retryable, match="getOrder"):
        await filled(bench, one_by_one(bench, [id for id in ids if id.startswith("111")][:2]))


async def test_a_revoked_connection_pauses_instead_of_leaving_gaps(bench: Bench) -> None:
    ids = await order_ids(bench)
    await bench.control("revoke", {"refreshToken": "Atzr|sandbox-1"})
    bench.restart()
    with pytest.raises(ConnectionLost):
        await filled(bench, gaps_of(bench, ids[:2]))


async def test_the_search_leaves_calls_for_the_next_sync() -> None:
    bench = Bench(Settings(orders=700))
    ids = await order_ids(bench)
    bench.jumping.time += timedelta(hours=5)
    await filled(bench, gaps_of(bench, ids[:200]))
    assert bench.client.bucket(connect(), SEARCH_ORDERS).level >= RESERVED
