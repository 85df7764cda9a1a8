"""The bytes of a report document, generated while they are read, so that memory stays small."""

import zlib
from collections.abc import Iterable, Iterator
from functools import partial
from itertools import chain, islice

from connectors.amazon_sandbox.faults import is_hidden
from connectors.amazon_sandbox.generator.seller import Seller
from connectors.amazon_sandbox.reports.definitions import DEFINITIONS
from connectors.amazon_sandbox.reports.report import StoredReport
from connectors.amazon_sandbox.reports.scope import Cells, Scope

_MAX_UNCOMPRESSED_ROWS = 1_000
_BATCH = 500  # rows
_SHORT_ROW_INTERVAL = 7


def is_compressed(report: StoredReport) -> bool:
    return report.rows > _MAX_UNCOMPRESSED_ROWS


def charset(seller: Seller) -> str:
    """The charset that the download's Content-Type names."""
    return "Cp1252" if seller.uses_cp1252 else "UTF-8"


def scope(report: StoredReport, seller: Seller) -> Scope:
    marketplaces = frozenset(report.marketplaces)
    hides = partial(is_hidden, seed=report.hidden_by, share=report.hidden)
    return Scope(
        seller, report.start, report.until, report.created, marketplaces, report.copies, hides
    )


def text(report: StoredReport, seller: Seller) -> Iterator[bytes]:
    """The document before compression, in chunks of some hundred rows."""
    definition, report_scope = DEFINITIONS[report.type], scope(report, seller)
    rows = iter(()) if report.flaw == "header_only" else definition.rows(report_scope)
    if report.flaw == "short_rows":
        rows = _with_short_rows(rows)
    all_rows = chain([definition.header(report_scope)], rows)
    encoding = "cp1252" if seller.uses_cp1252 else "utf-8"
    while batch := list(islice(all_rows, _BATCH)):
        yield "".join("\t".join(cells) + "\r\n" for cells in batch).encode(encoding, "replace")


def compressed(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks as a gzip stream."""
    compressor = zlib.compressobj(level=1, wbits=31)
    for chunk in chunks:
        if piece := compressor.compress(chunk):
            yield piece
    yield compressor.flush()


def truncated(chunks: Iterable[bytes]) -> Iterator[bytes]:
    """The chunks without the end: they stop in the middle of a row or of the compressed data."""
    pending = b""
    for chunk in chunks:
        if pending:
            yield pending
        pending = chunk
    yield pending[: len(pending) * 2 // 3].rstrip(b"\r\n")


def _with_short_rows(rows: Iterator[Cells]) -> Iterator[Cells]:
    for number, cells in enumerate(rows):
        yield (
            cells[: len(cells) // 2]
            if number % _SHORT_ROW_INTERVAL == _SHORT_ROW_INTERVAL - 1
            else cells
        )
