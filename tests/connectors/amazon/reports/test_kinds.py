"""The rows of each kind of report: ids, layouts, marketplaces."""

from datetime import datetime, timedelta

import pytest

from connectors.amazon.context import ReadContext
from connectors.amazon.orders.report import ORDERS_KIND
from connectors.amazon.reports import reader
from connectors.amazon.reports.documents import Part
from connectors.amazon.reports.kinds import (
    FEES,
    KINDS,
    LEDGER,
    REIMBURSEMENTS,
    REMOVAL_SHIPMENTS,
    REMOVALS,
    STOCK,
)
from connectors.amazon_sandbox import Settings
from connectors.base import (
    Page,
    Window,
)
from tests.connectors.amazon.bench import UNLIMITED, US, Bench, connect, ids
from tests.connectors.amazon.reports.documents import (
    documents,
    everything,
    ledger,
    plain,
    rows,
    text,
)

pytestmark = pytest.mark.anyio


async def test_all_rows_are_read(large: Bench) -> None:
    counts = await large.rows()
    expected = {
        REIMBURSEMENTS: counts["reimbursements"],
        REMOVALS: counts["removals"],
        REMOVAL_SHIPMENTS: counts["removalShipments"],
    }
    for dataset, count in expected.items():
        window = large.window(dataset, days=400)
        read = ids(await large.read(dataset, window=window))
        assert len(read) == len(set(read)) == count


async def test_equal_ledger_rows_are_separate_and_keep_their_ids(bench: Bench) -> None:
    plain(bench)

    def threefold(body: bytes, number: int) -> bytes:
        header, lines = ledger(body)
        return text(header, [line for line in lines for _ in range(3)])

    documents(bench, lambda body, number: None)
    once = ids(await bench.read(LEDGER))
    documents(bench, threefold)
    read = ids(await bench.read(LEDGER))
    assert len(read) == len(set(read)) == 3 * len(once)
    assert set(once) < set(read)
    assert ids(await bench.read(LEDGER)) == read


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


async def test_a_ledger_row_keeps_its_id_in_a_layout_with_more_columns(bench: Bench) -> None:
    plain(bench)
    before = ids(await bench.read(LEDGER))

    def wider(body: bytes, number: int) -> bytes:
        header, lines = ledger(body)
        return text(f"{header}\tSupplier", [f"{line}\tSomebody" for line in lines])

    documents(bench, wider)
    assert ids(await bench.read(LEDGER)) == before


async def test_shipments_of_a_removal_differ_by_disposition_or_are_numbered(large: Bench) -> None:
    plain(large)
    once = ids(await large.read(REMOVAL_SHIPMENTS))

    def edited(body: bytes, number: int) -> bytes:
        """Each row again with another disposition, and once more as it is, without its parcel."""
        header, lines = ledger(body)
        titles, cells = header.split("\t"), [line.split("\t") for line in lines]
        tracking, disposition = titles.index("tracking-number"), titles.index("disposition")
        for row in [*cells]:
            cells.append([*row[:disposition], "Expired", *row[disposition + 1 :]])
            cells.append([*row[:tracking], "", *row[tracking + 1 :]])
        return text(header, ["\t".join(row) for row in cells])

    documents(large, edited)
    read = ids(await large.read(REMOVAL_SHIPMENTS))
    assert len(read) == len(set(read)) == 3 * len(once) > 0
    assert set(once) < set(read)
    assert {key for key in read if "Expired" in key}


def test_a_licence_plate_with_two_dates_is_one_return_and_with_two_orders_two() -> None:
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


async def test_malformed_rows_fail_alone_and_keep_their_ids(large: Bench) -> None:
    await large.control("faults", {"shortRows": 1})
    pages = await large.read(LEDGER)
    bad = [record for record in everything(pages) if record.error]
    assert len(bad) == len(everything(pages)) // 7
    assert len({record.id for record in everything(pages)}) == len(everything(pages))
    assert everything(await large.read(LEDGER)) == everything(pages)


async def test_a_page_break_at_a_malformed_row_loses_nothing(
    large: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    await large.control("faults", {"shortRows": 1})
    window = large.window(LEDGER)
    whole = ids(await large.read(LEDGER, window=window))
    for size in (1, 7, 6):
        monkeypatch.setattr(reader, "ROWS_A_PAGE", size)
        assert ids(await large.read(LEDGER, window=window)) == whole


async def test_a_preview_of_each_day_is_kept(bench: Bench) -> None:
    pages = await bench.read(FEES)
    days = {row["snapshotat"] for row in rows(pages)}
    assert len(days) > 1
    assert (
        len(ids(pages)) == len(set(ids(pages))) == len(days) * (await bench.rows())["feePreviews"]
    )
    assert {row["marketplaceid"] for row in rows(pages)} == {US}


async def test_without_a_marketplace_the_dataset_is_empty(bench: Bench) -> None:
    assert await bench.read(STOCK, connect(marketplaces=())) == [Page([], share=1.0)]


async def test_a_report_of_orders_that_ends_early_is_not_reused(bench: Bench) -> None:
    """The search starts where the report of orders ends: nothing between them may be missing."""
    until = bench.clock.now() - timedelta(days=2)
    for later in (timedelta(0), timedelta(minutes=20)):
        past = Window(until - timedelta(days=20), until + later)
        context = ReadContext(bench.client, bench.clock, connect(), past, bench.waiting)
        report_reader = reader.ReportReader(context, ORDERS_KIND)
        assert [page async for page in report_reader.read(None)]
    assert len(bench.ordered()) == 2
