"""Datasets that come as reports: each ordered once, waited for, read whole, never taken for empty
when it is unknown."""

import gzip
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from datetime import datetime, timedelta
from typing import Any

import httpx
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon import desk, reports
from connectors.amazon import documents as documents_module
from connectors.amazon.documents import Kind, Part, Rows
from connectors.amazon.kinds import (
    FEES,
    KINDS,
    LEDGER,
    ORDERS_KIND,
    REIMBURSEMENTS,
    REMOVALS,
    RETURNS,
    STOCK,
)
from connectors.amazon.tables import Row
from connectors.amazon_sandbox import Settings
from connectors.base import (
    Cursor,
    Dataset,
    Page,
    Record,
    Retryable,
    SourceError,
    Unknowable,
    Window,
)
from connectors.turns import FairTurns

from .bench import CANADA, MEXICO, UNLIMITED, US, Bench, connect, edited, ids
from .test_tables import rounds

pytestmark = pytest.mark.anyio

WIDE: Sequence[Dataset] = (REIMBURSEMENTS, LEDGER, RETURNS, REMOVALS)
ALL: Sequence[Dataset] = (*WIDE, FEES, STOCK)
EACH = pytest.mark.parametrize("dataset", ALL, ids=lambda dataset: dataset.name)
DOCUMENT = "/_documents/"


@pytest.fixture
def large() -> Bench:
    """A ledger of several pages."""
    return Bench(Settings(orders=1_250, quotas=UNLIMITED))


def everything(pages: Sequence[Page]) -> list[Record]:
    return [record for page in pages for record in page.records]


def rows(pages: Sequence[Page]) -> list[dict[str, Any]]:
    return [msgspec.json.decode(record.data) for record in everything(pages)]


def documents(
    bench: Bench, edit: Callable[[bytes, int], httpx.Response | bytes | None]
) -> list[httpx.Request]:
    """From now on every document comes as `edit` makes it of its text and its number."""
    seen: list[httpx.Request] = []
    inner = bench.wire.handle_async_request

    async def handle(request: httpx.Request) -> httpx.Response:
        response = await inner(request)
        if not request.url.path.startswith(DOCUMENT):
            return response
        seen.append(request)
        content = b"".join([part async for part in response.aiter_raw()])
        if content.startswith(b"\x1f\x8b"):
            content = gzip.decompress(content)
        made = edit(content, len(seen))
        if isinstance(made, httpx.Response):
            return made
        headers = {"content-type": response.headers["content-type"]}
        body = httpx.ByteStream(content if made is None else made)
        return httpx.Response(response.status_code, headers=headers, stream=body)

    bench.wire.handle_async_request = handle  # type: ignore[method-assign]
    bench.http._transport = bench.wire
    return seen


def plain(bench: Bench) -> None:
    """The announced packing is taken away where the document comes unpacked."""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if "/documents/" not in request.url.path or response.status_code != 200:
            return None
        body = json.loads(response.content)
        body.pop("compressionAlgorithm", None)
        return httpx.Response(200, json=body)

    bench.wire.spoil = spoil


# Finding and ordering -----------------------------------------------------------------------------


@EACH
async def test_a_fresh_report_is_used_again_and_a_stale_one_is_not(
    bench: Bench, dataset: Dataset
) -> None:
    kind = reports_kind(dataset)
    first = await bench.read(dataset)
    bench.restart()
    again = await bench.read(dataset)
    assert len(bench.ordered()) == 1
    assert everything(again) == everything(first)
    bench.jumping.time += kind.fresh
    bench.restart()
    await bench.read(dataset)
    assert len(bench.ordered()) == 2


def reports_kind(dataset: Dataset) -> Kind:
    return KINDS[dataset.name]


async def test_a_report_that_is_being_made_is_waited_for_and_not_ordered_again(
    bench: Bench,
) -> None:
    """A crash after createReport, before its number was kept."""
    window = bench.window(LEDGER)
    reading = bench.connector.read(connect(), LEDGER, window, None, bench.waiting)
    kept = await anext(reading)
    await anext(reading)
    assert len(bench.ordered()) == 1
    bench.jumping.time += timedelta(seconds=30)
    bench.restart()
    assert ids(await bench.read(LEDGER, window=window, cursor=kept.cursor))
    assert len(bench.ordered()) == 1


async def test_who_asked_too_often_reads_the_report_that_is_there(bench: Bench) -> None:
    """The way broke after createReport: it was sent twice, and the second is cancelled."""
    broke: list[httpx.Request] = []

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if request.method != "POST" or response.status_code != 202 or broke:
            return None
        broke.append(request)
        return httpx.Response(503)

    bench.wire.spoil = spoil
    found = ids(await bench.read(LEDGER))
    assert len(bench.ordered()) == 2
    assert len(found) == len(set(found)) > 0


async def test_a_report_of_another_place_or_a_shorter_span_is_not_used(bench: Bench) -> None:
    places = (US, CANADA)
    bench = Bench(Settings(orders=120, marketplaces=places, quotas=UNLIMITED))
    short = bench.window(LEDGER, days=30)
    await bench.read(LEDGER, window=short)
    bench.jumping.time += timedelta(minutes=10)
    with pytest.raises(Unknowable):  # asked too often, and what is there does not do
        await bench.read(LEDGER)
    await bench.read(STOCK, connect(marketplaces=(US,)))
    with pytest.raises(Unknowable):
        await bench.read(STOCK, connect(marketplaces=(CANADA,)))
    assert len(bench.ordered()) == 4


async def test_a_list_of_reports_is_read_to_its_end(bench: Bench) -> None:
    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if request.method != "GET" or request.url.path != desk.GET_REPORTS.path:
            return None
        if "nextToken" in request.url.params:
            assert list(request.url.params) == ["nextToken"]
            return httpx.Response(200, json=kept[0])
        kept.append(json.loads(response.content))
        return httpx.Response(200, json={"reports": [], "nextToken": "more"})

    kept: list[Any] = []
    await bench.read(LEDGER)
    bench.wire.spoil = spoil
    await bench.read(LEDGER)
    assert len(bench.ordered()) == 1


async def test_a_list_of_reports_without_end_is_left(bench: Bench) -> None:
    count = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal count
        if request.method != "GET" or request.url.path != desk.GET_REPORTS.path:
            return None
        count += 1
        return httpx.Response(200, json={"reports": [], "nextToken": f"token-{count}"})

    bench.wire.spoil = spoil
    assert ids(await bench.read(REIMBURSEMENTS))
    assert count == 2


async def test_account_wide_reports_are_ordered_once_and_others_for_each_place() -> None:
    places = (US, CANADA, MEXICO)
    bench = Bench(Settings(orders=120, marketplaces=places, quotas=UNLIMITED))
    connection = connect(marketplaces=places)
    for dataset in WIDE:
        found = ids(await bench.read(dataset, connection))
        assert found
        [order] = bench.ordered()[-1:]
        assert order["marketplaceIds"] == list(places)
    assert len(bench.ordered()) == len(WIDE)
    reader = bench.turn_pages(connection, STOCK, bench.window(STOCK), None, bench.waiting)
    for _ in range(2 * len(places)):  # that it will be ordered is kept first, then its id
        await anext(reader)
    assert [each["marketplaceIds"] for each in bench.ordered()[-3:]] == [[each] for each in places]


# Several marketplaces -----------------------------------------------------------------------------

NORTH = (US, CANADA, MEXICO)
GERMANY, FRANCE, ITALY, BRITAIN = (
    "A1PA6795UKMFR9",
    "A13V1IB3VIYZZH",
    "APJ6JRA9NG5V4",
    "A1F83G8C2ARO7P",
)
SOUTH = (GERMANY, FRANCE, ITALY)


def northern() -> Bench:
    return Bench(Settings(orders=120, marketplaces=NORTH, quotas=UNLIMITED))


def willing() -> Bench:
    """As if Amazon made a report of the same type at any time."""
    bench = Bench(Settings(orders=120, marketplaces=NORTH, quotas=UNLIMITED, speed=1e5))
    bench.wire.delay = 0.1
    return bench


async def stocked(
    bench: Bench, places: Sequence[str] = NORTH, cursor: Cursor | None = None
) -> tuple[list[Page], str]:
    """The pages of a reading of the stock, and what is said in the end."""
    found: list[Page] = []
    connection, window = connect(marketplaces=places), bench.window(STOCK)
    try:
        async for page in bench.turn_pages(connection, STOCK, window, cursor, bench.waiting):
            found.append(page)
    except Unknowable as unknown:
        return found, str(unknown)
    return found, ""


def marketplaces(pages: Sequence[Page]) -> set[str]:
    return {key.partition("/")[0] for key in ids(pages)}


async def test_fee_previews_come_in_one_report_and_say_of_which_marketplace_they_are() -> None:
    bench = northern()
    pages = await bench.read(FEES, connect(marketplaces=NORTH))
    assert [each["marketplaceIds"] for each in bench.ordered()] == [list(NORTH)]
    assert {row["marketplaceid"] for row in rows(pages)} == {US}  # as its amazon-store says
    days = {row["snapshotat"] for row in rows(pages)}
    assert len(days) > 1  # also those that were made for the United States alone
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
        ((BRITAIN,), {}, ""),  # euros, of some country that was not asked about
        (NORTH, {"currency": ""}, ""),
    ],
)
def test_a_preview_belongs_to_its_store_else_to_where_its_currency_is_paid(
    asked: tuple[str, ...], cells: dict[str, str], place: str
) -> None:
    kind, part = KINDS["fees"], Part("fees", asked)
    at = datetime.fromisoformat("2026-03-02T09:30:00Z")
    assert kind.record([preview(**cells)], part, at)["marketplaceid"] == place
    assert kind.key(preview(**cells), part, at) == f"2026-03-02T09:30/{place}/SKU-1"


@pytest.mark.parametrize("places", [NORTH, SOUTH], ids=["north", "south"])
async def test_stock_of_every_marketplace_comes_over_several_readings(
    places: tuple[str, ...],
) -> None:
    """Amazon makes one such report in half an hour, for whichever marketplace."""
    bench = Bench(Settings(orders=120, marketplaces=places, quotas=UNLIMITED))
    size = (await bench.rows())["feePreviews"]
    seen = []
    for number in range(3):
        bench.restart()
        pages, said = await stocked(bench, places)
        seen.append(marketplaces(pages))
        assert len(ids(pages)) == len(set(ids(pages))) == size * (number + 1)
        missing = [each for each in places if each not in seen[-1]]
        assert all(each in said for each in missing) and bool(missing) == bool(said)
        assert all(each not in said for each in seen[-1])
        bench.jumping.time += timedelta(minutes=31)
    assert [len(each) for each in seen] == [1, 2, 3]
    made = [each["marketplaceIds"][0] for each in bench.ordered()]
    assert len(made) == 3 + 3 + 3  # all are asked for: the limit may be another


async def test_the_list_of_reports_is_asked_for_twice_however_many_marketplaces() -> None:
    """Once before any is ordered, and once again where some are not made."""
    bench = northern()
    await stocked(bench)
    assert len(await bench.calls("getReports")) == 2


async def test_where_amazon_makes_them_all_all_are_read_at_once() -> None:
    bench = willing()
    pages, said = await stocked(bench)
    assert (marketplaces(pages), said) == (set(NORTH), "")
    assert len(bench.ordered()) == 3


async def test_a_report_that_can_be_made_soon_is_waited_for() -> None:
    bench = northern()
    await bench.read(STOCK, connect(marketplaces=(US,)))
    bench.jumping.time += timedelta(minutes=25)
    bench.waits.clear()
    pages, said = await stocked(bench, (CANADA,))
    assert (marketplaces(pages), said) == ({CANADA}, "")
    [(until, _), *_] = [each for each in bench.waits if "once in 30 minutes" in each[1]]
    assert until <= bench.clock.now()
    assert len(bench.ordered()) == 3


async def test_from_every_cursor_comes_the_rest_of_several_marketplaces() -> None:
    bench = northern()
    bench.restart()
    pages, said = await stocked(bench)
    for number, page in enumerate(pages, 1):
        bench.restart()
        rest, again = await stocked(bench, cursor=page.cursor)
        assert ids(rest) == ids(pages[number:])
        assert again == said
    shares = [page.share or 0.0 for page in pages]
    assert shares == sorted(shares)
    assert all(page.cursor for page in pages)


async def test_a_sync_that_goes_on_later_asks_again_for_what_was_lacking() -> None:
    bench = northern()
    pages, _ = await stocked(bench)
    bench.jumping.time += timedelta(minutes=31)
    rest, said = await stocked(bench, cursor=pages[-1].cursor)
    assert marketplaces(rest) == {CANADA}
    assert MEXICO in said and CANADA not in said


@pytest.mark.parametrize("status", ["CANCELLED", "FATAL"])
async def test_a_marketplace_of_which_nothing_is_told_is_named_and_costs_itself(
    status: str,
) -> None:
    """Also when the limit is not the cause."""
    bench = willing()

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
    pages, said = await stocked(bench)
    assert marketplaces(pages) == {US, MEXICO}
    assert f"for CA ({CANADA})." in said
    assert (bench.clock.now() - bench.jumping.pauses()[0][0]) < timedelta(minutes=1)


async def test_reports_that_may_be_ours_and_come_to_nothing_are_tried_once_each(
    bench: Bench,
) -> None:
    """Each may be the order, sent twice: stock has no span by which it is recognized, and no
    options by which another application's would tell of less."""
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


async def test_stock_that_is_too_old_is_not_used_in_place_of_new() -> None:
    bench = northern()
    await stocked(bench)
    bench.jumping.time += timedelta(days=3, minutes=31)
    pages, said = await stocked(bench, (CANADA, US))
    assert marketplaces(pages) == {CANADA}
    assert US in said


# Going on -----------------------------------------------------------------------------------------


@EACH
async def test_from_every_cursor_comes_the_rest_and_nothing_is_ordered_again(
    large: Bench, dataset: Dataset
) -> None:
    window = large.window(dataset)
    pages = await large.read(dataset, window=window)
    ordered = len(large.ordered())
    assert ordered == 1
    for number, page in enumerate(pages[:-1], 1):
        large.restart()
        rest = await large.read(dataset, window=window, cursor=page.cursor)
        assert everything(rest) == everything(pages[number:])
    assert len(large.ordered()) == ordered
    assert [page.share for page in pages] == sorted(page.share or 0.0 for page in pages)


@pytest.mark.parametrize(
    "cursor", ["x", "[]", '{"at":-1}', '{"orders":[{"part":0}]}', '{"rows":-5}']
)
async def test_a_cursor_that_cannot_be_read_means_from_the_beginning(
    bench: Bench, cursor: str
) -> None:
    whole = ids(await bench.read(LEDGER))
    assert ids(await bench.read(LEDGER, cursor=Cursor(cursor))) == whole


# What Amazon will not tell ------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cancelledReports", "fatalReports", "headerOnlyReports"])
@EACH
async def test_what_was_not_made_is_unknown_and_not_empty(
    bench: Bench, dataset: Dataset, fault: str
) -> None:
    await bench.door("faults", {fault: 1})
    with pytest.raises(Unknowable, match="unknown; a later sync asks again"):
        await bench.read(dataset)


def looked(bench: Bench, edit: Callable[[dict[str, Any], int], None]) -> list[str]:
    """From now on getReport answers as `edit` makes it, with the number of the report."""
    seen: list[str] = []

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not request.url.path.startswith(desk.GET_REPORTS.path + "/"):
            return None
        if response.status_code != 200:
            return None
        body = json.loads(response.content)
        if body["reportId"] not in seen:
            seen.append(body["reportId"])
        edit(body, seen.index(body["reportId"]))
        return httpx.Response(body.pop("status", 200), json=body)

    bench.wire.spoil = spoil
    return seen


async def test_a_report_that_is_never_made_is_ordered_again_once_and_then_unknown(
    bench: Bench,
) -> None:
    looked(bench, lambda body, number: body.update(processingStatus="IN_PROGRESS"))
    begun = bench.clock.now()
    with pytest.raises(Unknowable, match="did not finish"):
        await bench.read(LEDGER)
    assert len(bench.ordered()) == 2
    spent = bench.clock.now() - begun
    assert 2 * desk.DEADLINE < spent < 2 * desk.DEADLINE + timedelta(minutes=2)


async def test_a_finished_report_without_a_document_does_not_wait_for_hours(bench: Bench) -> None:
    looked(bench, lambda body, number: body.pop("reportDocumentId", None))
    begun = bench.clock.now()
    with pytest.raises(Unknowable, match="unknown; a later sync asks again"):
        await bench.read(LEDGER)
    assert bench.clock.now() - begun < timedelta(minutes=30)


# What Amazon no longer knows ----------------------------------------------------------------------


def reset(bench: Bench) -> Any:
    """The source forgets every report."""
    return bench.door("reset")


@EACH
@pytest.mark.parametrize("at", ["ordered", "read"])
async def test_a_report_that_the_source_forgot_is_ordered_again_and_read_whole(
    large: Bench, dataset: Dataset, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From every cursor; what was landed of the lost one comes again under the same ids."""
    monkeypatch.setattr(reports, "ROWS_A_PAGE", 50)
    window = large.window(dataset)
    pages = await large.read(dataset, window=window)
    wanted = set(ids(pages))
    first = next(n for n, page in enumerate(pages) if page.records)
    for number in [1, first] if at == "ordered" else [first + 1, len(pages) - 1]:
        if number >= len(pages):
            continue
        large.jumping.time += timedelta(minutes=5)
        await reset(large)
        large.restart()
        before = len(large.ordered())
        rest = await large.read(dataset, window=window, cursor=pages[number - 1].cursor)
        found = ids([*pages[:number], *rest])
        assert len(large.ordered()) == before + 1
        if dataset is not FEES or number == len(pages) - 1:  # a preview is of its moment
            assert set(found) == wanted
        assert len(set(found)) == len(wanted)


async def test_a_report_that_is_forgotten_again_and_again_is_given_up(bench: Bench) -> None:
    """The count is in the cursor: going on does not begin it again."""
    looked(bench, lambda body, number: body.update(status=404, errors=[{"code": "NotFound"}]))
    pages: list[Page] = []
    with pytest.raises(Unknowable, match="404"):
        async for page in bench.turn_pages(
            connect(), LEDGER, bench.window(LEDGER), None, bench.waiting
        ):
            pages.append(page)
    assert len(bench.ordered()) == 1 + 3
    bench.restart()
    with pytest.raises(Unknowable, match="404"):
        await bench.read(LEDGER, cursor=pages[-1].cursor)
    assert len(bench.ordered()) == 1 + 3


# Whose report -------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [*WIDE, STOCK], ids=lambda dataset: dataset.name)
async def test_a_listed_report_that_is_not_ours_is_not_used(bench: Bench, dataset: Dataset) -> None:
    """It covers all of the span, but may have been ordered with a filter of events."""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        path = request.url.path
        if request.method == "GET" and path == desk.GET_REPORTS.path:
            foreign = {
                "reportId": "foreign",
                "reportType": request.url.params["reportTypes"],
                "processingStatus": "DONE",
                "createdTime": bench.clock.now().isoformat(),
                "dataStartTime": "2020-01-01T00:00:00Z",
                "dataEndTime": bench.clock.now().isoformat(),
                "marketplaceIds": [US],
                "reportDocumentId": "foreign-document",
            }
            return httpx.Response(200, json={"reports": [foreign]})
        return None

    bench.wire.spoil = spoil
    assert ids(await bench.read(dataset))
    assert len(bench.ordered()) == 1
    assert not [each for each in bench.wire.requests if "foreign" in each.url.path]


async def test_a_report_cancelled_for_somebody_elses_is_unknown_and_says_so(bench: Bench) -> None:
    await bench.read(LEDGER)
    bench.ours.clear()  # as if another application had ordered it
    bench.jumping.time += timedelta(minutes=10)
    with pytest.raises(Unknowable, match="This application did not order that one"):
        await bench.read(LEDGER)


async def test_what_is_kept_of_our_reports_is_bounded(bench: Bench) -> None:
    many = ",".join(str(number) for number in range(desk.MOST_KEPT))
    pages = await bench.read(LEDGER, connect(**{"ordered:GET_LEDGER_DETAIL_VIEW_DATA": many}))
    kept = pages[-1].learned["ordered:GET_LEDGER_DETAIL_VIEW_DATA"].split(",")
    assert len(kept) == desk.MOST_KEPT
    assert kept[0] == "1"


# FATAL --------------------------------------------------------------------------------------------


def complaining(bench: Bench, document: bytes, times: int = 1) -> list[str]:
    """The first reports end as FATAL, with this document."""

    def edit(body: dict[str, Any], number: int) -> None:
        if number < times and body["processingStatus"] not in desk.UNFINISHED:
            body.update(processingStatus="FATAL", reportDocumentId="complaint")
        elif body["processingStatus"] == "CANCELLED":  # the sandbox had made the first
            body["processingStatus"] = "FATAL"

    seen = looked(bench, edit)
    inner = bench.wire.spoil

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if request.url.path.endswith("/documents/complaint"):
            return httpx.Response(200, json={"url": "http://sandbox/_documents/complaint"})
        if request.url.path == "/_documents/complaint":
            return httpx.Response(200, stream=httpx.ByteStream(document))
        if request.method == "GET" and request.url.path == desk.GET_REPORTS.path:
            return httpx.Response(200, json={"reports": []})
        return inner(request, response)

    bench.wire.spoil = spoil
    return seen


@pytest.mark.parametrize("pack", [bytes, gzip.compress], ids=["plain", "gzip"])
async def test_the_reason_of_a_fatal_report_is_said_and_it_is_ordered_once_more(
    bench: Bench, pack: Callable[[bytes], bytes]
) -> None:
    why = "The dates are\n\x00 in the future. " + "x" * 1_000
    complaining(bench, pack(json.dumps({"errorDetails": why}).encode()), times=9)
    pages: list[Page] = []
    with pytest.raises(Unknowable, match=r"FATAL: The dates are in the future\. x") as said:
        async for page in bench.turn_pages(
            connect(), LEDGER, bench.window(LEDGER), None, bench.waiting
        ):
            pages.append(page)
    assert len(bench.ordered()) == 2
    assert "\n" not in str(said.value) and len(str(said.value)) < 500
    assert "unknown; a later sync asks again" in str(said.value)
    [warning] = {page.warning for page in pages if page.warning}
    assert "The dates are in the future" in warning and "ordered again" in warning


@pytest.mark.parametrize(
    "document",
    [b"", b"<html>", b"[]", b"[" * 60_000, b'{"errorDetails":"' + b"x" * 100_000 + b'"}', b"\xff"],
    ids=["empty", "html", "list", "nested", "large", "no-utf-8"],
)
async def test_a_reason_that_cannot_be_read_is_no_reason(bench: Bench, document: bytes) -> None:
    complaining(bench, document, times=9)
    with pytest.raises(Unknowable, match="as FATAL, without a reason"):
        await bench.read(LEDGER)


async def test_a_fatal_report_is_not_ordered_again_where_amazon_would_cancel_it(
    bench: Bench,
) -> None:
    await bench.read(LEDGER)
    bench.ours.clear()
    await bench.door("faults", {"fatalReports": 1})
    bench.jumping.time += timedelta(minutes=5)
    looked(bench, lambda body, number: body.update(processingStatus="FATAL"))
    with pytest.raises(Unknowable, match="FATAL"):
        await bench.read(LEDGER)
    assert len(bench.ordered()) == 2


# Documents ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "broken",
    [
        lambda text, packed: packed[: len(packed) // 2],
        lambda text, packed: packed[:-4],
        lambda text, packed: text[: len(text) // 2].rpartition(b"\t")[0],
        lambda text, packed: b"<!DOCTYPE html><html><body>Busy.</body></html>\n",
        lambda text, packed: b'<?xml version="1.0"?><Error><Code>SlowDown</Code></Error>',
        lambda text, packed: httpx.Response(503, stream=httpx.ByteStream(b"busy")),
        lambda text, packed: httpx.Response(403, stream=httpx.ByteStream(b"expired")),
    ],
    ids=["half", "no-checksum", "mid-row", "html", "xml", "503", "403"],
)
async def test_a_damaged_document_is_fetched_again_and_then_said(
    bench: Bench, broken: Callable[[bytes, bytes], Any]
) -> None:
    whole = everything(await bench.read(LEDGER))
    plain(bench)
    seen = documents(bench, lambda text, n: broken(text, gzip.compress(text)) if n < 3 else None)
    assert everything(await bench.read(LEDGER)) == whole
    addresses = {str(request.url) for request in seen}
    assert len(seen) == 3
    assert len(await bench.calls("getReportDocument")) == 4
    assert all("x-amz-access-token" not in request.headers for request in seen)
    assert addresses
    documents(bench, lambda text, n: broken(text, gzip.compress(text)))
    with pytest.raises((Retryable, Unknowable)):
        await bench.read(LEDGER)


@pytest.mark.parametrize("fault", ["htmlDownloads", "truncatedGzips"])
async def test_the_faults_of_the_sandbox_never_bring_less(large: Bench, fault: str) -> None:
    await large.door("faults", {fault: 0.5})
    assert len(ids(await large.read(LEDGER))) > 1_000


async def test_an_address_that_expired_is_asked_for_anew(large: Bench) -> None:
    window = large.window(LEDGER)
    reading = large.turn_pages(connect(), LEDGER, window, None, large.waiting)
    first = [await anext(reading) for _ in range(3)]
    assert ids(first)
    large.jumping.time += timedelta(minutes=20)
    large.restart()
    rest = await large.read(LEDGER, window=window, cursor=first[-1].cursor)
    found = ids([*first, *rest])
    assert len(found) == len(set(found))
    assert len(await large.calls("getReportDocument")) == 2
    assert set(await large.statuses("download")) == {200}


# Waiting ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [20, 61, 300, 1_200, 6_000])
async def test_looks_grow_and_little_time_is_lost(bench: Bench, seconds: float) -> None:
    begun = bench.clock.now()
    looks = []

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not request.url.path.startswith(desk.GET_REPORTS.path + "/"):
            return None
        looks.append((bench.clock.now() - begun).total_seconds())
        old, new = b'"DONE"', b'"IN_PROGRESS"'
        if looks[-1] < seconds:
            return httpx.Response(200, content=response.content.replace(old, new))
        document = json.loads(response.content)
        return httpx.Response(200, json=document)

    bench.wire.spoil = spoil
    await bench.read(LEDGER)
    made = max(seconds, 60 + await ledger_rows(bench) / 1000)
    assert made <= looks[-1] <= made * 1.05 + 3
    assert len(looks) < 70 + made / 25


async def ledger_rows(bench: Bench) -> int:
    return (await bench.rows())["ledger"]


async def test_what_the_last_report_took_is_expected_of_the_next(bench: Bench) -> None:
    pages = await bench.read(LEDGER)
    learned = {key: value for page in pages for key, value in page.learned.items()}
    took = float(learned["report:GET_LEDGER_DETAIL_VIEW_DATA"])
    assert took == pytest.approx(60, abs=5)
    bench.jumping.time += timedelta(hours=5)
    first = len(await bench.calls("getReport"))
    pages = await bench.read(LEDGER, connect(**learned))
    assert len(await bench.calls("getReport")) - first <= 5
    assert pages[0].seconds_left == pytest.approx(took, abs=2)


# Rows ---------------------------------------------------------------------------------------------


async def test_all_rows_arrive(large: Bench) -> None:
    counts = await large.rows()
    for dataset in (REIMBURSEMENTS, REMOVALS):
        window = large.window(dataset, days=400)
        found = ids(await large.read(dataset, window=window))
        assert len(found) == len(set(found)) == counts[dataset.name]


def ledger(text: bytes) -> tuple[str, list[str]]:
    header, *lines = text.decode("latin-1").split("\r\n")[:-1]
    return header, lines


def text(header: str, lines: Sequence[str]) -> bytes:
    return "".join(f"{line}\r\n" for line in [header, *lines]).encode("latin-1")


async def test_equal_ledger_rows_are_separate_and_have_the_same_ids_again(bench: Bench) -> None:
    plain(bench)

    def threefold(body: bytes, number: int) -> bytes:
        header, lines = ledger(body)
        return text(header, [line for line in lines for _ in range(3)])

    documents(bench, lambda body, number: None)
    once = ids(await bench.read(LEDGER))
    documents(bench, threefold)
    found = ids(await bench.read(LEDGER))
    assert len(found) == len(set(found)) == 3 * len(once)
    assert set(once) < set(found)
    assert ids(await bench.read(LEDGER)) == found


async def test_a_ledger_row_keeps_its_id_when_its_figures_change(bench: Bench) -> None:
    plain(bench)
    before = await bench.read(LEDGER)

    def changed(body: bytes, number: int) -> bytes:
        header, lines = ledger(body)
        titles = [title.strip('"') for title in header.split("\t")]
        quote = '"' if header.startswith('"') else ""
        cells = [line.split("\t") for line in lines]
        for column in ("Title", "Reconciled Quantity", "Unreconciled Quantity"):
            if column in titles:
                for row in cells:
                    row[titles.index(column)] = f"{quote}77{quote}"
        return text(header, ["\t".join(row) for row in cells])

    documents(bench, changed)
    after = await bench.read(LEDGER)
    assert ids(after) == ids(before)
    assert everything(after) != everything(before)


async def test_a_ledger_row_keeps_its_id_when_the_layout_gets_more_columns(bench: Bench) -> None:
    plain(bench)
    before = ids(await bench.read(LEDGER))

    def wider(body: bytes, number: int) -> bytes:
        header, lines = ledger(body)
        return text(f"{header}\tSupplier", [f"{line}\tSomebody" for line in lines])

    documents(bench, wider)
    assert ids(await bench.read(LEDGER)) == before


def test_a_plate_under_two_dates_is_one_return_and_of_two_orders_two() -> None:
    kind, part = KINDS["returns"], Part("returns", (US,))
    row = {"licenseplatenumber": "LPN1", "orderid": "1", "sku": "A", "returndate": "2026-06-01"}
    key = kind.key(row, part, datetime.now())
    assert kind.key(row | {"returndate": "2026-06-03"}, part, datetime.now()) == key
    assert kind.key(row | {"orderid": "2"}, part, datetime.now()) != key


@pytest.mark.parametrize("seed", range(4))
async def test_every_layout_of_the_ledger_is_read(seed: int) -> None:
    bench = Bench(Settings(orders=120, seed=seed, quotas=UNLIMITED))
    pages = await bench.read(LEDGER, connect(f"{seed}"))
    assert ids(pages)
    for row in rows(pages):
        assert row["eventtype"] and row["disposition"] and int(row["quantity"])
        assert '"' not in row["fnsku"]


async def test_malformed_rows_cost_themselves_and_keep_their_names(large: Bench) -> None:
    await large.door("faults", {"shortRows": 1})
    pages = await large.read(LEDGER)
    bad = [record for record in everything(pages) if record.error]
    assert len(bad) == len(everything(pages)) // 7
    assert len({record.id for record in everything(pages)}) == len(everything(pages))
    assert everything(await large.read(LEDGER)) == everything(pages)


async def test_a_windows_middle_page_break_at_a_malformed_row_loses_nothing(
    large: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await large.door("faults", {"shortRows": 1})
    window = large.window(LEDGER)
    whole = ids(await large.read(LEDGER, window=window))
    for size in (1, 7, 6):
        monkeypatch.setattr(reports, "ROWS_A_PAGE", size)
        assert ids(await large.read(LEDGER, window=window)) == whole


async def test_a_preview_of_each_day_is_kept(bench: Bench) -> None:
    found = await bench.read(FEES)
    days = {row["snapshotat"] for row in rows(found)}
    assert len(days) > 1
    assert (
        len(ids(found)) == len(set(ids(found))) == len(days) * (await bench.rows())["feePreviews"]
    )
    assert {row["marketplaceid"] for row in rows(found)} == {US}


async def test_without_a_marketplace_there_is_an_end(bench: Bench) -> None:
    assert await bench.read(STOCK, connect(marketplaces=())) == [Page([], share=1.0)]


async def test_a_report_that_ends_a_day_early_is_used_by_none_that_is_joined(bench: Bench) -> None:
    """Search begins where the report of orders ends: between them nothing may be missing."""
    until = bench.clock.now() - timedelta(days=2)
    for later in (timedelta(0), timedelta(minutes=20)):
        past = Window(until - timedelta(days=20), until + later)
        reader = reports.Reader(
            bench.client, bench.clock, ORDERS_KIND, connect(), past, bench.waiting
        )
        assert [page async for page in reader.read(None)]
    assert len(bench.ordered()) == 2


# Documents without end or order -------------------------------------------------------------------

ORDER_TITLES = (
    *("amazon-order-id", "purchase-date", "last-updated-date", "order-status", "sku", "asin"),
    *("product-name", "quantity", "currency", "item-price"),
)


def order_row(order: str, sku: str) -> str:
    at = "2026-06-01T10:00:00+00:00"
    return "\t".join((order, at, at, "Shipped", sku, "B0", "Lamp", "1", "USD", "9.99"))


async def told(kind: Kind, header: str, lines: Sequence[str]) -> tuple[list[Record], str]:
    """The records of a document, and why it is not read to its end."""

    async def chunks() -> AsyncIterator[list[str]]:
        yield [header]
        for start in range(0, len(lines), 700):
            yield list(lines[start : start + 700])

    part = Part("a report", (US,))
    found: list[Record] = []
    at = datetime.fromisoformat("2026-06-03T00:00:00Z")
    with closing(Rows(kind, part, 0, at, FairTurns())) as rows:
        try:
            async for _, records in rows.records(chunks()):
                found += records
        except SourceError as error:
            return found, str(error)
    return found, ""


def items(records: Sequence[Record]) -> dict[str, list[str]]:
    return {
        each.id: [i["product"]["sellerSku"] for i in json.loads(each.data)["orderItems"]]
        for each in records
    }


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 9)), min_size=1, max_size=120))
async def test_an_order_has_all_its_items_wherever_its_rows_are(
    found: list[tuple[str, int]],
) -> None:
    lines = [order_row(order, f"SKU-{n}") for order, n in found]
    records, _ = await told(ORDERS_KIND, "\t".join(ORDER_TITLES), lines)
    expected: dict[str, list[str]] = {}
    for order, n in found:
        expected.setdefault(order, []).append(f"SKU-{n}")
    assert items(records) == expected
    assert [each.id for each in records] == list(expected)


async def test_a_bad_row_between_the_rows_of_an_order_costs_itself_alone() -> None:
    lines = [order_row("A", "1"), "B\tcut", order_row("B", "1"), order_row("A", "2")]
    a, bad, b = (await told(ORDERS_KIND, "\t".join(ORDER_TITLES), lines))[0]
    assert items([a, b]) == {"A": ["1", "2"], "B": ["1"]}
    assert bad.error and bad.error.startswith("Row 2 cannot be read: the row ends before")


async def test_one_order_without_end_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "MOST_TOGETHER", 10_000, raising=False)
    lines = [order_row("A", f"SKU-{n}") for n in range(1_000)]
    records, why = await told(ORDERS_KIND, "\t".join(ORDER_TITLES), lines)
    assert "does not end" in why
    assert 50 < len(items(records)["A"]) < 1_000


def sample(kind: Kind) -> tuple[list[str], Callable[[int], str]]:
    """The titles of a report, and its row of a number."""
    titles = list(dict.fromkeys(("asin", "productname", *kind.wanted, *kind.filled)))
    steady = {"lastupdateddate": "2026-06-01T10:00:00+00:00", "quantity": "1", "currency": "USD"}

    def row(n: int) -> str:
        return "\t".join(steady.get(title, f"{title}-{n}") for title in titles)

    return titles, row


EVERY = pytest.mark.parametrize("kind", [*KINDS.values(), ORDERS_KIND], ids=[*KINDS, "orders"])


@EVERY
async def test_a_document_that_repeats_itself_is_left_and_lands_each_row_once(kind: Kind) -> None:
    titles, row = sample(kind)
    once, why = await told(kind, "\t".join(titles), [row(n) for n in range(300)])
    assert not why and len(once) == 300
    lines = [row(n % 300) for n in range(12_000)]
    records, why = await told(kind, "\t".join(titles), lines)
    assert "not read to its end" in why and "the same as rows before them" in why
    assert {each.id: each.data for each in records} == {each.id: each.data for each in once}


@EVERY
async def test_a_document_of_bad_rows_alone_is_left_and_says_so(kind: Kind) -> None:
    titles, row = sample(kind)
    lines = [row(0), *(f"{n}\tx" + "\ty" * 40 for n in range(12_000))]
    records, why = await told(kind, "\t".join(titles), lines)
    assert "not read to its end" in why and "cannot be read" in why
    assert 10_000 <= len(records) < 10_200
    assert [each.error is None for each in records[:2]] == [True, False]
    assert records[1].error and records[1].error.startswith("Row 2 cannot be read: 42 cells under")


@EVERY
async def test_no_table_shifts_the_cells_of_a_row(kind: Kind) -> None:
    """Marks without escaping, a row that is cut off and one with a cell more than columns."""
    titles, row = sample(kind)
    at = titles.index("productname")

    def named(n: int, name: str) -> str:
        cells = row(n).split("\t")
        cells[at] = name
        return "\t".join(f'"{cell}"' if n % 2 else cell for cell in cells)

    cut = "\t".join(row(3).split("\t")[: len(kind.wanted) - 1])
    lines = [named(1, 'Monitor 24"'), named(2, 'Monitor 24"'), cut, row(4) + "\tmore", row(5)]
    for header in ("\t".join(titles), "\t".join(f'"{title}"' for title in titles)):
        records, _ = await told(kind, header, lines)
        assert [each.error is None for each in records] == [True, True, False, False, True]
        assert [b'Monitor 24\\"' in each.data for each in records[:2]] == [True, True]
        assert ["Row 3" in (records[2].error or ""), "Row 4" in (records[3].error or "")] == [
            True,
            True,
        ]


async def test_equal_rows_by_the_dozen_are_all_kept() -> None:
    titles, row = sample(KINDS["ledger"])
    lines = [row(n) for n in range(20) for _ in range(400)]
    records, why = await told(KINDS["ledger"], "\t".join(titles), lines)
    assert not why
    assert len({each.id for each in records}) == len(records) == 8_000


async def test_the_rows_of_a_document_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "MOST_ROWS", 1_000, raising=False)
    titles, row = sample(KINDS["ledger"])
    records, why = await told(KINDS["ledger"], "\t".join(titles), [row(n) for n in range(2_000)])
    assert "more than 1,000 rows" in why
    assert len(records) == 1_000


async def test_what_a_document_without_end_told_is_kept_and_going_on_ends_too(
    bench: Bench,
) -> None:
    plain(bench)
    whole = everything(await bench.read(LEDGER))

    def endless(body: bytes, number: int) -> bytes:
        header, lines = ledger(body)
        return text(header, lines * (11_000 // len(lines) + 2))

    seen = documents(bench, endless)
    window, pages = bench.window(LEDGER), list[Page]()
    with pytest.raises(SourceError, match="not read to its end"):
        async for page in bench.turn_pages(connect(), LEDGER, window, None, bench.waiting):
            pages.append(page)
    assert {each.id for each in whole} <= {each.id for each in everything(pages)}
    assert len(everything(pages)) < 2 * len(whole) + 100
    cursor = pages[-1].cursor
    assert cursor
    with pytest.raises(SourceError, match="not read to its end"):
        await bench.read(LEDGER, window=window, cursor=cursor)
    assert len(seen) == 2


async def test_a_document_of_blank_lines_does_not_hold_up_the_event_loop(bench: Bench) -> None:
    plain(bench)
    documents(bench, lambda body, number: gzip.compress(b"\n" * 12_000_000))

    async def reading() -> None:
        with pytest.raises(SourceError, match="without a single row"):
            await bench.read(LEDGER)

    assert await rounds(reading()) >= 12_000_000 // (64 * 1024)


async def test_a_report_of_another_type_under_our_id_is_ordered_again(bench: Bench) -> None:
    """A source that has lost its reports may give their ids again. (The sandbox cancels the second
    order here: it still has the first, and makes one report of this type in four hours.)"""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not request.url.path.startswith(f"{desk.GET_REPORTS.path}/") or len(bench.ordered()) > 1:
            return None
        return edited(response, lambda body: body.update(reportType="GET_SOMETHING_ELSE"))

    bench.wire.spoil = spoil
    with pytest.raises(Unknowable, match="CANCELLED"):
        await bench.sync(LEDGER)
    assert len(bench.ordered()) == 2
