"""Report documents as rows: bytes in any of Amazon's encodings, lines, cells, one dictionary a row.

Everything streams: a document of any size is read in a bounded memory."""

import codecs
import csv
import re
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence

from connectors.base import Retryable, SourceError

CHARSETS = {"cp1252": "cp1252", "windows-31j": "cp932", "shift_jis": "cp932", "utf-8": "utf-8-sig"}
TEXT = (
    r"ascii|utf-8(-sig)?|utf-(16|32)(-[bl]e)?|iso8859-\d+|cp125\d|cp(932|936|949|950)"
    r"|shift_jis(x0213|_2004)?|euc_jp|euc_kr|iso2022_jp|big5|gb2312|gbk|gb18030|koi8-[ru]|mac-roman"
)
"""The encodings of text, by Python's names, that a document may have."""
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 1_000_000
PIECE = 256 * 1024

Row = dict[str, str]


class Malformed(ValueError):
    """A row that does not fit its header; and the line that it came as."""

    line = ""


async def unpacked(chunks: AsyncIterator[bytes], packed: bool) -> AsyncIterator[bytes]:
    """Without gzip, where it is said or seen to be there. Raises Retryable if it breaks off."""
    head, unpacker = b"", None
    started = False
    async for chunk in chunks:
        if not started:
            head += chunk
            if len(head) < len(GZIP_MAGIC):
                continue
            started, chunk = True, head
            if packed or chunk.startswith(GZIP_MAGIC):
                unpacker = _Unpacker()
        for piece in unpacker.unpack(chunk) if unpacker else (chunk,):
            yield piece
    if not started and head:
        yield head
    if unpacker is not None and not unpacker.ended:
        raise Retryable("The document broke off before its end. Try again later.")


class _Unpacker:
    """Gzip in small pieces, however much a few bytes unpack to; one member or several."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def ended(self) -> bool:
        return self._member.eof

    def unpack(self, data: bytes) -> Iterator[bytes]:
        more = False  # what is unpacked, but had no room in the piece
        while data or more:
            if self._member.eof:
                if not data.strip(b"\0"):
                    return  # padding
                self._member = zlib.decompressobj(wbits=31)
            try:
                piece = self._member.decompress(data, PIECE)
            except zlib.error as error:
                raise Retryable(f"The document is damaged ({error}). Try again later.") from error
            yield piece
            data = self._member.unconsumed_tail or self._member.unused_data
            more = len(piece) == PIECE and not self._member.eof


async def lines(chunks: AsyncIterator[bytes], charset: str | None) -> AsyncIterator[list[str]]:
    """Whole lines, as many as each chunk ends. Without a known charset it is Windows' own for the
    West, as Amazon's flat files have always been."""
    decoder = codecs.getincrementaldecoder(_codec(charset))(errors="replace")
    rest, tabs = "", 0
    async for chunk in chunks:
        rest += decoder.decode(chunk)
        *whole, rest = rest.split("\n")
        if len(rest) > LONGEST_LINE:
            raise SourceError("The document has no lines: it is no report.")
        if whole:
            tabs = whole[-1].count("\t")
            yield [line.rstrip("\r") for line in whole]
    rest += decoder.decode(b"", final=True)
    if rest.strip("\r\x00\x1a "):
        if rest.count("\t") < tabs:
            raise Retryable("The document broke off in the middle of a row. Try again later.")
        yield [rest.rstrip("\r")]


def _codec(charset: str | None) -> str:
    """Python's name of a charset. One that is unknown, or is no charset (as zlib, hex or idna are
    none, though Python has codecs of these names), is taken for Windows' own for the West."""
    named = (charset or "")[:40].lower()
    try:
        name = CHARSETS.get(named) or codecs.lookup(named).name
    except (LookupError, ValueError):
        return "cp1252"
    if not re.fullmatch(TEXT, name):
        return "cp1252"
    return "utf-8-sig" if name == "utf-8" else name


def key(title: str) -> str:
    """A column's name whichever way it is spelled: `Event Type`, `EventType`, `event-type`."""
    return re.sub(r"[^a-z0-9]", "", title.lower())


class Table:
    """Reads the lines of one document: the first is its header."""

    def __init__(self, wanted: Sequence[str]) -> None:
        self._wanted = set(wanted)
        self.columns: list[str] = []
        self._quoted = False

    def rows(self, found: Sequence[str]) -> Iterator[Row | Malformed]:
        """A dictionary for each line. Raises SourceError if this is not the report it should be,
        Retryable if it is a web page."""
        start = 0
        if not self.columns and found:
            self._begin(found[0])
            start = 1
        for line in found[start:]:
            if line.strip():
                row = self._row(line)
                if isinstance(row, Malformed):
                    row.line = line
                yield row

    def _begin(self, header: str) -> None:
        self._quoted = header.lstrip("\ufeff").startswith('"')
        self.columns = [key(cell) for cell in self._cells(header)]
        if missing := self._wanted - set(self.columns):
            if header.lstrip("\ufeff ").startswith("<"):
                raise Retryable("A web page came instead of the report. Try again later.")
            raise SourceError(
                "This is no such report but another document: it has no column "
                f"{', '.join(sorted(missing))}."
            )

    def _cells(self, line: str) -> list[str]:
        # Only some reports quote their cells. In the others a quotation mark is just a mark.
        if not self._quoted:
            return line.split("\t")
        return next(csv.reader([line], delimiter="\t"), [])

    def _row(self, line: str) -> Row | Malformed:
        try:
            cells = self._cells(line)
        except csv.Error as error:
            return Malformed(str(error))
        if len(cells) > len(self.columns):
            if any(cells[len(self.columns) :]):
                return Malformed(f"{len(cells)} cells under {len(self.columns)} columns")
            cells = cells[: len(self.columns)]
        row = dict(zip(self.columns, (cell.strip() for cell in cells), strict=False))
        if missing := self._wanted - set(row):
            return Malformed(f"the row ends before {', '.join(sorted(missing))}")
        return row
