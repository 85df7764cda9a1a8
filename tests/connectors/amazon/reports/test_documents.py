"""Documents: joined rows, bad rows, and documents without end."""

import gzip
import json
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import closing
from datetime import datetime

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon.orders.report import ORDERS_KIND
from connectors.amazon.reports import desk
from connectors.amazon.reports import documents as documents_module
from connectors.amazon.reports.documents import DocumentRows, Part, ReportKind
from connectors.amazon.reports.kinds import (
    KINDS,
    LEDGER,
)
from connectors.base import (
    Page,
    Record,
    SourceError,
    Unknowable,
)
from connectors.turns import FairTurns
from tests.connectors.amazon.bench import US, Bench, connect, edited
from tests.connectors.amazon.reports.documents import (
    documents,
    everything,
    ledger,
    plain,
    text,
)
from tests.connectors.amazon.reports.test_tables import rounds

pytestmark = pytest.mark.anyio

ORDER_TITLES = (
    *("amazon-order-id", "purchase-date", "last-updated-date", "order-status", "sku", "asin"),
    *("product-name", "quantity", "currency", "item-price"),
)


def order_row(order: str, sku: str) -> str:
    at = "2026-06-01T10:00:00+00:00"
    return "\t".join((order, at, at, "Shipped", sku, "B0", "Lamp", "1", "USD", "9.99"))


async def read_document(
    kind: ReportKind, header: str, lines: Sequence[str]
) -> tuple[list[Record], str]:
    """The records of a document, and the error if it was not read to its end."""

    async def chunks() -> AsyncIterator[list[str]]:
        yield [header]
        for start in range(0, len(lines), 700):
            yield list(lines[start : start + 700])

    part = Part("a report", (US,))
    read: list[Record] = []
    at = datetime.fromisoformat("2026-06-03T00:00:00Z")
    with closing(DocumentRows(kind, part, 0, at, FairTurns())) as rows:
        try:
            async for _, records in rows.records(chunks()):
                read += records
        except SourceError as error:
            return read, str(error)
    return read, ""


def items(records: Sequence[Record]) -> dict[str, list[str]]:
    return {
        record.id: [i["product"]["sellerSku"] for i in json.loads(record.data)["orderItems"]]
        for record in records
    }


@given(st.lists(st.tuples(st.sampled_from("ABC"), st.integers(0, 9)), min_size=1, max_size=120))
async def test_an_order_has_all_its_items_in_any_order_of_rows(
    pairs: list[tuple[str, int]],
) -> None:
    lines = [order_row(order, f"SKU-{n}") for order, n in pairs]
    records, _ = await read_document(ORDERS_KIND, "\t".join(ORDER_TITLES), lines)
    expected: dict[str, list[str]] = {}
    for order, n in pairs:
        expected.setdefault(order, []).append(f"SKU-{n}")
    assert items(records) == expected
    assert [record.id for record in records] == list(expected)


async def test_a_bad_row_between_the_rows_of_an_order_fails_alone() -> None:
    lines = [order_row("A", "1"), "B\tcut", order_row("B", "1"), order_row("A", "2")]
    a, bad, b = (await read_document(ORDERS_KIND, "\t".join(ORDER_TITLES), lines))[0]
    assert items([a, b]) == {"A": ["1", "2"], "B": ["1"]}
    assert bad.error and bad.error.startswith("Row 2 cannot be read: the row ends before")


async def test_the_size_of_one_order_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "MAX_TOGETHER", 10_000, raising=False)
    lines = [order_row("A", f"SKU-{n}") for n in range(1_000)]
    records, why = await read_document(ORDERS_KIND, "\t".join(ORDER_TITLES), lines)
    assert "is too long" in why
    assert 50 < len(items(records)["A"]) < 1_000


def sample(kind: ReportKind) -> tuple[list[str], Callable[[int], str]]:
    """The titles of a report, and a function that makes its n-th row."""
    titles = list(dict.fromkeys(("asin", "productname", *kind.wanted, *kind.filled)))
    steady = {"lastupdateddate": "2026-06-01T10:00:00+00:00", "quantity": "1", "currency": "USD"}

    def row(n: int) -> str:
        return "\t".join(steady.get(title, f"{title}-{n}") for title in titles)

    return titles, row


EVERY = pytest.mark.parametrize("kind", [*KINDS.values(), ORDERS_KIND], ids=[*KINDS, "orders"])


@EVERY
async def test_a_document_that_repeats_itself_is_abandoned_and_yields_each_row_once(
    kind: ReportKind,
) -> None:
    titles, row = sample(kind)
    once, why = await read_document(kind, "\t".join(titles), [row(n) for n in range(300)])
    assert not why and len(once) == 300
    lines = [row(n % 300) for n in range(12_000)]
    records, why = await read_document(kind, "\t".join(titles), lines)
    assert "not read to its end" in why and "the same as rows before them" in why
    assert {record.id: record.data for record in records} == {
        record.id: record.data for record in once
    }


@EVERY
async def test_a_document_of_bad_rows_only_is_abandoned(kind: ReportKind) -> None:
    titles, row = sample(kind)
    lines = [row(0), *(f"{n}\tx" + "\ty" * 40 for n in range(12_000))]
    records, why = await read_document(kind, "\t".join(titles), lines)
    assert "not read to its end" in why and "cannot be read" in why
    assert 10_000 <= len(records) < 10_200
    assert [record.error is None for record in records[:2]] == [True, False]
    assert records[1].error and records[1].error.startswith("Row 2 cannot be read: 42 cells under")


@EVERY
async def test_cells_never_shift_to_another_column(kind: ReportKind) -> None:
    """Unescaped quotation marks, a truncated row, and a row with too many cells."""
    titles, row = sample(kind)
    at = titles.index("productname")

    def named(n: int, name: str) -> str:
        cells = row(n).split("\t")
        cells[at] = name
        return "\t".join(f'"{cell}"' if n % 2 else cell for cell in cells)

    cut = "\t".join(row(3).split("\t")[: len(kind.wanted) - 1])
    lines = [named(1, 'Monitor 24"'), named(2, 'Monitor 24"'), cut, row(4) + "\tmore", row(5)]
    for header in ("\t".join(titles), "\t".join(f'"{title}"' for title in titles)):
        records, _ = await read_document(kind, header, lines)
        assert [record.error is None for record in records] == [True, True, False, False, True]
        assert [b'Monitor 24\\"' in record.data for record in records[:2]] == [True, True]
        assert ["Row 3" in (records[2].error or ""), "Row 4" in (records[3].error or "")] == [
            True,
            True,
        ]


async def test_many_equal_rows_are_all_kept() -> None:
    titles, row = sample(KINDS["ledger"])
    lines = [row(n) for n in range(20) for _ in range(400)]
    records, why = await read_document(KINDS["ledger"], "\t".join(titles), lines)
    assert not why
    assert len({record.id for record in records}) == len(records) == 8_000


async def test_the_number_of_rows_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(documents_module, "MAX_ROWS", 1_000, raising=False)
    titles, row = sample(KINDS["ledger"])
    records, why = await read_document(
        KINDS["ledger"], "\t".join(titles), [row(n) for n in range(2_000)]
    )
    assert "more than 1,000 rows" in why
    assert len(records) == 1_000


async def test_the_records_of_an_endless_document_are_kept_and_resuming_ends_too(
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
        async for page in bench.read_pages(connect(), LEDGER, window, None, bench.waiting):
            pages.append(page)
    assert {record.id for record in whole} <= {page.id for page in everything(pages)}
    assert len(everything(pages)) < 2 * len(whole) + 100
    cursor = pages[-1].cursor
    assert cursor
    with pytest.raises(SourceError, match="not read to its end"):
        await bench.read(LEDGER, window=window, cursor=cursor)
    assert len(seen) == 2


async def test_a_document_of_blank_lines_does_not_block_the_event_loop(bench: Bench) -> None:
    plain(bench)
    documents(bench, lambda body, number: gzip.compress(b"\n" * 12_000_000))

    async def reading() -> None:
        with pytest.raises(SourceError, match="arrived without any rows"):
            await bench.read(LEDGER)

    assert await rounds(reading()) >= 12_000_000 // (64 * 1024)


async def test_a_report_of_another_type_under_our_id_is_ordered_again(bench: Bench) -> None:
    """A source that lost its reports may reuse their ids. (The sandbox cancels the second order,
    since it still has the first and makes one report of this type in four hours.)"""

    def spoil(request: httpx.Request, response: httpx.Response) -> httpx.Response | None:
        if not request.url.path.startswith(f"{desk.GET_REPORTS.path}/") or len(bench.ordered()) > 1:
            return None
        return edited(response, lambda body: body.update(reportType="GET_SOMETHING_ELSE"))

    bench.wire.spoil = spoil
    with pytest.raises(Unknowable, match="CANCELLED"):
        await bench.sync(LEDGER)
    assert len(bench.ordered()) == 2
