"""Finding and ordering reports: each one is ordered once, and only usable ones are used."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.amazon.reports import desk
from connectors.amazon.reports.documents import ReportKind
from connectors.amazon.reports.kinds import (
    KINDS,
    LEDGER,
    REIMBURSEMENTS,
    STOCK,
)
from connectors.amazon_sandbox import Settings
from connectors.base import (
    Dataset,
    Unknowable,
)
from tests.connectors.amazon.bench import CANADA, MEXICO, UNLIMITED, US, Bench, connect, ids
from tests.connectors.amazon.reports.documents import (
    EACH,
    WIDE,
    everything,
)

pytestmark = pytest.mark.anyio

# Finding and ordering ---------------------------------------------------------------------------


@EACH
async def test_a_fresh_report_is_reused_and_a_stale_one_is_not(
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


def reports_kind(dataset: Dataset) -> ReportKind:
    return KINDS[dataset.name]


async def test_an_unfinished_report_is_awaited_and_not_ordered_again(
    bench: Bench,
) -> None:
    """A crash after createReport, before its id was stored."""
    window = bench.window(LEDGER)
    reading = bench.connector.read(connect(), LEDGER, window, None, bench.waiting)
    first = await anext(reading)
    await anext(reading)
    assert len(bench.ordered()) == 1
    bench.jumping.time += timedelta(seconds=30)
    bench.restart()
    assert ids(await bench.read(LEDGER, window=window, cursor=first.cursor))
    assert len(bench.ordered()) == 1


async def test_after_a_cancelled_order_the_existing_report_is_read(bench: Bench) -> None:
    """The network failed after createReport: it was sent twice, and the second order is
    cancelled."""
    broke: list[httpx.Request] = []

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if request.method != "POST" or response.status_code != 202 or broke:
            return None
        broke.append(request)
        return httpx.Response(503)

    bench.wire.spoil = spoil
    read = ids(await bench.read(LEDGER))
    assert len(bench.ordered()) == 2
    assert len(read) == len(set(read)) > 0


async def test_a_report_of_another_marketplace_or_a_shorter_span_is_not_used(bench: Bench) -> None:
    places = (US, CANADA)
    bench = Bench(Settings(orders=120, marketplaces=places, quotas=UNLIMITED))
    short = bench.window(LEDGER, days=30)
    await bench.read(LEDGER, window=short)
    bench.jumping.time += timedelta(minutes=10)
    with pytest.raises(Unknowable):  # ordered too often, and the existing report is not usable
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
            return httpx.Response(200, json=answers[0])
        answers.append(json.loads(response.content))
        return httpx.Response(200, json={"reports": [], "nextToken": "more"})

    answers: list[Any] = []
    await bench.read(LEDGER)
    bench.wire.spoil = spoil
    await bench.read(LEDGER)
    assert len(bench.ordered()) == 1


async def test_an_endless_list_of_reports_is_abandoned(bench: Bench) -> None:
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


async def test_account_wide_reports_are_ordered_once_and_others_per_marketplace() -> None:
    places = (US, CANADA, MEXICO)
    bench = Bench(Settings(orders=120, marketplaces=places, quotas=UNLIMITED))
    connection = connect(marketplaces=places)
    for dataset in WIDE:
        read = ids(await bench.read(dataset, connection))
        assert read
        [order] = bench.ordered()[-1:]
        assert order["marketplaceIds"] == list(places)
    assert len(bench.ordered()) == len(WIDE)
    pages = bench.read_pages(connection, STOCK, bench.window(STOCK), None, bench.waiting)
    for _ in range(2 * len(places)):  # the pending order is stored first, then its id
        await anext(pages)
    assert [order["marketplaceIds"] for order in bench.ordered()[-3:]] == [
        [marketplace] for marketplace in places
    ]


# Own reports ------------------------------------------------------------------------------------


@pytest.mark.parametrize("dataset", [*WIDE, STOCK], ids=lambda dataset: dataset.name)
async def test_a_listed_report_of_another_application_is_not_used(
    bench: Bench, dataset: Dataset
) -> None:
    """It covers the span, but may have been ordered with a filter of events."""

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
    assert not [request for request in bench.wire.requests if "foreign" in request.url.path]


async def test_a_report_cancelled_in_favour_of_another_application_is_unknown(bench: Bench) -> None:
    await bench.read(LEDGER)
    bench.ours.clear()  # as if another application had ordered it
    bench.jumping.time += timedelta(minutes=10)
    with pytest.raises(Unknowable, match="This application did not request that one"):
        await bench.read(LEDGER)


async def test_the_number_of_stored_report_ids_is_bounded(bench: Bench) -> None:
    many = ",".join(str(number) for number in range(desk.MAX_KEPT))
    pages = await bench.read(LEDGER, connect(**{"ordered:GET_LEDGER_DETAIL_VIEW_DATA": many}))
    stored = pages[-1].learned["ordered:GET_LEDGER_DETAIL_VIEW_DATA"].split(",")
    assert len(stored) == desk.MAX_KEPT
    assert stored[0] == "1"
