"""Reports 2021-06-30, from the request to the last row."""

import gzip
from typing import Any

import pytest

from connectors.amazon_sandbox import Settings

from .bench import (
    DOCUMENTS,
    FEES,
    LEDGER,
    ORDERS_BY_DATE,
    ORDERS_BY_UPDATE,
    REIMBURSEMENTS,
    REMOVAL_SHIPMENTS,
    REMOVALS,
    REPORTS,
    RETURNS,
    STOCK,
    UNLIMITED,
    US,
    Bench,
    error_of,
)

pytestmark = pytest.mark.anyio

DE = "A1PA6795UKMFR9"


def bench_of(orders: int = 120, **settings: Any) -> Bench:
    return Bench(Settings(orders=orders, quotas=UNLIMITED, **settings))


async def test_a_report_is_done_after_a_minute_and_a_millisecond_per_row(
    bench: Bench,
) -> None:
    report_id = await bench.order_report(STOCK, None)
    assert (await bench.report(report_id))["processingStatus"] == "IN_QUEUE"
    await bench.clock.sleep(30)
    report = await bench.report(report_id)
    assert report["processingStatus"] == "IN_PROGRESS"
    assert "reportDocumentId" not in report
    await bench.clock.sleep(30.01)  # 20 rows
    assert (await bench.report(report_id))["processingStatus"] == "IN_PROGRESS"
    await bench.clock.sleep(0.02)
    report = await bench.report(report_id)
    assert report["processingStatus"] == "DONE"
    assert report["processingEndTime"] == "2026-03-02T09:31:00Z"
    assert report["reportDocumentId"]


async def test_speed_divides_the_duration_of_a_report() -> None:
    bench = bench_of(speed=60)
    report_id = await bench.order_report(STOCK, None)
    await bench.clock.sleep(1.01)
    assert (await bench.report(report_id))["processingStatus"] == "DONE"


async def test_only_a_queued_report_can_be_cancelled(bench: Bench) -> None:
    first = await bench.order_report(STOCK, None)
    cancelled = await bench.send("DELETE", f"{REPORTS}/{first}")
    assert (cancelled.status_code, cancelled.json()) == (200, {})
    assert (await bench.report(first))["processingStatus"] == "CANCELLED"
    second = await bench.order_report(RETURNS)
    await bench.finish(second)
    response = await bench.send("DELETE", f"{REPORTS}/{second}")
    assert error_of(response)[:2] == (400, "InvalidInput")


async def test_a_report_belongs_to_its_seller(bench: Bench) -> None:
    report = await bench.finish(await bench.order_report(STOCK, None))
    await bench.log_in("Atzr|sandbox-2")
    assert error_of(await bench.get(f"{REPORTS}/{report['reportId']}"))[0] == 404
    assert error_of(await bench.get(f"{DOCUMENTS}/{report['reportDocumentId']}"))[0] == 404


@pytest.mark.parametrize(
    "body",
    [
        {"reportType": "GET_NOTHING", "marketplaceIds": [US]},
        {"reportType": STOCK},
        {"reportType": STOCK, "marketplaceIds": []},
        {"reportType": STOCK, "marketplaceIds": [DE]},
        {"reportType": LEDGER, "marketplaceIds": [US], "dataStartTime": "yesterday"},
        {"reportType": LEDGER, "marketplaceIds": [US], "dataEndTime": "2030-01-01T00:00:00Z"},
        [],
    ],
)
async def test_an_invalid_request_is_rejected(bench: Bench, body: object) -> None:
    assert error_of(await bench.post(REPORTS, body))[:2] == (400, "InvalidInput")


@pytest.mark.parametrize(("kind", "hours"), [(REIMBURSEMENTS, 4.0), (STOCK, 0.5)])
async def test_a_report_requested_too_often_is_cancelled_instead_of_throttled(
    bench: Bench, kind: str, hours: float
) -> None:
    assert (await bench.finish(await bench.order_report(kind)))["processingStatus"] == "DONE"
    await bench.log_in(client_id="another application")
    second = await bench.finish(await bench.order_report(kind))
    assert second["processingStatus"] == "CANCELLED"
    await bench.clock.sleep(hours * 3_600)
    await bench.log_in()
    assert (await bench.finish(await bench.order_report(kind)))["processingStatus"] == "DONE"


@pytest.mark.parametrize("kind", [REIMBURSEMENTS, RETURNS, REMOVALS, REMOVAL_SHIPMENTS, LEDGER])
async def test_a_report_of_days_without_events_is_cancelled(bench: Bench, kind: str) -> None:
    """Also one after the other: none was made, so none is in the way of the next."""
    await bench.log_in("Atzr|sandbox-1-0")
    more = {"dataEndTime": bench.ago(days=299)}
    for _ in range(2):
        report = await bench.finish(await bench.order_report(kind, 300, **more))
        assert report["processingStatus"] == "CANCELLED"
        assert "reportDocumentId" not in report
    assert (await bench.finish(await bench.order_report(STOCK)))["processingStatus"] == "DONE"


async def test_the_limit_applies_to_all_marketplaces_together() -> None:
    bench = bench_of(marketplaces=(US, "A2EUQ1WTGCTBG2"))
    assert (await bench.finish(await bench.order_report(STOCK)))["processingStatus"] == "DONE"
    for places in (["A2EUQ1WTGCTBG2"], [US, "A2EUQ1WTGCTBG2"]):
        second = await bench.order_report(STOCK, marketplaceIds=places)
        assert (await bench.finish(second))["processingStatus"] == "CANCELLED"
    await bench.clock.sleep(1_800)
    second = await bench.order_report(STOCK, marketplaceIds=["A2EUQ1WTGCTBG2"])
    assert (await bench.finish(second))["processingStatus"] == "DONE"


async def test_reports_of_orders_have_no_interval_but_at_most_thirty_days(
    bench: Bench,
) -> None:
    for days, status in ((30, "DONE"), (30, "DONE"), (31, "FATAL")):
        report = await bench.finish(await bench.order_report(ORDERS_BY_DATE, days))
        assert report["processingStatus"] == status


async def test_a_list_of_reports_continues_with_its_token_alone(bench: Bench) -> None:
    created = [await bench.order_report(ORDERS_BY_DATE, 5) for _ in range(3)]
    params = {"reportTypes": ORDERS_BY_DATE, "pageSize": 2}
    first = (await bench.get(REPORTS, params)).json()
    token = {"nextToken": first["nextToken"]}
    message = error_of(await bench.get(REPORTS, params | token))[2]
    assert message == "NextToken cannot be specified with other input parameters"
    second = (await bench.get(REPORTS, token)).json()
    assert "nextToken" not in second
    listed = [report["reportId"] for report in first["reports"] + second["reports"]]
    assert sorted(listed) == sorted(created)


async def test_reports_are_listed_by_type_and_status_for_ninety_days(bench: Bench) -> None:
    await bench.finish(await bench.order_report(STOCK, None))

    async def count(**params: str) -> int:
        return len((await bench.get(REPORTS, {"reportTypes": STOCK, **params})).json()["reports"])

    assert await count(processingStatuses="DONE") == 1
    assert await count(processingStatuses="FATAL,CANCELLED") == 0
    assert await count(createdUntil=bench.ago(days=1)) == 0
    await bench.clock.sleep(91 * 86_400)
    await bench.log_in()
    assert await count() == 0
    for params in ({}, {"reportTypes": STOCK, "createdSince": bench.ago(days=91)}):
        assert error_of(await bench.get(REPORTS, params))[0] == 400


async def test_older_fee_previews_are_still_listed(bench: Bench) -> None:
    listed = (await bench.get(REPORTS, {"reportTypes": FEES})).json()["reports"]
    assert len(listed) in (2, 3)
    days = [report["createdTime"][:10] for report in listed]
    assert days == sorted(days, reverse=True) and days[-1] > bench.ago(days=90)
    for report in listed:
        assert "expected-fulfillment-fee-per-unit" in await bench.text(report["reportId"])


async def test_a_url_expires_after_five_minutes_and_accepts_no_token(bench: Bench) -> None:
    report = await bench.finish(await bench.order_report(STOCK, None))
    url = (await bench.link(report["reportDocumentId"]))["url"]
    assert (await bench.get(url)).status_code == 403
    assert (await bench.client.get(url[:-1])).status_code == 403
    await bench.clock.sleep(299)
    assert (await bench.client.get(url)).status_code == 200
    await bench.clock.sleep(1)
    assert (await bench.client.get(url)).status_code == 403


async def test_a_large_document_is_compressed() -> None:
    bench = bench_of(1_000)
    report = await bench.finish(await bench.order_report(LEDGER, 90))
    link = await bench.link(report["reportDocumentId"])
    assert link["compressionAlgorithm"] == "GZIP"
    content = (await bench.client.get(link["url"])).content
    assert gzip.decompress(content).startswith(b'"Date"\t"FNSKU"')


@pytest.mark.parametrize("kind", [ORDERS_BY_DATE, ORDERS_BY_UPDATE])
async def test_the_report_has_the_same_orders_as_the_search(bench: Bench, kind: str) -> None:
    rows = []
    for days in (90, 60, 30):
        more = {"dataEndTime": bench.ago(days=days - 30, seconds=1)}
        rows += await bench.rows(kind, days, **more)
    searched = {
        (order["orderId"], item["product"]["sellerSku"])
        async for page in bench.orders()
        for order in page["orders"]
        for item in order["orderItems"]
    }
    assert {(row["amazon-order-id"], row["sku"]) for row in rows} == searched
    assert {row["order-status"] for row in rows} >= {"Shipped", "Cancelled"}


async def test_the_ledger_ignores_dates_in_the_options(bench: Bench) -> None:
    options = {"dataStartTime": bench.ago(days=90), "dataEndTime": bench.ago(days=0)}
    text = await bench.text(await bench.order_report(LEDGER, None, reportOptions=options))
    assert text.count("\r\n") == 1


@pytest.mark.parametrize(
    ("seed", "columns", "quoted"), [(1, 16, True), (2, 16, False), (4, 12, True)]
)
async def test_the_ledger_has_an_older_and_a_newer_layout(
    bench: Bench, seed: int, columns: int, quoted: bool
) -> None:
    await bench.log_in(f"Atzr|sandbox-{seed}")
    header, first, *_ = (await bench.text(await bench.order_report(LEDGER, 90))).split("\r\n")
    assert len(header.split("\t")) == columns
    assert first.startswith('"') is quoted
    month, day, year = first.split("\t")[0].strip('"').split("/")
    assert int(month) <= 12 and int(day) <= 31 and int(year) in (2025, 2026)


@pytest.mark.parametrize(("seed", "charset"), [(1, "UTF-8"), (2, "Cp1252")])
async def test_the_download_names_its_encoding(bench: Bench, seed: int, charset: str) -> None:
    await bench.log_in(f"Atzr|sandbox-{seed}")
    report = await bench.finish(await bench.order_report(STOCK, None))
    link = await bench.link(report["reportDocumentId"])
    response = await bench.client.get(link["url"])
    assert response.headers["content-type"] == f"text/plain;charset={charset}"
    assert "Größe".encode(charset) in response.content
    assert b"?" not in response.content


async def test_reports_on_goods_cover_the_whole_account() -> None:
    places = (US, "A2EUQ1WTGCTBG2")
    bench = bench_of(500, marketplaces=places)
    home_rows = await bench.rows(REIMBURSEMENTS, 300)
    bench.marketplace = places[1]
    await bench.clock.sleep(4 * 3_600)
    bench.token = ""
    assert await bench.rows(REIMBURSEMENTS, 300) == home_rows


async def test_europe_has_decimal_commas_and_its_own_fee_columns() -> None:
    bench = bench_of(500, marketplaces=(DE,))
    fees = await bench.rows(FEES, None)
    assert "expected-domestic-fulfilment-fee-per-unit" in fees[0]
    paid = await bench.rows(REIMBURSEMENTS, 300)
    assert all("," in row["amount-total"] and row["currency-unit"] == "EUR" for row in paid)


async def test_only_reimbursements_of_returns_and_removals_name_an_order(bench: Bench) -> None:
    await bench.log_in("Atzr|sandbox-1-1000")
    rows = await bench.rows(REIMBURSEMENTS, 300)
    for row in rows:
        of_an_order = row["reason"] in ("CustomerReturn", "Lost_Outbound")
        assert bool(row["amazon-order-id"]) is of_an_order
    reversals = [row for row in rows if row["reason"] == "Reimbursement_Reversal"]
    ids = {row["reimbursement-id"] for row in rows}
    assert reversals and 0.9 * len(rows) < len(ids) < len(rows), "some have two lines"
    for row in reversals:
        assert float(row["amount-total"]) < 0 and row["original-reimbursement-id"] in ids


async def test_the_window_limits_the_rows() -> None:
    bench = bench_of(1_000)
    for kind in (RETURNS, REMOVALS, REMOVAL_SHIPMENTS):
        rows = await bench.rows(kind, 150)
        await bench.clock.sleep(4 * 3_600)
        bench.token = ""
        assert 0 < len(await bench.rows(kind, 40)) < len(rows)


async def test_a_fee_preview_needs_a_window_of_three_days(bench: Bench) -> None:
    report = await bench.finish(await bench.order_report(FEES, 1))
    assert report["processingStatus"] == "CANCELLED"
    assert (await bench.finish(await bench.order_report(FEES, 4)))["processingStatus"] == "DONE"


async def test_the_setting_rows_repeats_the_shipments_of_the_ledger() -> None:
    bench = bench_of(rows=5)
    rows = await bench.rows(LEDGER, 90)
    references = [row['"Reference ID"'] for row in rows if row['"Event Type"'] == '"Shipments"']
    assert len(references) == 5 * len(
        [reference for reference in references if len(reference) == 14]
    )


async def test_the_ledger_has_equal_rows_of_separate_events(bench: Bench) -> None:
    await bench.log_in("Atzr|sandbox-1-1000")
    lines = (await bench.text(await bench.order_report(LEDGER, 90))).split("\r\n")
    assert len(set(lines)) < len(lines)


async def test_a_license_plate_may_occur_twice(bench: Bench) -> None:
    await bench.log_in("Atzr|sandbox-1-1000")
    plates = [row["license-plate-number"] for row in await bench.rows(RETURNS, 155)]
    counts = (await bench.client.get("/_sandbox/sellers/1-1000")).json()["rows"]
    assert len(set(plates)) == counts["returns"] < len(plates)
