"""Report documents as rows: every encoding, layout and damage that Amazon is known for."""

import gzip
from collections.abc import AsyncIterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectors.amazon.tables import Malformed, Row, Table, lines, unpacked
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
) -> list[Row | Malformed]:
    table = Table(wanted)
    return [
        row
        async for found in lines(unpacked(in_chunks(data, size), packed), charset)
        for row in table.rows(found)
    ]


async def test_a_row_is_a_dictionary_by_normalised_titles() -> None:
    rows = await read(f"{HEADER}\nA-1\tLamp\t3\n".encode())
    assert rows == [{"sku": "A-1", "productname": "Lamp", "quantity": "3"}]


@pytest.mark.parametrize("title", ["Event Type", "EventType", "event-type", '"Event Type"'])
async def test_a_title_is_the_same_however_it_is_spelled(title: str) -> None:
    assert await read(f"{title}\nReceipts".encode(), wanted=("eventtype",)) == [
        {"eventtype": "Receipts"}
    ]


@pytest.mark.parametrize("packed", [True, False])
async def test_gzip_is_unpacked_by_flag_or_by_its_first_bytes(packed: bool) -> None:
    data = gzip.compress(f"{HEADER}\nA-1\tLamp\t3".encode())
    assert len(await read(data, packed=packed)) == 1


async def test_a_truncated_gzip_is_told_apart_from_its_end() -> None:
    data = gzip.compress(f"{HEADER}\nA-1\tLamp\t3".encode() * 50)
    with pytest.raises(Retryable, match="broke off"):
        await read(data[:-9])


async def test_damaged_gzip_is_worth_another_try() -> None:
    data = bytearray(gzip.compress(f"{HEADER}\nA-1\tLamp\t3".encode() * 50))
    data[20:24] = b"\xff\xff\xff\xff"
    with pytest.raises(Retryable):
        await read(bytes(data))


@pytest.mark.parametrize(
    ("charset", "codec"),
    [("Cp1252", "cp1252"), ("UTF-8", "utf-8"), ("windows-31j", "cp932"), (None, "cp1252")],
)
async def test_the_charset_is_the_one_that_is_said_else_windows_own(
    charset: str | None, codec: str
) -> None:
    name = "ランプ" if codec == "cp932" else "Stühle für 5 £"
    rows = await read(f"{HEADER}\nA-1\t{name}\t3".encode(codec), charset=charset)
    assert rows == [{"sku": "A-1", "productname": name, "quantity": "3"}]


async def test_a_byte_order_mark_is_no_part_of_the_first_title() -> None:
    rows = await read(f"\ufeff{HEADER}\nA-1\tLamp\t3".encode(), charset="utf-8")
    assert isinstance(rows[0], dict) and rows[0]["sku"] == "A-1"


async def test_an_unknown_charset_is_read_as_windows_own() -> None:
    rows = await read(f"{HEADER}\nA-1\tStühle\t3".encode("cp1252"), charset="x-klingon")
    assert isinstance(rows[0], dict) and rows[0]["productname"] == "Stühle"


async def test_quoted_cells_lose_their_quotes_only_where_the_header_has_them() -> None:
    quoted = '"sku"\t"product-name"\t"quantity"\r\n"A-1"\t"5"" pipe"\t"3"\r\n'
    assert await read(quoted.encode()) == [
        {"sku": "A-1", "productname": '5" pipe', "quantity": "3"}
    ]
    plain = f'{HEADER}\nA-1\t5" pipe\t3\nA-2\t"x\t4'
    found = await read(plain.encode())
    assert [isinstance(row, dict) and row["productname"] for row in found] == ['5" pipe', '"x']


async def test_an_older_layout_without_the_last_columns_is_read() -> None:
    assert await read(b"sku\tquantity\nA-1\t3") == [{"sku": "A-1", "quantity": "3"}]


async def test_a_row_that_lacks_only_optional_cells_is_read() -> None:
    data = b"sku\tquantity\tstore\nA-1\t3\n"
    assert await read(data) == [{"sku": "A-1", "quantity": "3"}]


async def test_a_row_with_too_few_or_too_many_cells_costs_itself() -> None:
    rows = await read(f"{HEADER}\nA-1\nA-2\tx\t1\tmore\nA-3\tLamp\t3\t\n".encode())
    assert [type(row) for row in rows] == [Malformed, Malformed, dict]


async def test_a_document_that_ends_in_the_middle_of_a_row_is_worth_another_try() -> None:
    with pytest.raises(Retryable, match="middle of a row"):
        await read(f"{HEADER}\nA-1\tLamp\t3\nA-2\tCha".encode())


async def test_a_header_alone_is_an_empty_report() -> None:
    assert await read(f"{HEADER}\n".encode()) == []


async def test_a_web_page_is_no_report_and_worth_another_try() -> None:
    with pytest.raises(Retryable, match="web page"):
        await read(b"<html><body>Service unavailable</body></html>")


async def test_another_report_is_not_taken_for_this_one() -> None:
    with pytest.raises(SourceError, match="has no column quantity"):
        await read(b"sku\tprice\nA-1\t3")


async def test_bytes_without_lines_do_not_fill_the_memory() -> None:
    with pytest.raises(SourceError, match="no lines"):
        await read(b"x" * 3_000_000, size=65536)


@given(
    names=st.lists(st.text(st.characters(codec="cp1252", exclude_characters="\t\r\n\x1a"))),
    size=st.integers(1, 50),
    packed=st.booleans(),
)
async def test_wherever_the_chunks_end_the_rows_are_the_same(
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


async def test_little_that_unpacks_to_much_comes_in_small_pieces() -> None:
    data = gzip.compress(b"x\ty\n" * 5_000_000)
    sizes = [len(piece) async for piece in unpacked(in_chunks(data, 65536), True)]
    assert sum(sizes) == 20_000_000
    assert max(sizes) <= 256 * 1024


async def test_a_quoted_row_that_is_no_csv_costs_itself() -> None:
    long = "x" * 200_000
    data = f'"sku"\t"quantity"\n"A-1"\t"{long}"\nA\r-2\t3\n"A-3"\t"5"\n'
    rows = await read(data.encode(), size=65536)
    assert [type(row) for row in rows] == [Malformed, Malformed, dict]
