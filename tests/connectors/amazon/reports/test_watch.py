"""Waiting for reports: polls, deadlines and failures. A failed report is never taken for empty;
test_memory.py is about those that are."""

import gzip
import json
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.amazon.reports import desk
from connectors.amazon.reports.kinds import (
    FEES,
    LEDGER,
)
from connectors.base import (
    Dataset,
    Page,
    Unknowable,
)
from tests.connectors.amazon.bench import Bench, connect, ids
from tests.connectors.amazon.reports.documents import (
    EACH,
    looked,
)

pytestmark = pytest.mark.anyio

# Failures ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("fault", ["cancelledReports", "fatalReports"])
@EACH
async def test_a_failed_report_is_unknown_and_not_empty(
    bench: Bench, dataset: Dataset, fault: str
) -> None:
    await bench.control("faults", {fault: 1})
    if (dataset, fault) == (FEES, "cancelledReports"):
        # The type has no options, so the report of the other application is used.
        assert ids(await bench.read(dataset))
        return
    with pytest.raises(Unknowable, match="unknown; a later sync tries again"):
        await bench.read(dataset)


async def test_a_report_that_is_never_finished_is_ordered_again_once_and_then_unknown(
    bench: Bench,
) -> None:
    looked(bench, lambda body, number: body.update(processingStatus="IN_PROGRESS"))
    begun = bench.clock.now()
    with pytest.raises(Unknowable, match="did not finish"):
        await bench.read(LEDGER)
    assert len(bench.ordered()) == 2
    spent = bench.clock.now() - begun
    assert 2 * desk.DEADLINE < spent < 2 * desk.DEADLINE + timedelta(minutes=2)


async def test_a_finished_report_without_a_document_is_given_up_soon(bench: Bench) -> None:
    looked(bench, lambda body, number: body.pop("reportDocumentId", None))
    begun = bench.clock.now()
    with pytest.raises(Unknowable, match="unknown; a later sync tries again"):
        await bench.read(LEDGER)
    assert bench.clock.now() - begun < timedelta(minutes=30)


# FATAL ------------------------------------------------------------------------------------------


def complaining(bench: Bench, document: bytes, times: int = 1) -> list[str]:
    """Make the first reports end as FATAL with this document."""

    def edit(body: dict[str, Any], number: int) -> None:
        if number < times and body["processingStatus"] not in desk.UNFINISHED:
            body.update(processingStatus="FATAL", reportDocumentId="complaint")
        elif body["processingStatus"] == "CANCELLED":  # the sandbox has made the first
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
async def test_the_reason_of_a_fatal_report_is_shown_and_it_is_ordered_once_more(
    bench: Bench, pack: Callable[[bytes], bytes]
) -> None:
    why = "The dates are\n\x00 in the future. " + "x" * 1_000
    complaining(bench, pack(json.dumps({"errorDetails": why}).encode()), times=9)
    pages: list[Page] = []
    with pytest.raises(Unknowable, match=r"FATAL: The dates are in the future\. x") as raised:
        async for page in bench.read_pages(
            connect(), LEDGER, bench.window(LEDGER), None, bench.waiting
        ):
            pages.append(page)
    assert len(bench.ordered()) == 2
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500
    assert "unknown; a later sync tries again" in str(raised.value)
    [warning] = {page.warning for page in pages if page.warning}
    assert "The dates are in the future" in warning and "requested again" in warning


async def test_a_report_that_is_fatal_once_is_read_in_the_same_sync(bench: Bench) -> None:
    await bench.control("faults", {"fatalReports": 1})
    pages = []
    async for page in bench.read_pages(
        connect(), LEDGER, bench.window(LEDGER), None, bench.waiting
    ):
        pages.append(page)
        if bench.ordered():
            await bench.control("faults", {})
    assert ids(pages) and pages[-1].cursor is None
    assert len(bench.ordered()) == 2
    [warning] = {page.warning for page in pages if page.warning}
    assert "FATAL" in warning and "requested again" in warning


@pytest.mark.parametrize(
    "document",
    [b"", b"<html>", b"[]", b"[" * 60_000, b'{"errorDetails":"' + b"x" * 100_000 + b'"}', b"\xff"],
    ids=["empty", "html", "list", "nested", "large", "no-utf-8"],
)
async def test_an_unreadable_reason_is_left_out(bench: Bench, document: bytes) -> None:
    complaining(bench, document, times=9)
    with pytest.raises(Unknowable, match="as FATAL, without a reason"):
        await bench.read(LEDGER)


async def test_a_fatal_report_is_not_ordered_again_if_amazon_would_cancel_it(
    bench: Bench,
) -> None:
    await bench.read(LEDGER)
    bench.ours.clear()
    await bench.control("faults", {"fatalReports": 1})
    bench.jumping.time += timedelta(minutes=5)
    looked(bench, lambda body, number: body.update(processingStatus="FATAL"))
    with pytest.raises(Unknowable, match="FATAL"):
        await bench.read(LEDGER)
    assert len(bench.ordered()) == 2


# Polls ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seconds", [20, 61, 300, 1_200, 6_000])
async def test_polls_become_rarer_and_little_time_is_lost(bench: Bench, seconds: float) -> None:
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


async def test_the_duration_of_the_last_report_is_expected_of_the_next(bench: Bench) -> None:
    pages = await bench.read(LEDGER)
    learned = {key: value for page in pages for key, value in page.learned.items()}
    took = float(learned["report:GET_LEDGER_DETAIL_VIEW_DATA"])
    assert took == pytest.approx(60, abs=5)
    bench.jumping.time += timedelta(hours=5)
    first = len(await bench.calls("getReport"))
    pages = await bench.read(LEDGER, connect(**learned))
    assert len(await bench.calls("getReport")) - first <= 5
    assert pages[0].seconds_left == pytest.approx(took, abs=2)
