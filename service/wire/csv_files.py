"""Read CSV files of spreadsheets; write CSV in which no cell runs as a formula."""

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping, Sequence

from starlette.responses import Response, StreamingResponse

from service.errors import Invalid

#: The number of the line on which the row begins, from 1, and the cells.
Row = tuple[int, Sequence[str]]

#: Rejected lines that a response names; the others are only counted.
MAX_NAMED_LINES = 1000
_SEPARATORS = "\t;,"
# Parts of error texts of the csv module, and the texts that replace them.
_FAULTS = (
    ("limit", "has a cell of more than 131,072 characters."),
    ("new-line", "has a line break inside a cell."),
    ("end of data", "opens a quote that is not closed."),
    ("expected after", "has text after a closing quote. Write a quote inside quotes twice."),
)
# Text that a spreadsheet runs as a formula. A negative number is not a formula.
_FORMULA = re.compile(r"'*\s*(?:[=+@\t\r\n＝＋－＠]|-(?!\d+(?:\.\d+)?$))")  # noqa: RUF001


class Malformed(Invalid):
    """A line cannot be read, so the lines after it cannot be trusted. Correct the line and send the
    file again."""

    def __init__(self, line: int, message: str) -> None:
        text = f"Line {line} {message} Nothing was changed."
        super().__init__(text, errors=({"field": f"line {line}", "message": text},))


def no_valid_line(wrong: Sequence[tuple[int, str]]) -> Invalid:
    """The error for a file without a valid line."""
    more = len(wrong) - MAX_NAMED_LINES
    return Invalid(
        f"No line is valid. Line {wrong[0][0]}: {wrong[0][1]}."
        + (f" `errors` leaves out {more:,} more lines." if more > 0 else ""),
        errors=[
            {"field": f"line {line}", "message": f"Line {line}: {message}."}
            for line, message in wrong[:MAX_NAMED_LINES]
        ],
    )


# Reading ----------------------------------------------------------------------------------------


def rows_of(raw: bytes, names: Sequence[str], optional: Sequence[str] = ()) -> Iterator[Row]:
    """The non-empty rows below the header, with their cells in the order of `names`. A row with
    more cells than the header has more than `names`, so that the caller can refuse it. The header
    may leave out `optional` columns, whose cells are then empty. `order-id`, `Order ID` and
    `orderId` are the same name.

    The text is UTF-8, or UTF-16 with a byte order mark; lines end with LF, CRLF or CR; cells are
    separated by comma, semicolon or tab. Raises Malformed for the first line that cannot be read.
    """
    table = _rows(_text(raw))
    line, header = next(table, (1, ()))
    columns = [_column(name) for name in header]
    counts = {name: columns.count(_column(name)) for name in names}
    if any(count != 1 for name, count in counts.items() if count or name not in optional):
        raise Malformed(line, f"must name each column once: {','.join(names)}.")
    positions = [columns.index(_column(name)) if counts[name] else len(columns) for name in names]
    for line, cells in table:
        if any(cell.strip() for cell in cells[len(columns) :]):
            yield line, [*cells, *[""] * len(names)]
            continue
        chosen = [cells[index] if index < len(cells) else "" for index in positions]
        if any(map(_unprintable, chosen)):
            raise Malformed(line, "has a line break or a control character inside a cell.")
        yield line, [_unescaped(cell) for cell in chosen]


def _column(name: str) -> str:
    return re.sub(r"[\s_-]", "", name).lower()


def _text(raw: bytes) -> str:
    """Decode a file; its lines then end with LF or CRLF. Raises Malformed if it is not text."""
    encoding = "utf-16" if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8"
    try:
        text = raw.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = max(before.count(b"\n"), before.count(b"\r")) + 1
        raise Malformed(line, "is not valid UTF-8. Save the file as UTF-8.") from error
    if "\n" not in text:
        text = text.replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Malformed(line, "has a NUL character. Save the file as UTF-8.")
    return text


def _rows(text: str) -> Iterator[Row]:
    lines = io.StringIO(text)
    skipped = 0
    header = ""
    for header in lines:  # after empty lines, and Excel's line that names the separator
        skipped += 1
        if header.strip() and not re.fullmatch(r'"?sep=.?"?\s*', header, re.IGNORECASE):
            break
    rest = io.StringIO(header + lines.read())
    reader = csv.reader(
        rest, delimiter=max(_SEPARATORS, key=header.count), skipinitialspace=True, strict=True
    )
    before = max(0, skipped - 1)
    while True:
        line = before + reader.line_num + 1
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            fault = next((text for part, text in _FAULTS if part in str(error)), f"({error}).")
            raise Malformed(line, fault) from error
        if any(cell.strip() for cell in cells):
            yield line, cells


def _unprintable(cell: str) -> bool:
    return any(char < " " or "\x7f" <= char <= "\x9f" for char in cell.strip())


# Writing ----------------------------------------------------------------------------------------


def csv_line(cells: Sequence[str]) -> bytes:
    """A line of CSV. Cells that a spreadsheet would run as a formula get an apostrophe."""
    return csv_lines([cells])


def csv_lines(rows: Iterable[Sequence[str]]) -> bytes:
    """Lines of CSV, as `csv_line` writes each."""
    text = io.StringIO()
    csv.writer(text).writerows([_escaped(cell) for cell in cells] for cells in rows)
    return text.getvalue().encode()


def _escaped(cell: str) -> str:
    if cell[:1].isalnum():  # most cells; no formula begins so
        return cell
    return f"'{cell}" if _FORMULA.match(cell) else cell


def _unescaped(cell: str) -> str:
    """The cell without the apostrophe that `csv_line` added."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def download(name: str, lines: AsyncIterator[bytes]) -> Response:
    """A response that the browser saves under this name."""
    headers: Mapping[str, str] = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)
