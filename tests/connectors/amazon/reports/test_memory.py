"""Reports without rows: when they show that there is no data, and what a connection remembers."""

import json
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import httpx
import msgspec
import pytest

from connectors.amazon.emptiness import Emptiness, empty_key, read_emptiness
from connectors.amazon.reports import desk
from connectors.amazon.reports.kinds import DATASETS, FEES, KINDS, REIMBURSEMENTS, STOCK
from connectors.amazon_sandbox import Settings
from connectors.base import Cursor, Dataset, Page, Unknowable, Window
from tests.connectors.amazon.bench import CANADA, MEXICO, UNLIMITED, US, Bench, connect, ids
from tests.connectors.amazon.reports.documents import WIDE, documents, looked, plain

pytestmark = pytest.mark.anyio

EVENTS = pytest.mark.parametrize("dataset", WIDE, ids=lambda dataset: dataset.name)
MINUTE = timedelta(minutes=1)


async def without_data(bench: Bench, *datasets: Dataset) -> None:
    """From now on, the seller has no events of these kinds."""
    window = Window(bench.clock.now(), bench.clock.now())
    types = [KINDS[dataset.name].parts(connect(), window)[0].type for dataset in datasets]
    await bench.control("faults", {"reportsWithoutData": types})


def known(bench: Bench, dataset: Dataset) -> Emptiness | None:
    """What the connection remembers."""
    [learned] = bench.ours.values()
    return read_emptiness(learned, empty_key(dataset.name))


def presumed(pages: Sequence[Page]) -> bool:
    return any(page.presumed_empty for page in pages)


def listed(bench: Bench, status: str, age: timedelta) -> None:
    """Another application has ordered the type that long before."""
    made_at = bench.clock.now() - age

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if request.method != "GET" or request.url.path != desk.GET_REPORTS.path:
            return None
        body = json.loads(response.content)
        if status in request.url.params["processingStatuses"].split(","):
            body["reports"].append(
                {
                    "reportId": "foreign",
                    "reportType": request.url.params["reportTypes"],
                    "processingStatus": status,
                    "createdTime": made_at.isoformat(),
                    "marketplaceIds": [US],
                }
            )
        return httpx.Response(200, json=body)

    bench.wire.spoil = spoil


# Whether there is no data -------------------------------------------------------------------------


@EVENTS
async def test_a_report_that_amazon_cancels_for_lack_of_data_is_empty_and_complete(
    bench: Bench, dataset: Dataset
) -> None:
    await without_data(bench, dataset)
    pages = await bench.sync(dataset)
    assert (ids(pages), pages[-1].cursor, presumed(pages)) == ([], None, True)
    [warning] = {page.warning for page in pages if page.warning}
    assert "Amazon created no report" in warning and "there is no data" in warning
    assert "low confidence until a later report" in warning
    assert len(bench.ordered()) == 1
    assert len(await bench.calls("getReports")) == 2, "before the order, and after its end"


@EVENTS
async def test_a_report_of_a_header_alone_is_empty_and_complete(
    bench: Bench, dataset: Dataset
) -> None:
    await bench.control("faults", {"headerOnlyReports": 1})
    pages = await bench.sync(dataset)
    assert (ids(pages), pages[-1].cursor, presumed(pages)) == ([], None, True)
    [warning] = {page.warning for page in pages if page.warning}
    assert "has no rows" in warning and "low confidence until a later report" in warning


async def test_a_document_without_even_a_header_is_unknown(bench: Bench) -> None:
    plain(bench)
    documents(bench, lambda text, number: b"")
    with pytest.raises(Unknowable, match="arrived without any rows"):
        await bench.sync(REIMBURSEMENTS)


@pytest.mark.parametrize("status", ["DONE", "IN_PROGRESS", "IN_QUEUE", "FATAL"])
@EVENTS
async def test_a_report_cancelled_in_the_interval_of_another_one_is_unknown(
    bench: Bench, dataset: Dataset, status: str
) -> None:
    await without_data(bench, dataset)
    listed(bench, status, 4 * 60 * MINUTE - 2 * MINUTE)
    with pytest.raises(Unknowable, match="CANCELLED"):
        await bench.sync(dataset)


async def test_a_report_cancelled_after_the_interval_of_another_one_is_empty(bench: Bench) -> None:
    await without_data(bench, REIMBURSEMENTS)
    listed(bench, "DONE", 4 * 60 * MINUTE + MINUTE)
    assert presumed(await bench.sync(REIMBURSEMENTS))


async def test_a_report_cancelled_late_is_unknown_all_the_same(bench: Bench) -> None:
    """The other report is older than the interval when this one ends, but not when it was made."""
    await without_data(bench, REIMBURSEMENTS)
    listed(bench, "DONE", 4 * 60 * MINUTE - 2 * MINUTE)
    inner, begun = bench.wire.spoil, bench.clock.now()

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if request.url.path.startswith(f"{desk.GET_REPORTS.path}/"):
            body = json.loads(response.content)
            if bench.clock.now() - begun < 90 * MINUTE:
                return httpx.Response(200, json=body | {"processingStatus": "IN_PROGRESS"})
        if request.url.path == desk.GET_REPORTS.path and request.method == "GET":
            since = request.url.params["createdSince"]
            assert since <= (begun - 4 * 60 * MINUTE).isoformat()[:19]
        return inner(request, response)

    bench.wire.spoil = spoil
    with pytest.raises(Unknowable, match="CANCELLED"):
        await bench.sync(REIMBURSEMENTS)


@pytest.mark.parametrize("first", ["FATAL", "lost"])
async def test_a_report_cancelled_after_another_of_this_sync_failed_is_unknown(
    bench: Bench, first: str
) -> None:
    """The first one may be the reason."""
    await without_data(bench, REIMBURSEMENTS)

    def edit(body: dict[str, Any], number: int) -> None:
        if number == 0 and first == "FATAL" and body["processingStatus"] == "CANCELLED":
            body["processingStatus"] = first
        elif number == 0 and first == "lost":
            body.update(status=404, errors=[{"code": "NotFound"}])

    looked(bench, edit)
    with pytest.raises(Unknowable, match="CANCELLED"):
        await bench.sync(REIMBURSEMENTS)
    assert len(bench.ordered()) == 2


@pytest.mark.parametrize("how", ["cancelled", "header"])
@EVENTS
async def test_no_report_without_rows_is_believed_if_an_earlier_one_had_rows_of_these_days(
    bench: Bench, dataset: Dataset, how: str
) -> None:
    assert ids(await bench.sync(dataset))
    bench.jumping.time += timedelta(hours=5)
    if how == "cancelled":
        await without_data(bench, dataset)
    else:
        await bench.control("faults", {"headerOnlyReports": 1})
    with pytest.raises(Unknowable, match="unknown; a later sync tries again"):
        await bench.sync(dataset)


async def test_fee_previews_without_rows_are_not_believed_after_earlier_ones(bench: Bench) -> None:
    """Amazon lists those of the last 90 days, and all are read first."""
    await bench.control("faults", {"headerOnlyReports": 1})
    with pytest.raises(Unknowable, match="unknown; a later sync tries again"):
        await bench.sync(FEES)


async def test_rows_of_other_days_do_not_contradict(bench: Bench) -> None:
    assert ids(await bench.sync(REIMBURSEMENTS))
    bench.jumping.time += timedelta(days=400)
    bench.ours["Atzr|sandbox-1"]["rows:reimbursements"] = bench.clock.now().isoformat()
    bench.jumping.time += timedelta(days=305)
    await without_data(bench, REIMBURSEMENTS)
    assert presumed(await bench.sync(REIMBURSEMENTS))


@pytest.mark.parametrize("dataset", DATASETS, ids=lambda dataset: dataset.name)
def test_what_a_report_wrongly_lacked_is_read_by_the_next_sync(dataset: Dataset) -> None:
    """Every sync reads the whole dataset: the watermark of an empty one skips nothing."""
    assert dataset.reach is None or dataset.overlap == dataset.reach


# A second report ----------------------------------------------------------------------------------


@EVENTS
async def test_a_second_report_after_the_interval_confirms_that_a_dataset_is_empty(
    bench: Bench, dataset: Dataset
) -> None:
    await without_data(bench, dataset)
    begun, first = bench.clock.now(), await bench.sync(dataset)
    for hours, orders, unconfirmed in [
        (1, 1, True),
        (3.9, 1, True),
        (4.1, 2, False),
        (9, 3, False),
    ]:
        bench.jumping.time = begun + timedelta(hours=hours)
        bench.restart()
        pages = await bench.sync(dataset)
        assert (len(bench.ordered()), presumed(pages)) == (orders, unconfirmed)
        assert (ids(pages), pages[-1].cursor) == ([], None)
    emptiness = known(bench, dataset)
    assert emptiness and emptiness.confirmed
    assert "low confidence" in str(first) and "low confidence" not in str(pages)


async def test_a_header_alone_confirms_a_cancelled_report(bench: Bench) -> None:
    await without_data(bench, REIMBURSEMENTS)
    assert presumed(await bench.sync(REIMBURSEMENTS))
    bench.jumping.time += timedelta(hours=5)
    await bench.control("faults", {"headerOnlyReports": 1})
    assert not presumed(await bench.sync(REIMBURSEMENTS))


async def test_a_row_ends_the_emptiness(bench: Bench) -> None:
    await without_data(bench, REIMBURSEMENTS)
    await bench.sync(REIMBURSEMENTS)
    assert known(bench, REIMBURSEMENTS)
    await bench.control("faults", {})
    bench.jumping.time += timedelta(hours=5)
    assert ids(await bench.sync(REIMBURSEMENTS))
    assert known(bench, REIMBURSEMENTS) is None


async def test_a_report_of_fewer_days_is_no_answer_for_all_of_them(bench: Bench) -> None:
    await without_data(bench, REIMBURSEMENTS)
    await bench.sync(REIMBURSEMENTS, window=bench.window(REIMBURSEMENTS, days=3))
    bench.jumping.time += timedelta(hours=1)
    assert presumed(await bench.sync(REIMBURSEMENTS))
    assert len(bench.ordered()) == 2
    bench.jumping.time += timedelta(hours=3, minutes=30)
    assert presumed(await bench.sync(REIMBURSEMENTS)), "all days: the first report is too new"
    bench.jumping.time += timedelta(hours=1)
    assert not presumed(await bench.sync(REIMBURSEMENTS))


# Resuming -----------------------------------------------------------------------------------------


async def test_a_crash_forgets_nothing_and_orders_nothing_again(bench: Bench) -> None:
    """Once the id of the order is stored: what was learned is stored with its page, and the rest
    yields the same."""
    await without_data(bench, REIMBURSEMENTS)
    window = bench.window(REIMBURSEMENTS)
    pages = await bench.sync(REIMBURSEMENTS, window=window)
    whole = known(bench, REIMBURSEMENTS)
    stored: dict[str, str] = {}
    assert len(pages) == 3
    for page in pages[:-1]:
        stored |= page.learned
        if page is pages[0]:
            continue
        assert page.cursor
        bench.restart()
        bench.ours.clear()
        rest = await bench.sync(REIMBURSEMENTS, connect(**stored), window, page.cursor)
        again = known(bench, REIMBURSEMENTS)
        assert again == whole
        assert rest[-1].warning == pages[-1].warning and presumed(rest)
    assert len(bench.ordered()) == 1
    assert not any(empty_key("reimbursements") in page.learned for page in pages[:-1])


@pytest.mark.parametrize("listed_after", [0, 1, 99])
async def test_a_report_whose_id_was_lost_is_read_or_unknown_and_never_empty(
    bench: Bench, listed_after: int
) -> None:
    """A crash between createReport's answer and the store of its id. Amazon's list may lack the
    report for a while; the sync orders it again, and Amazon cancels that order."""
    window = bench.window(REIMBURSEMENTS)
    pages = bench.connector.read(connect(), REIMBURSEMENTS, window, None, bench.waiting)
    before = await anext(pages)  # the order is about to be sent
    await anext(pages)  # its id, which the crash loses
    bench.restart()
    lists = 0

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        nonlocal lists
        bench.jumping.time += timedelta(seconds=1)
        if request.method != "GET" or request.url.path != desk.GET_REPORTS.path:
            return None
        lists += 1
        return httpx.Response(200, json={"reports": []}) if lists <= listed_after else None

    bench.wire.spoil = spoil
    bench.jumping.time += 5 * MINUTE
    if listed_after < 99:
        assert ids(await bench.sync(REIMBURSEMENTS, window=window, cursor=before.cursor))
    else:
        with pytest.raises(Unknowable, match="requested shortly before, and Amazon's answer"):
            await bench.sync(REIMBURSEMENTS, window=window, cursor=before.cursor)
    assert len(bench.ordered()) == (1 if listed_after == 0 else 2)
    assert known(bench, REIMBURSEMENTS) is None


async def test_after_a_lost_answer_a_fatal_report_of_before_is_not_taken_for_no_data(
    bench: Bench,
) -> None:
    window = bench.window(REIMBURSEMENTS)
    await bench.control("faults", {"fatalReports": 1})
    pages = bench.connector.read(connect(), REIMBURSEMENTS, window, None, bench.waiting)
    before = await anext(pages)
    await anext(pages)
    bench.restart()
    await without_data(bench, REIMBURSEMENTS)
    with pytest.raises(Unknowable, match="CANCELLED"):
        await bench.sync(REIMBURSEMENTS, window=window, cursor=before.cursor)


async def test_a_remembered_emptiness_is_used_again_from_any_cursor(bench: Bench) -> None:
    await without_data(bench, REIMBURSEMENTS)
    await bench.sync(REIMBURSEMENTS)
    before = known(bench, REIMBURSEMENTS)
    bench.jumping.time += timedelta(hours=1)
    pages = await bench.sync(REIMBURSEMENTS)
    assert known(bench, REIMBURSEMENTS) == before
    for page in pages[:-1]:
        rest = await bench.sync(REIMBURSEMENTS, cursor=page.cursor or Cursor(""))
        assert presumed(rest) and known(bench, REIMBURSEMENTS) == before
    assert len(bench.ordered()) == 1


@pytest.mark.parametrize("stored", ["", "x", "null", '{"first":1}', "2026"])
async def test_a_memory_of_another_version_is_ignored(bench: Bench, stored: str) -> None:
    learned = {"empty:reimbursements": stored, "rows:reimbursements": stored}
    assert ids(await bench.sync(REIMBURSEMENTS, connect(**learned)))


# Stock --------------------------------------------------------------------------------------------


async def test_a_marketplace_without_stock_is_empty_once_amazon_makes_its_report_first() -> None:
    """After an order for another marketplace, the reason of a cancelled one is unknown."""
    places = (US, CANADA, MEXICO)
    bench = Bench(Settings(orders=120, marketplaces=places, quotas=UNLIMITED, speed=1e5))
    bench.wire.delay = 0.1

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if request.method != "GET" or not request.url.path.startswith(desk.GET_REPORTS.path):
            return None
        body = json.loads(response.content)
        for report in body.get("reports", [body]):
            if report["marketplaceIds"] == [CANADA]:
                report["processingStatus"] = "CANCELLED"
        if "reports" in body:
            reports = body["reports"]
            body["reports"] = [r for r in reports if r["processingStatus"] != "CANCELLED"]
        return httpx.Response(200, json=body)

    bench.wire.spoil = spoil
    with pytest.raises(Unknowable, match=f"for CA .{CANADA}.\\."):
        await bench.read(STOCK, connect(marketplaces=places))
    bench.jumping.time += timedelta(minutes=31)
    pages = await bench.read(STOCK, connect(marketplaces=places))
    assert {key.partition("/")[0] for key in ids(pages)} == {US, MEXICO}
    [warning] = {page.warning for page in pages if page.warning}
    assert f"for CA ({CANADA}), because there is no data" in warning and presumed(pages)
    [learned] = bench.ours.values()
    assert msgspec.json.decode(learned[empty_key("stock", CANADA)])["marketplaces"] == [CANADA]
