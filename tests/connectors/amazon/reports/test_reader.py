"""Reading reports: a read resumes from any cursor, and lost or damaged reports are replaced."""

import gzip
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import httpx
import pytest

from connectors.amazon.reports import reader
from connectors.amazon.reports.kinds import (
    FEES,
    LEDGER,
)
from connectors.base import (
    Cursor,
    Dataset,
    Page,
    Retryable,
    Unknowable,
)
from tests.connectors.amazon.bench import Bench, connect, ids
from tests.connectors.amazon.reports.documents import (
    EACH,
    documents,
    everything,
    looked,
    plain,
)

pytestmark = pytest.mark.anyio

# Resuming ---------------------------------------------------------------------------------------


@EACH
async def test_a_read_resumes_from_any_cursor_and_orders_nothing_again(
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
async def test_an_invalid_cursor_starts_from_the_beginning(bench: Bench, cursor: str) -> None:
    whole = ids(await bench.read(LEDGER))
    assert ids(await bench.read(LEDGER, cursor=Cursor(cursor))) == whole


# Lost reports -----------------------------------------------------------------------------------


def reset(bench: Bench) -> Any:
    """Make the source lose every report."""
    return bench.control("reset")


@EACH
@pytest.mark.parametrize("at", ["ordered", "read"])
async def test_a_report_that_the_source_lost_is_ordered_again_and_read_completely(
    large: Bench, dataset: Dataset, at: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From any cursor. Rows of the lost report keep their ids in the new one."""
    monkeypatch.setattr(reader, "ROWS_A_PAGE", 50)
    window = large.window(dataset)
    pages = await large.read(dataset, window=window)
    expected = set(ids(pages))
    first = next(n for n, page in enumerate(pages) if page.records)
    for number in [1, first] if at == "ordered" else [first + 1, len(pages) - 1]:
        if number >= len(pages):
            continue
        large.jumping.time += timedelta(minutes=5)
        await reset(large)
        large.restart()
        before = len(large.ordered())
        rest = await large.read(dataset, window=window, cursor=pages[number - 1].cursor)
        read = ids([*pages[:number], *rest])
        assert len(large.ordered()) == before + 1
        if (
            dataset is not FEES or number == len(pages) - 1
        ):  # a preview has the time of its report in its id
            assert set(read) == expected
        assert len(set(read)) == len(expected)


async def test_a_report_that_is_lost_repeatedly_is_given_up(bench: Bench) -> None:
    """The counter is in the cursor: resuming does not reset it."""
    looked(bench, lambda body, number: body.update(status=404, errors=[{"code": "NotFound"}]))
    pages: list[Page] = []
    with pytest.raises(Unknowable, match="404"):
        async for page in bench.read_pages(
            connect(), LEDGER, bench.window(LEDGER), None, bench.waiting
        ):
            pages.append(page)
    assert len(bench.ordered()) == 1 + 3
    bench.restart()
    with pytest.raises(Unknowable, match="404"):
        await bench.read(LEDGER, cursor=pages[-1].cursor)
    assert len(bench.ordered()) == 1 + 3


# Documents --------------------------------------------------------------------------------------


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
async def test_a_damaged_document_is_downloaded_again_and_then_an_error(
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
async def test_simulated_download_faults_lose_no_rows(large: Bench, fault: str) -> None:
    await large.control("faults", {fault: 0.5})
    assert len(ids(await large.read(LEDGER))) > 1_000


async def test_an_expired_address_is_requested_again(large: Bench) -> None:
    window = large.window(LEDGER)
    reading = large.read_pages(connect(), LEDGER, window, None, large.waiting)
    first = [await anext(reading) for _ in range(3)]
    assert ids(first)
    large.jumping.time += timedelta(minutes=20)
    large.restart()
    rest = await large.read(LEDGER, window=window, cursor=first[-1].cursor)
    read = ids([*first, *rest])
    assert len(read) == len(set(read))
    assert len(await large.calls("getReportDocument")) == 2
    assert set(await large.statuses("download")) == {200}
