"""Parses report documents: decompression, charset, lines, cells, one dictionary per row.

Everything is streamed: a document of any size is read in bounded memory."""

import codecs
import re
import zlib
from collections.abc import AsyncIterator, Iterator, Sequence

from anyio.lowlevel import checkpoint

from connectors.base import Retryable, SourceError

CHARSETS = {"cp1252": "cp1252", "windows-31j": "cp932", "shift_jis": "cp932", "utf-8": "utf-8-sig"}
TEXT = (
    r"ascii|utf-8(-sig)?|utf-(16|32)(-[bl]e)?|iso8859-\d+|cp125\d|cp(932|936|949|950)"
    r"|shift_jis(x0213|_2004)?|euc_jp|euc_kr|iso2022_jp|big5|gb2312|gbk|gb18030|koi8-[ru]|mac-roman"
)
"""The charsets that a document may have, by Python's names."""
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 1_000_000
PIECE = 64 * 1024
"""Bytes that are decompressed and split before other tasks of the event loop run."""
MAX_COLUMNS = 500
"""The widest of these reports has 40 columns."""
MAX_BLANK = 16 * 1024 * 1024
"""Bytes of blank lines in a row, or compressed bytes without content; a report has none."""
MAX_BYTES = 4 * 1024**3
"""The most bytes of one document, compressed or not. The longest report of a seller with 100,000
ledger events a day has 10,000,000 rows of 400 bytes."""

Row = dict[str, str]


class BadRow(ValueError):
    """A row that does not match the header; `line` is its text."""

    def __init__(self, why: str, line: str = "") -> None:
        super().__init__(why)
        self.line = line


async def unpacked(chunks: AsyncIterator[bytes], packed: bool) -> AsyncIterator[bytes]:
    """Decompress a document if it is announced as gzip or starts like gzip. Lets other tasks run
    before each piece.

    Raises Retryable if the document is truncated, SourceError if it is too long or is empty."""
    head, unpacker = b"", None
    started = False
    bounds = _Bounds()
    async for chunk in chunks:
        if not started:
            head += chunk
            if len(head) < len(GZIP_MAGIC):
                continue
            started, chunk = True, head
            if packed or chunk.startswith(GZIP_MAGIC):
                unpacker = _Unpacker()
        for start in range(0, len(chunk), PIECE):
            part = chunk[start : start + PIECE]
            bounds.received(len(part))
            for piece in unpacker.unpack(part) if unpacker else (part,):
                await checkpoint()
                if piece:
                    bounds.produced(len(piece))
                    yield piece
    if not started and head:
        yield head
    if unpacker is not None and not unpacker.ended:
        raise Retryable("The document ended before it was complete. Try again later.")


class _Bounds:
    """Counts the bytes of a document, compressed and decompressed. Raises SourceError beyond the
    size of any real report."""

    def __init__(self) -> None:
        self._received = 0
        self._produced = 0
        self._idle = 0  # bytes received since the last decompressed output

    def received(self, size: int) -> None:
        self._received += size
        self._idle += size
        if self._idle > MAX_BLANK:
            raise SourceError(
                f"The document has no rows: {self._idle:,} bytes of it decompress to nothing."
            )
        self._check(self._received)

    def produced(self, size: int) -> None:
        self._produced += size
        self._idle = 0
        self._check(self._produced)

    def _check(self, size: int) -> None:
        if size > MAX_BYTES:
            raise SourceError(
                f"The document is too long: more than {MAX_BYTES:,} bytes. The rest is not read."
            )


class _Unpacker:
    """Decompresses gzip of one or several members in small pieces, whatever its ratio."""

    def __init__(self) -> None:
        self._member = zlib.decompressobj(wbits=31)

    @property
    def ended(self) -> bool:
        return self._member.eof

    def unpack(self, data: bytes) -> Iterator[bytes]:
        more = False  # whether output is left that did not fit into the piece
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
    """Yield the complete lines of each chunk, without blank ones. The default charset is
    Windows-1252, as in Amazon's older flat files."""
    decoder = codecs.getincrementaldecoder(_codec(charset))(errors="replace")
    rest, blank, tabs = _PartialLine(), 0, 0
    async for chunk in chunks:
        whole = rest.add(decoder.decode(chunk))
        blank = 0 if whole else blank + len(chunk)
        if blank > MAX_BLANK + LONGEST_LINE:
            raise SourceError(f"The document has no rows: {blank:,} bytes of it are blank lines.")
        if whole:
            tabs = whole[-1].count("\t")
            yield whole
    last = rest.text() + decoder.decode(b"", final=True)
    if last.strip("\r\x00\x1a "):
        if last.count("\t") < tabs:
            raise Retryable("The document ended in the middle of a row. Try again later.")
        yield [last.rstrip("\r")]


class _PartialLine:
    """The pieces of a line whose end has not arrived yet."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def text(self) -> str:
        return "".join(self._parts)

    def add(self, text: str) -> list[str]:
        """The lines that end in `text`, without blank ones. Raises SourceError if a line is too
        long."""
        before, end, after = text.rpartition("\n")
        whole: list[str] = []
        if end:
            before = self.text() + before
            if before and not before.isspace():  # skips a piece of line ends alone
                whole = [line.rstrip("\r") for line in before.split("\n") if line.strip()]
            self._parts, self._size = [], 0
        if after:
            self._parts.append(after)
            self._size += len(after)
        if self._size > LONGEST_LINE:
            raise SourceError("The document has no lines: it is not a report.")
        return whole


def _codec(charset: str | None) -> str:
    """Python's name of a charset. Windows-1252 for an unknown one, and for names such as zlib, hex
    and idna, which Python accepts as codecs but which are not charsets."""
    named = (charset or "")[:40].lower()
    try:
        name = CHARSETS.get(named) or codecs.lookup(named).name
    except (LookupError, ValueError):
        return "cp1252"
    if not re.fullmatch(TEXT, name):
        return "cp1252"
    return "utf-8-sig" if name == "utf-8" else name


def key(title: str) -> str:
    """The normalised name of a column: `Event Type`, `EventType` and `event-type` are the same."""
    return re.sub(r"[^a-z0-9]", "", title.lower())


class Table:
    """Parses the lines of one document; the first is the header.

    A row must have the `wanted` columns, and the `filled` ones if the header has them: Amazon omits
    only optional cells at the end."""

    def __init__(self, wanted: Sequence[str], filled: Sequence[str] = ()) -> None:
        self._wanted = set(wanted)
        self._filled = set(filled)
        self._least = 0
        self.columns: list[str] = []

    def rows(self, lines: Sequence[str]) -> Iterator[Row | BadRow]:
        """One dictionary per line. Raises SourceError if the document is another report, Retryable
        if it is a web page."""
        for line in lines:
            if not line.strip():
                continue
            if self.columns:
                yield self._row(line)
            else:
                self._read_header(line)

    def _read_header(self, header: str) -> None:
        if header.lstrip("\ufeff ").startswith("<"):
            raise Retryable("Amazon sent a web page instead of the report. Try again later.")
        header = header.removeprefix("\ufeff")
        self.columns = [key(unquoted(cell)) for cell in header.split("\t", MAX_COLUMNS)]
        if missing := self._wanted - set(self.columns):
            raise SourceError(
                "The document is not the expected report: it has no column "
                f"{', '.join(sorted(missing))}."
            )
        if len(self.columns) > MAX_COLUMNS:
            raise SourceError(
                f"The document is not a report: it has more than {MAX_COLUMNS} columns."
            )
        needed = [n for n, name in enumerate(self.columns, 1) if name in self._needed]
        self._least = max(needed, default=0)

    def _row(self, line: str) -> Row | BadRow:
        cells = line.split("\t", len(self.columns))
        if len(cells) > len(self.columns) and cells.pop().strip('\t\r "'):
            count = line.count("\t") + 1
            return BadRow(f"{count} cells under {len(self.columns)} columns", line)
        if len(cells) < self._least:
            missing = [name for name in self.columns[len(cells) :] if name in self._needed]
            return BadRow(f"the row ends before {', '.join(sorted(missing))}", line)
        return dict(zip(self.columns, map(unquoted, cells), strict=False))

    @property
    def _needed(self) -> set[str]:
        return self._wanted | self._filled


def unquoted(cell: str) -> str:
    """A cell without its enclosing quotation marks, whether or not those inside it are doubled.
    Amazon quotes some reports, sometimes only the header or only the rows, and mostly without
    escaping: `"Monitor 24""` means `Monitor 24"`."""
    cell = cell.strip()
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"':
        return cell
    inner = cell[1:-1]
    if '"' in inner and '"' not in inner.replace('""', ""):
        inner = inner.replace('""', '"')
    return inner.strip()
