"""Injected faults."""

import zlib
from collections import Counter

import httpx
import pytest

from .bench import (
    DOCUMENTS,
    LEDGER,
    ORDERS,
    ORDERS_BY_DATE,
    ORDERS_BY_UPDATE,
    PARTICIPATIONS,
    REPORTS,
    RETURNS,
    STOCK,
    TRANSACTIONS,
    US,
    Bench,
    error_of,
)

pytestmark = pytest.mark.anyio


async def statuses(bench: Bench, calls: int = 100) -> list[int]:
    return [(await bench.get(PARTICIPATIONS)).status_code for _ in range(calls)]


@pytest.mark.parametrize(("fault", "status"), [("error500", 500), ("throttle", 429)])
async def test_a_share_of_the_calls_fails_and_always_the_same_ones(
    bench: Bench, fault: str, status: int
) -> None:
    await bench.control("faults", {fault: 0.2})
    first = await statuses(bench)
    assert 10 < Counter(first)[status] < 30
    await bench.control("faults", {fault: 0.2})
    assert await statuses(bench) == first


async def test_an_expired_token_stays_expired(bench: Bench) -> None:
    await bench.log_in()
    await bench.control("faults", {"expireTokens": 1})
    assert error_of(await bench.get(PARTICIPATIONS))[0] == 403
    await bench.control("faults", {})
    assert error_of(await bench.get(PARTICIPATIONS))[0] == 403
    await bench.log_in()
    assert (await bench.get(PARTICIPATIONS)).status_code == 200


async def test_slow_delays_every_response(bench: Bench) -> None:
    await bench.control("faults", {"slow": 7.5})
    before = bench.clock.now()
    await bench.get(PARTICIPATIONS)
    assert (bench.clock.now() - before).total_seconds() == 7.5


@pytest.mark.parametrize("share", [1.0, 0.4])
async def test_a_duplicate_page_is_served_twice_and_the_pages_still_end(
    bench: Bench, share: float
) -> None:
    await bench.control("faults", {"duplicatePages": share})
    pages = [page async for page in bench.orders(maxResultsPerPage=10)]
    times = Counter(page["orders"][0]["orderId"] for page in pages)
    assert len(times) == 12
    assert set(times.values()) == ({2} if share == 1 else {1, 2})


async def test_a_duplicate_page_has_another_token(bench: Bench) -> None:
    await bench.control("faults", {"duplicatePages": 1})
    tokens = [
        page["pagination"]["nextToken"]
        async for page in bench.orders(maxResultsPerPage=10)
        if "pagination" in page
    ]
    assert len(tokens) == len(set(tokens)) == 23


@pytest.mark.parametrize(
    "body",
    [
        '{"storm": {"every": 0, "length": 1}}',
        "{",
        '{"error500": 2}',
        '{"eror500": 1}',
        '{"quotas": {"getNothing": [1, 1]}}',
        "[]",
        '{"missingRoles": ["Janitor"]}',
    ],
)
async def test_invalid_faults_are_rejected(bench: Bench, body: str) -> None:
    response = await bench.client.post("/_sandbox/faults", content=body)
    assert error_of(response)[:2] == (400, "InvalidInput")
    assert (await bench.get(f"{ORDERS}/x")).status_code == 404


@pytest.mark.parametrize(
    ("role", "denied"),
    [
        ("Finance and Accounting", [200, 403, 202, 202]),
        ("Inventory and Order Tracking", [403, 200, 202, 403]),
        ("Amazon Fulfillment", [200, 200, 403, 202]),
    ],
)
async def test_a_call_that_needs_a_missing_role_is_denied_without_naming_the_role(
    bench: Bench, role: str, denied: list[int]
) -> None:
    await bench.control("faults", {"missingRoles": [role]})
    answers = [
        await bench.get(ORDERS, {"createdAfter": bench.ago(days=1)}),
        await bench.get(TRANSACTIONS, {"postedAfter": bench.ago(days=1)}),
        *[
            await bench.post(REPORTS, {"reportType": kind, "marketplaceIds": [US]})
            for kind in (STOCK, ORDERS_BY_DATE)
        ],
    ]
    assert [response.status_code for response in answers] == denied
    for rejected in [response for response in answers if response.status_code == 403]:
        message = "Access to requested resource is denied."
        assert error_of(rejected) == (403, "Unauthorized", message)
        assert rejected.json()["errors"][0]["details"] == ""


async def test_an_existing_report_is_denied_once_its_role_is_missing(bench: Bench) -> None:
    report = await bench.finish(await bench.order_report(STOCK))
    paths = [
        f"{REPORTS}/{report['reportId']}",
        f"{DOCUMENTS}/{report['reportDocumentId']}",
        f"{REPORTS}?reportTypes={STOCK}",
    ]
    assert {(await bench.get(path)).status_code for path in paths} == {200}
    await bench.control("faults", {"missingRoles": ["Amazon Fulfillment"]})
    assert {(await bench.get(path)).status_code for path in paths} == {403}


async def test_a_response_that_is_too_large_is_rejected_without_the_reason(bench: Bench) -> None:
    params = {"createdAfter": bench.ago(days=90)}
    size = len((await bench.get(ORDERS, params)).content)
    await bench.control("faults", {"largestAnswer": size})
    assert (await bench.get(ORDERS, params)).status_code == 200
    await bench.control("faults", {"largestAnswer": size - 1})
    rejected = await bench.get(ORDERS, params)
    assert error_of(rejected) == (400, "InvalidInput", "Invalid Input")
    assert (await bench.get(ORDERS, params | {"maxResultsPerPage": 50})).status_code == 200
    assert (await bench.get(PARTICIPATIONS)).status_code == 200


async def download(bench: Bench, kind: str = STOCK) -> httpx.Response:
    """Download the document of a new report."""
    report = await bench.finish(await bench.order_report(kind, 90))
    return await bench.client.get((await bench.link(report["reportDocumentId"]))["url"])


async def test_a_storm_throttles_many_calls_in_a_row(bench: Bench) -> None:
    await bench.control("faults", {"storm": {"every": 5, "length": 3}})
    assert await statuses(bench, 16) == ([200] * 5 + [429] * 3) * 2


@pytest.mark.parametrize(
    ("fault", "status"), [("fatalReports", "FATAL"), ("cancelledReports", "CANCELLED")]
)
async def test_reports_may_fail_without_a_document(bench: Bench, fault: str, status: str) -> None:
    await bench.control("faults", {fault: 1})
    report = await bench.finish(await bench.order_report(STOCK))
    assert report["processingStatus"] == status
    assert "reportDocumentId" not in report
    await bench.control("faults", {})
    report = await bench.finish(await bench.order_report(STOCK))
    assert report["processingStatus"] == "DONE"


async def test_a_report_cancelled_by_a_fault_has_a_reason_in_the_list(bench: Bench) -> None:
    """Another application has ordered the type: the account does have data."""
    await bench.control("faults", {"cancelledReports": 1})
    report = await bench.finish(await bench.order_report(STOCK))
    listed = (await bench.get(REPORTS, {"reportTypes": STOCK})).json()["reports"]
    assert [other["processingStatus"] for other in listed] == ["CANCELLED", "DONE"]
    assert listed[1]["createdTime"] < report["createdTime"]
    assert "afn-total-quantity" in await bench.text(listed[1]["reportId"])


async def test_a_seller_may_have_no_data_for_a_report(bench: Bench) -> None:
    await bench.control("faults", {"reportsWithoutData": [RETURNS]})
    report = await bench.finish(await bench.order_report(RETURNS, 90))
    listed = (await bench.get(REPORTS, {"reportTypes": RETURNS})).json()["reports"]
    assert [other["processingStatus"] for other in listed] == ["CANCELLED"]
    assert "reportDocumentId" not in report
    assert (await bench.finish(await bench.order_report(LEDGER, 90)))["processingStatus"] == "DONE"


async def test_a_document_may_end_in_the_middle_of_a_row(bench: Bench) -> None:
    await bench.control("faults", {"truncatedDownloads": 1})
    response = await download(bench)
    text = response.text
    assert int(response.headers["content-length"]) > len(response.content)
    assert text.count("\r\n") > 3 and not text.endswith("\r\n")


async def test_a_document_may_be_a_truncated_gzip_without_announcing_it(bench: Bench) -> None:
    await bench.control("faults", {"truncatedGzips": 1})
    response = await download(bench)
    unpacker = zlib.decompressobj(wbits=31)
    assert unpacker.decompress(response.content).startswith(b"sku\t")
    assert not unpacker.eof


async def test_a_download_may_return_an_html_page(bench: Bench) -> None:
    await bench.control("faults", {"htmlDownloads": 1})
    response = await download(bench)
    assert response.headers["content-type"].startswith("text/html")
    assert response.text.startswith("<!DOCTYPE html>")


async def test_a_document_may_have_only_its_header(bench: Bench) -> None:
    await bench.control("faults", {"headerOnlyReports": 1})
    assert (await download(bench, RETURNS)).text.count("\r\n") == 1


async def test_rows_may_have_too_few_cells(bench: Bench) -> None:
    await bench.control("faults", {"shortRows": 1})
    header, *rows = (await download(bench)).text.split("\r\n")[:-1]
    short = [row for row in rows if row.count("\t") < header.count("\t")]
    assert len(short) == len(rows) // 7 > 0


async def test_the_ledger_may_be_inflated(bench: Bench) -> None:
    await bench.control("faults", {"inflate": 40})
    response = await download(bench, LEDGER)
    lines = zlib.decompress(response.content, wbits=31).split(b"\r\n")
    assert len(lines) > 4_000
    assert len(set(lines)) > 0.9 * len(lines)


async def test_hidden_rows_leave_out_the_same_orders_of_every_report(bench: Bench) -> None:
    whole = await reported_ids(bench)
    await bench.control("faults", {"hiddenRows": 0.2})
    shown = await reported_ids(bench)
    assert shown < whole
    assert 0.05 < len(whole - shown) / len(whole) < 0.4
    assert await reported_ids(bench) == shown
    missing = next(iter(whole - shown))
    assert (await bench.get(f"{ORDERS}/{missing}")).status_code == 200


async def test_rows_may_be_hidden_in_reports_of_one_type_alone(bench: Bench) -> None:
    whole = await reported_ids(bench)
    await bench.control("faults", {"hiddenRows": 0.2, "hiddenIn": [ORDERS_BY_UPDATE]})
    assert await reported_ids(bench) == whole
    await bench.control("faults", {"hiddenRows": 0.2, "hiddenIn": [ORDERS_BY_DATE]})
    assert await reported_ids(bench) < whole


async def reported_ids(bench: Bench) -> set[str]:
    return {row["amazon-order-id"] for row in await bench.rows(ORDERS_BY_DATE)}


async def test_hidden_pages_are_left_out_without_a_sign(bench: Bench) -> None:
    whole = [page async for page in bench.orders(maxResultsPerPage=10)]
    await bench.control("faults", {"hiddenPages": 0.3})
    shown = [page async for page in bench.orders(maxResultsPerPage=10)]
    assert len(shown) < len(whole)
    assert all(len(page["orders"]) == 10 for page in shown[:-1])
    ids = [order["orderId"] for page in shown for order in page["orders"]]
    assert len(ids) == len(set(ids))
    assert "pagination" not in shown[-1]
