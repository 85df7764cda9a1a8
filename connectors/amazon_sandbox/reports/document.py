"""The bytes of a report's document, made while they are read: any size in a small memory."""

import zlib
from collections.abc import Iterable, Iterator
from itertools import chain, islice

from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.reports.kinds import KINDS
from connectors.amazon_sandbox.reports.report import Report
from connectors.amazon_sandbox.reports.scope import Cells, Scope

_PACKED = 1_000  # rows from which a document comes compressed
_BATCH = 500
_SHORT = 7  # every so many rows of a bad document end too early


def is_packed(report: Report) -> bool:
    return report.rows > _PACKED


def charset(seller: Seller) -> str:
    """As the download's Content-Type writes it."""
    return "Cp1252" if seller.western else "UTF-8"


def scope(report: Report, seller: Seller) -> Scope:
    places = frozenset(report.marketplaces)
    return Scope(seller, report.start, report.until, report.created, places, report.copies)


def text(report: Report, seller: Seller) -> Iterator[bytes]:
    """The document before compression, some hundred rows at a time."""
    kind, about = KINDS[report.type], scope(report, seller)
    rows = iter(()) if report.flaw == "header_only" else kind.rows(about)
    if report.flaw == "short_rows":
        rows = _shortened(rows)
    everything = chain([kind.header(about)], rows)
    encoding = "cp1252" if seller.western else "utf-8"
    while batch := list(islice(everything, _BATCH)):
        yield "".join("\t".join(cells) + "\r\n" for cells in batch).encode(encoding, "replace")


def packed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The same as gzip."""
    packer = zlib.compressobj(level=1, wbits=31)
    for chunk in chunks:
        if piece := packer.compress(chunk):
            yield piece
    yield packer.flush()


def cut(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """All but the end, which is lost in the middle of a row (or of the compressed bytes)."""
    kept = b""
    for chunk in chunks:
        if kept:
            yield kept
        kept = chunk
    yield kept[: len(kept) * 2 // 3].rstrip(b"\r\n")


def _shortened(rows: Iterator[Cells]) -> Iterator[Cells]:
    for number, cells in enumerate(rows):
        yield cells[: len(cells) // 2] if number % _SHORT == _SHORT - 1 else cells
