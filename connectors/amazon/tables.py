"""Report documents as rows: bytes in any of Amazon's encodings, lines, cells, one dictionary a row.

Everything streams: a document of any size is read in a bounded memory."""

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
"""The encodings of text, by Python's names, that a document may have."""
GZIP_MAGIC = b"\x1f\x8b"
LONGEST_LINE = 1_000_000
PIECE = 64 * 1024
"""Bytes that are unpacked and split before others on the event loop get their turn."""
MOST_COLUMNS = 500
"""The widest report of those that are read here has 40 columns."""
MOST_BLANK = 16 * 1024 * 1024
"""Bytes of blank lines in a row, or packed bytes that unpack to nothing; a report has none."""
MOST_BYTES = 4 * 1024**3
"""Of one document, packed or unpacked. A seller with 100,000 ledger events a day has 10,000,000 of
them in the longest report, of 400 bytes each."""

Row = dict[str, str]


class Malformed(ValueError):
    """A row that does not fit its header; and the line that it came as."""

    def __init__(self, why: str, line: str = "") -> None:
        super().__init__(why)
        self.line = line


async def unpacked(chunks: AsyncIterator[bytes], packed: bool) -> AsyncIterator[bytes]:
    """Without gzip, where it is announced or its first bytes show it; a turn for others before each
    piece. Raises Retryable if it breaks off, SourceError if it does not end or holds nothing."""
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
            bounds.came(len(part))
            for piece in unpacker.unpack(part) if unpacker else (part,):
                await checkpoint()
                if piece:
                    bounds.gave(len(piece))
                    yield piece
    if not started and head:
        yield head
    if unpacker is not None and not unpacker.ended:
        raise Retryable("The document broke off before its end. Try again later.")


class _Bounds:
    """How much of a document came, and what it unpacked to. Raises SourceError beyond any real
    report."""

    def __init__(self) -> None:
        self._came = 0
        self._gave = 0
        self._idle = 0  # bytes that came since anything was unpacked

    def came(self, size: int) -> None:
        self._came += size
        self._idle += size
        if self._idle > MOST_BLANK:
            raise SourceError(
                f"The document holds no rows: {self._idle:,} bytes of it unpack to nothing."
            )
        self._check(self._came)

    def gave(self, size: int) -> None:
        self._gave += size
        self._idle = 0
        self._check(self._gave)

    def _check(self, size: int) -> None:
        if size > MOST_BYTES:
            raise SourceError(
                f"The document does not end: it has more than {MOST_BYTES:,} bytes. What follows "
                "is not read."
            )


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
    """Whole lines that are not blank, as many as each chunk ends. Without a known charset it is
    Windows' own for the West, as Amazon's flat files have always been."""
    decoder = codecs.getincrementaldecoder(_codec(charset))(errors="replace")
    rest, blank, tabs = _Rest(), 0, 0
    async for chunk in chunks:
        whole = rest.add(decoder.decode(chunk))
        blank = 0 if whole else blank + len(chunk)
        if blank > MOST_BLANK + LONGEST_LINE:
            raise SourceError(f"The document holds no rows: {blank:,} bytes of it are blank lines.")
        if whole:
            tabs = whole[-1].count("\t")
            yield whole
    last = rest.text() + decoder.decode(b"", final=True)
    if last.strip("\r\x00\x1a "):
        if last.count("\t") < tabs:
            raise Retryable("The document broke off in the middle of a row. Try again later.")
        yield [last.rstrip("\r")]


class _Rest:
    """The beginning of a line that has not ended yet, in the pieces that it came in."""

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._size = 0

    def text(self) -> str:
        return "".join(self._parts)

    def add(self, text: str) -> list[str]:
        """The lines that end in `text`, without blank ones. Raises SourceError for one without
        end."""
        before, end, after = text.rpartition("\n")
        whole: list[str] = []
        if end:
            before = self.text() + before
            if before and not before.isspace():  # a piece of line ends alone makes no list
                whole = [line.rstrip("\r") for line in before.split("\n") if line.strip()]
            self._parts, self._size = [], 0
        if after:
            self._parts.append(after)
            self._size += len(after)
        if self._size > LONGEST_LINE:
            raise SourceError("The document has no lines: it is no report.")
        return whole


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
    """Reads the lines of one document: the first is its header.

    Each row has the `wanted` columns, and reaches those that are `filled` if the header has them:
    Amazon leaves out no more than optional cells at the end."""

    def __init__(self, wanted: Sequence[str], filled: Sequence[str] = ()) -> None:
        self._wanted = set(wanted)
        self._filled = set(filled)
        self._least = 0
        self.columns: list[str] = []

    def rows(self, found: Sequence[str]) -> Iterator[Row | Malformed]:
        """A dictionary for each line. Raises SourceError if this is not the report it should be,
        Retryable if it is a web page."""
        for line in found:
            if not line.strip():
                continue
            if self.columns:
                yield self._row(line)
            else:
                self._begin(line)

    def _begin(self, header: str) -> None:
        if header.lstrip("\ufeff ").startswith("<"):
            raise Retryable("A web page came instead of the report. Try again later.")
        header = header.removeprefix("\ufeff")
        self.columns = [key(bare(cell)) for cell in header.split("\t", MOST_COLUMNS)]
        if missing := self._wanted - set(self.columns):
            raise SourceError(
                "This is no such report but another document: it has no column "
                f"{', '.join(sorted(missing))}."
            )
        if len(self.columns) > MOST_COLUMNS:
            raise SourceError(f"This is no report: it has more than {MOST_COLUMNS} columns.")
        needed = [n for n, name in enumerate(self.columns, 1) if name in self._needed]
        self._least = max(needed, default=0)

    def _row(self, line: str) -> Row | Malformed:
        cells = line.split("\t", len(self.columns))
        if len(cells) > len(self.columns) and cells.pop().strip('\t\r "'):
            count = line.count("\t") + 1
            return Malformed(f"{count} cells under {len(self.columns)} columns", line)
        if len(cells) < self._least:
            missing = [each for each in self.columns[len(cells) :] if each in self._needed]
            return Malformed(f"the row ends before {', '.join(sorted(missing))}", line)
        return dict(zip(self.columns, map(bare, cells), strict=False))

    @property
    def _needed(self) -> set[str]:
        return self._wanted | self._filled


def bare(cell: str) -> str:
    """A cell without the quotation marks around it, whether or not those inside it are doubled.
    Amazon quotes some reports, and in some only the header or only the rows, mostly without
    escaping: `"Monitor 24""` is `Monitor 24"`."""
    cell = cell.strip()
    if len(cell) < 2 or cell[0] != '"' or cell[-1] != '"':
        return cell
    inner = cell[1:-1]
    if '"' in inner and '"' not in inner.replace('""', ""):
        inner = inner.replace('""', '"')
    return inner.strip()
