"""Reports of several marketplaces."""

import json
from collections.abc import Sequence
from datetime import datetime, timedelta

import httpx
import pytest

from connectors.amazon.reports import desk
from connectors.amazon.reports.documents import Part
from connectors.amazon.reports.kinds import (
    FEES,
    KINDS,
    STOCK,
)
from connectors.amazon.reports.tables import Row
from connectors.amazon_sandbox import Settings
from connectors.base import (
    Cursor,
    Page,
    Unknowable,
)
from tests.connectors.amazon.bench import CANADA, MEXICO, UNLIMITED, US, Bench, connect, ids
from tests.connectors.amazon.reports.documents import (
    rows,
)

pytestmark = pytest.mark.anyio

NORTH = (US, CANADA, MEXICO)
GERMANY, FRANCE, ITALY, BRITAIN = (
    "A1PA6795UKMFR9",
    "A13V1IB3VIYZZH",
    "APJ6JRA9NG5V4",
    "A1F83G8C2ARO7P",
)
SOUTH = (GERMANY, FRANCE, ITALY)


def american_bench() -> Bench:
    return Bench(Settings(orders=120, marketplaces=NORTH, quotas=UNLIMITED))


def without_report_limit() -> Bench:
    """As if Amazon made reports of the same type at any time."""
    bench = Bench(Settings(orders=120, marketplaces=NORTH, quotas=UNLIMITED, speed=1e5))
    bench.wire.delay = 0.1
    return bench


async def stocked(
    bench: Bench, places: Sequence[str] = NORTH, cursor: Cursor | None = None
) -> tuple[list[Page], str]:
    """The pages of a read of the stock, and its final error."""
    pages: list[Page] = []
    connection, window = connect(marketplaces=places), bench.window(STOCK)
    try:
        async for page in bench.read_pages(connection, STOCK, window, cursor, bench.waiting):
            pages.append(page)
    except Unknowable as unknown:
        return pages, str(unknown)
    return pages, ""


def marketplaces(pages: Sequence[Page]) -> set[str]:
    return {key.partition("/")[0] for key in ids(pages)}


async def test_fee_previews_are_in_one_report_with_their_marketplaces() -> None:
    bench = american_bench()
    pages = await bench.read(FEES, connect(marketplaces=NORTH))
    assert [order["marketplaceIds"] for order in bench.ordered()] == [list(NORTH)]
    assert {row["marketplaceid"] for row in rows(pages)} == {US}  # by the column amazon-store
    days = {row["snapshotat"] for row in rows(pages)}
    assert len(days) > 1  # including those made for the United States alone
    assert len(ids(pages)) == len(set(ids(pages)))
    assert len(ids(pages)) == len(days) * (await bench.rows())["feePreviews"]


def preview(**cells: str) -> Row:
    return {"sku": "SKU-1", "currency": "EUR", **cells}


@pytest.mark.parametrize(
    ("asked", "cells", "place"),
    [
        (NORTH, {"amazonstore": "CA", "currency": "CAD"}, CANADA),
        (NORTH, {"amazonstore": "MX", "currency": "USD"}, MEXICO),
        ((US,), {"amazonstore": "ca", "currency": "CAD"}, CANADA),
        (SOUTH, {}, GERMANY),
        ((FRANCE, ITALY), {}, FRANCE),
        ((*SOUTH, BRITAIN), {"currency": "GBP"}, BRITAIN),
        (SOUTH, {"currency": "GBP"}, BRITAIN),
        ((BRITAIN,), {}, ""),  # euros of a country that is not in the report
        (NORTH, {"currency": ""}, ""),
    ],
)
def test_a_preview_belongs_to_its_store_or_to_the_marketplace_of_its_currency(
    asked: tuple[str, ...], cells: dict[str, str], place: str
) -> None:
    kind, part = KINDS["fees"], Part("fees", asked)
    at = datetime.fromisoformat("2026-03-02T09:30:00Z")
    assert kind.record([preview(**cells)], part, at)["marketplaceid"] == place
    assert kind.key(preview(**cells), part, at) == f"2026-03-02T09:30/{place}/SKU-1"


@pytest.mark.parametrize("places", [NORTH, SOUTH], ids=["north", "south"])
async def test_stock_of_all_marketplaces_is_complete_after_several_reads(
    places: tuple[str, ...],
) -> None:
    """Amazon makes one such report in half an hour, for any marketplace."""
    bench = Bench(Settings(orders=120, marketplaces=places, quotas=UNLIMITED))
    size = (await bench.rows())["feePreviews"]
    seen = []
    for number in range(3):
        bench.restart()
        pages, error = await stocked(bench, places)
        seen.append(marketplaces(pages))
        assert len(ids(pages)) == len(set(ids(pages))) == size * (number + 1)
        missing = [marketplace for marketplace in places if marketplace not in seen[-1]]
        assert all(marketplace in error for marketplace in missing) and bool(missing) == bool(error)
        assert all(marketplace not in error for marketplace in seen[-1])
        bench.jumping.time += timedelta(minutes=31)
    assert [len(marketplaces_read) for marketplaces_read in seen] == [1, 2, 3]
    made = [order["marketplaceIds"][0] for order in bench.ordered()]
    assert len(made) == 3 + 3 + 3  # all are ordered, since the limit may have changed


async def test_the_list_of_reports_is_fetched_twice_for_any_number_of_marketplaces() -> None:
    """Once before the orders, and once more if some were not made."""
    bench = american_bench()
    await stocked(bench)
    assert len(await bench.calls("getReports")) == 2


async def test_if_amazon_makes_all_reports_all_are_read_at_once() -> None:
    bench = without_report_limit()
    pages, error = await stocked(bench)
    assert (marketplaces(pages), error) == (set(NORTH), "")
    assert len(bench.ordered()) == 3


async def test_a_report_that_amazon_will_make_soon_is_awaited() -> None:
    bench = american_bench()
    await bench.read(STOCK, connect(marketplaces=(US,)))
    bench.jumping.time += timedelta(minutes=25)
    bench.waits.clear()
    pages, error = await stocked(bench, (CANADA,))
    assert (marketplaces(pages), error) == ({CANADA}, "")
    [(until, _), *_] = [wait for wait in bench.waits if "once in 30 minutes" in wait[1]]
    assert until <= bench.clock.now()
    assert len(bench.ordered()) == 3


async def test_a_read_of_several_marketplaces_resumes_from_any_cursor() -> None:
    bench = american_bench()
    bench.restart()
    pages, error = await stocked(bench)
    for number, page in enumerate(pages, 1):
        bench.restart()
        rest, again = await stocked(bench, cursor=page.cursor)
        assert ids(rest) == ids(pages[number:])
        assert again == error
    shares = [page.share or 0.0 for page in pages]
    assert shares == sorted(shares)
    assert all(page.cursor for page in pages)


async def test_a_sync_that_resumes_later_orders_missing_reports_again() -> None:
    bench = american_bench()
    pages, _ = await stocked(bench)
    bench.jumping.time += timedelta(minutes=31)
    rest, error = await stocked(bench, cursor=pages[-1].cursor)
    assert marketplaces(rest) == {CANADA}
    assert MEXICO in error and CANADA not in error


@pytest.mark.parametrize("status", ["CANCELLED", "FATAL"])
async def test_a_marketplace_without_a_report_is_named_and_fails_alone(
    status: str,
) -> None:
    """Also if the limit is not the cause."""
    bench = without_report_limit()

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if request.method != "GET" or not request.url.path.startswith(desk.GET_REPORTS.path):
            return None
        body = json.loads(response.content)
        for report in body.get("reports", [body]):
            if report["marketplaceIds"] == [CANADA]:
                report["processingStatus"] = status
        if "reports" in body:
            body["reports"] = [r for r in body["reports"] if r["processingStatus"] != status]
        return httpx.Response(200, json=body)

    bench.wire.spoil = spoil
    pages, error = await stocked(bench)
    assert marketplaces(pages) == {US, MEXICO}
    assert f"for CA ({CANADA})." in error
    assert (bench.clock.now() - bench.jumping.pauses()[0][0]) < timedelta(minutes=1)


async def test_failed_reports_that_may_be_ours_are_tried_once_each(
    bench: Bench,
) -> None:
    """Each one may be our order, sent twice: stock has no span by which it is recognised, and no
    options by which another application's report would contain less."""
    count = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal count
        if request.method != "GET" or not request.url.path.startswith(desk.GET_REPORTS.path):
            return None
        body = json.loads(response.content)
        if "reports" not in body:
            count += 1
            assert count < 10
            now = bench.clock.now().isoformat()
            kind = "GET_FBA_MYI_UNSUPPRESSED_INVENTORY_DATA"
            body = {"reportId": "?", "reportType": kind, "createdTime": now}
            return httpx.Response(200, json={**body, "processingStatus": "CANCELLED"})
        for name in ("one", "another"):
            body["reports"].append(
                {
                    "reportId": name,
                    "reportType": "GET_FBA_MYI_UNSUPPRESSED_INVENTORY_DATA",
                    "processingStatus": "IN_PROGRESS",
                    "createdTime": bench.clock.now().isoformat(),
                    "marketplaceIds": [US],
                }
            )
        return httpx.Response(200, json=body) if bench.ordered() else None

    bench.wire.spoil = spoil
    with pytest.raises(Unknowable, match=f"for US .{US}."):
        await bench.read(STOCK)
    assert count == 3


async def test_stock_that_is_too_old_is_not_used() -> None:
    bench = american_bench()
    await stocked(bench)
    bench.jumping.time += timedelta(days=3, minutes=31)
    pages, error = await stocked(bench, (CANADA, US))
    assert marketplaces(pages) == {CANADA}
    assert US in error
