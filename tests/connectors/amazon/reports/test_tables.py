"""Parsing of report documents: the charsets, layouts and defects that Amazon is known for."""

import gzip
from collections.abc import AsyncIterator, Coroutine
from typing import Any

import anyio
import pytest
from anyio.lowlevel import checkpoint
from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon.reports import tables
from connectors.amazon.reports.tables import BadRow, Row, Table, lines, unpacked
from connectors.base import Retryable, SourceError

pytestmark = pytest.mark.anyio

HEADER = "sku\tproduct-name\tquantity"


async def in_chunks(data: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def read(
    data: bytes,
    *,
    size: int = 7,
    packed: bool = False,
    charset: str | None = None,
    wanted: tuple[str, ...] = ("sku", "quantity"),
) -> list[Row | BadRow]:
    table = Table(wanted)
    return [
        row
        async for chunk in lines(unpacked(in_chunks(data, size), packed), charset)
        for row in table.rows(chunk)
    ]


async def test_a_row_is_a_dictionary_with_normalised_keys() -> None:
    rows = await read(f"{HEADER}\nA-1\tLamp\t3\n".encode())
    assert rows == [{"sku": "A-1", "productname": "Lamp", "quantity": "3"}]


@pytest.mark.parametrize("title", ["Event Type", "EventType", "event-type", '"Event Type"'])
async def test_a_title_is_normalised(title: str) -> None:
    assert await read(f"{title}\nReceipts".encode(), wanted=("eventtype",)) == [
        {"eventtype": "Receipts"}
    ]


@pytest.mark.parametrize("packed", [True, False])
async def test_gzip_is_unpacked_by_flag_or_by_its_first_bytes(packed: bool) -> None:
    data = gzip.compress(f"{HEADER}\nA-1\tLamp\t3".encode())
    assert len(await read(data, packed=packed)) == 1


async def test_a_truncated_gzip_is_detected() -> None:
    data = gzip.compress(f"{HEADER}\nA-1\tLamp\t3".encode() * 50)
    with pytest.raises(Retryable, match="ended before it was complete"):
        await read(data[:-9])


async def test_damaged_gzip_is_retryable() -> None:
    data = bytearray(gzip.compress(f"{HEADER}\nA-1\tLamp\t3".encode() * 50))
    data[20:24] = b"\xff\xff\xff\xff"
    with pytest.raises(Retryable):
        await read(bytes(data))


@pytest.mark.parametrize(
    ("charset", "codec"),
    [("Cp1252", "cp1252"), ("UTF-8", "utf-8"), ("windows-31j", "cp932"), (None, "cp1252")],
)
async def test_the_announced_charset_is_used_or_windows_1252(
    charset: str | None, codec: str
) -> None:
    name = "ランプ" if codec == "cp932" else "Stühle für 5 £"
    rows = await read(f"{HEADER}\nA-1\t{name}\t3".encode(codec), charset=charset)
    assert rows == [{"sku": "A-1", "productname": name, "quantity": "3"}]


async def test_a_byte_order_mark_is_not_part_of_the_first_title() -> None:
    rows = await read(f"\ufeff{HEADER}\nA-1\tLamp\t3".encode(), charset="utf-8")
    assert isinstance(rows[0], dict) and rows[0]["sku"] == "A-1"


async def test_an_unknown_charset_is_read_as_windows_1252() -> None:
    rows = await read(f"{HEADER}\nA-1\tStühle\t3".encode("cp1252"), charset="x-klingon")
    assert isinstance(rows[0], dict) and rows[0]["productname"] == "Stühle"


@pytest.mark.parametrize("header", [HEADER, '"sku"\t"product-name"\t"quantity"'])
@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ('"Monitor 24""', 'Monitor 24"'),
        ('"5"" pipe"', '5" pipe'),
        ('"5" pipe"', '5" pipe'),
        ('5" pipe', '5" pipe'),
        ('"x', '"x'),
        ('x"', 'x"'),
        ('"', '"'),
        ('""', ""),
        ('"Lamp" ', "Lamp"),
    ],
)
async def test_one_quotation_mark_is_removed_from_each_end_of_a_cell(
    header: str, cell: str, name: str
) -> None:
    rows = await read(f'{header}\r\n"A-1"\t{cell}\t3\r\nA-2\tLamp\t"4"\r\n'.encode())
    assert rows == [
        {"sku": "A-1", "productname": name, "quantity": "3"},
        {"sku": "A-2", "productname": "Lamp", "quantity": "4"},
    ]


async def test_an_older_layout_without_the_last_columns_is_read() -> None:
    assert await read(b"sku\tquantity\nA-1\t3") == [{"sku": "A-1", "quantity": "3"}]


async def test_a_row_that_lacks_only_optional_cells_is_read() -> None:
    data = b"sku\tquantity\tstore\nA-1\t3\n"
    assert await read(data) == [{"sku": "A-1", "quantity": "3"}]


async def test_a_row_with_too_few_or_too_many_cells_fails_alone() -> None:
    rows = await read(f"{HEADER}\nA-1\nA-2\tx\t1\tmore\nA-3\tLamp\t3\t\n".encode())
    assert [type(row) for row in rows] == [BadRow, BadRow, dict]


async def test_a_document_that_ends_in_the_middle_of_a_row_is_retryable() -> None:
    with pytest.raises(Retryable, match="middle of a row"):
        await read(f"{HEADER}\nA-1\tLamp\t3\nA-2\tCha".encode())


async def test_a_header_without_rows_is_an_empty_report() -> None:
    assert await read(f"{HEADER}\n".encode()) == []


async def test_a_web_page_instead_of_a_report_is_retryable() -> None:
    with pytest.raises(Retryable, match="web page"):
        await read(b"<html><body>Service unavailable</body></html>")


async def test_another_report_is_rejected() -> None:
    with pytest.raises(SourceError, match="has no column quantity"):
        await read(b"sku\tprice\nA-1\t3")


async def test_bytes_without_lines_do_not_fill_the_memory() -> None:
    with pytest.raises(SourceError, match="no lines"):
        await read(b"x" * 3_000_000, size=65536)


@given(
    names=st.lists(st.text(st.characters(codec="cp1252", exclude_characters='\t\r\n\x1a"'))),
    size=st.integers(1, 50),
    packed=st.booleans(),
)
async def test_the_rows_do_not_depend_on_the_chunks(
    names: list[str], size: int, packed: bool
) -> None:
    text = "\r\n".join([HEADER, *(f"A-{n}\t{name}\t1" for n, name in enumerate(names))])
    data = text.encode("cp1252")
    rows = await read(gzip.compress(data) if packed else data, size=size)
    assert rows == [
        {"sku": f"A-{n}", "productname": name.strip(), "quantity": "1"}
        for n, name in enumerate(names)
    ]


async def test_gzip_of_several_members_is_read_to_its_end() -> None:
    text = f"{HEADER}\nA-1\tLamp\t3\nA-2\tChair\t4\n".encode()
    data = gzip.compress(text[:30]) + gzip.compress(text[30:]) + b"\0\0\0"
    for size in (1, 7, 1000):
        assert len(await read(data, size=size)) == 2


async def test_gzip_of_a_high_ratio_is_decompressed_in_small_pieces() -> None:
    data = gzip.compress(b"x\ty\n" * 5_000_000)
    sizes = [len(piece) async for piece in unpacked(in_chunks(data, 65536), True)]
    assert sum(sizes) == 20_000_000
    assert max(sizes) <= 256 * 1024


async def test_a_tab_inside_quotation_marks_fails_its_row_and_shifts_no_cells() -> None:
    data = '"sku"\t"product-name"\t"quantity"\n"A-1"\t"a\tb"\t"3"\n"A-2"\t""\t"5"\n'
    bad, good = await read(data.encode())
    assert isinstance(bad, BadRow) and str(bad) == "4 cells under 3 columns"
    assert good == {"sku": "A-2", "productname": "", "quantity": "5"}


async def test_a_row_that_ends_before_a_filled_column_fails_alone() -> None:
    table = Table(("sku",), ("quantity", "currency"))
    chunk = ["sku\tquantity\tnote", "A-1\t3", "A-2", "A-3\t\t"]
    first, second, third = table.rows(chunk)
    assert first == {"sku": "A-1", "quantity": "3"}
    assert isinstance(second, BadRow) and str(second) == "the row ends before quantity"
    assert third == {"sku": "A-3", "quantity": "", "note": ""}


async def test_a_header_of_too_many_columns_is_rejected() -> None:
    with pytest.raises(SourceError, match="more than 500 columns"):
        await read(b"sku\tquantity" + b"\tx" * 400_000 + b"\n", size=65536)


# Documents without end or rows --------------------------------------------------------------------

HOSTILE = {
    "line ends": b"\n",
    "Windows line ends": b"\r\n",
    "spaces": b"   \n",
    "tabs": b"\t\t\n",
    "short lines": b"x\n",
    "rows": b"A-1\tLamp\t3\n",
}


async def rounds(reading: Coroutine[Any, Any, Any]) -> int:
    """How often another task runs during the read."""
    count = 0

    async def tick() -> None:
        nonlocal count
        while True:
            await checkpoint()
            count += 1

    async with anyio.create_task_group() as group:
        group.start_soon(tick)
        await checkpoint()
        await reading
        group.cancel_scope.cancel()
    return count


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("line", HOSTILE.values(), ids=HOSTILE.keys())
async def test_other_tasks_run_between_the_pieces_of_a_document(line: bytes, packed: bool) -> None:
    data = HEADER.encode() + b"\n" + line * (4_000_000 // len(line))
    whole = gzip.compress(data) if packed else data

    async def consume() -> None:
        chunks = in_chunks(whole, len(whole))
        async for chunk in lines(unpacked(chunks, packed), None):
            assert len(chunk) <= 64 * 1024

    assert await rounds(consume()) >= len(data) // (64 * 1024)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("head", [b"", HEADER.encode(), HEADER.encode() + b"\nA-1\tLamp\t3"])
async def test_a_document_that_continues_with_blank_lines_has_no_rows(
    head: bytes, packed: bool
) -> None:
    data = head + b"\r\n" * 9_000_000
    data = gzip.compress(data, 1) if packed else data
    with pytest.raises(SourceError, match="has no rows"):
        await read(data, packed=packed, size=65536)


async def test_gzip_members_without_content_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "MAX_BLANK", 1_000_000, raising=False)
    data = gzip.compress(b"") * 60_000
    with pytest.raises(SourceError, match="decompress to nothing"):
        await read(data, packed=True, size=65536)
    assert await rounds(read(data[:400_000], packed=True, size=400_000)) >= 10_000


@pytest.mark.parametrize("packed", [True, False])
async def test_an_endless_document_is_read_up_to_a_limit(
    packed: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "MAX_BYTES", 1_000_000, raising=False)
    data = f"{HEADER}\n".encode() + b"A-1\tLamp\t3\n" * 100_000
    with pytest.raises(SourceError, match="more than 1,000,000 bytes"):
        await read(gzip.compress(data) if packed else data, packed=packed, size=65536)


async def test_gzip_inside_gzip_is_rejected() -> None:
    data = gzip.compress(gzip.compress(f"{HEADER}\nA-1\tLamp\t3\n".encode()))
    with pytest.raises(SourceError):
        await read(data, packed=True, size=65536)


async def test_a_long_line_that_arrives_byte_by_byte_is_joined_once() -> None:
    name = "x" * 200_000
    [row] = await read(f"{HEADER}\nA-1\t{name}\t3\n".encode(), size=1)
    assert isinstance(row, dict) and row["productname"] == name
