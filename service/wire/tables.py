"""CSV in and out: files as spreadsheets write them, and cells that no spreadsheet runs."""

import csv
import io
import re
from codecs import BOM_UTF16_BE, BOM_UTF16_LE
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence

from starlette.responses import Response, StreamingResponse

from service.errors import Invalid

Row = tuple[int, Sequence[str]]
"""The number of the line that a row begins on, from 1, and its cells."""

MOST_NAMED = 1000
"""Wrong lines that an answer names; the others are counted."""
_SEPARATORS = "\t;,"
_FAULTS = (
    ("limit", "has a cell of more than 131,072 characters."),
    ("new-line", "has a line end inside a cell."),
    ("end of data", "opens a quote that is not closed."),
    ("expected after", "has text after a closing quote. Write a quote inside quotes twice."),
)
"""The csv module's words for what it cannot read, and ours."""
# What a spreadsheet takes for a formula; a negative number is none.
_FORMULA = re.compile(r"'*\s*(?:[=+@\t\r\n＝＋－＠]|-(?!\d+(?:\.\d+)?$))")  # noqa: RUF001


class Malformed(Invalid):
    """A line cannot be read, so what comes after it is not to be trusted. Correct the line and send
    the file again."""

    def __init__(self, line: int, message: str) -> None:
        text = f"Line {line} {message} Nothing was changed."
        super().__init__(text, errors=({"field": f"line {line}", "message": text},))


def none_taken(wrong: Sequence[tuple[int, str]]) -> Invalid:
    """The refusal of a file of which no line is right."""
    more = len(wrong) - MOST_NAMED
    return Invalid(
        f"No line is right. Line {wrong[0][0]}: {wrong[0][1]}."
        + (f" {more:,} more lines are wrong than `errors` names." if more > 0 else ""),
        errors=[
            {"field": f"line {line}", "message": f"Line {line}: {message}."}
            for line, message in wrong[:MOST_NAMED]
        ],
    )


# In ---------------------------------------------------------------------------------------------


def rows_of(raw: bytes, names: Sequence[str]) -> Iterator[Row]:
    """The rows after the header that are not empty, their cells in the order of `names`; a row with
    more cells than the header has them all, to be refused.

    UTF-8 or UTF-16 with its mark; lines end with LF, CRLF or CR; cells are separated by comma,
    semicolon or tab. Raises Malformed for the first line that cannot be read."""
    table = _rows(_text(raw))
    line, header = next(table, (1, ()))
    columns = [name.strip().lower() for name in header]
    if any(columns.count(name) != 1 for name in names):
        raise Malformed(line, f"must name each column once: {','.join(names)}.")
    places = [columns.index(name) for name in names]
    for line, cells in table:
        if any(cell.strip() for cell in cells[len(columns) :]):
            yield line, cells
            continue
        chosen = [cells[place] if place < len(cells) else "" for place in places]
        if any(map(_unprintable, chosen)):
            raise Malformed(line, "has a line end or a control character inside a cell.")
        yield line, [unsafe(cell) for cell in chosen]


def _text(raw: bytes) -> str:
    """Its line ends are LF or CRLF. Raises Malformed for what is no text."""
    encoding = "utf-16" if raw.startswith((BOM_UTF16_LE, BOM_UTF16_BE)) else "utf-8"
    try:
        text = raw.decode(encoding).lstrip("\ufeff")
    except UnicodeDecodeError as error:
        before = raw[: error.start]
        line = max(before.count(b"\n"), before.count(b"\r")) + 1
        raise Malformed(line, "is not text in UTF-8. Save the file as UTF-8.") from error
    if "\n" not in text:
        text = text.replace("\r", "\n")
    if "\0" in text:
        line = text.count("\n", 0, text.index("\0")) + 1
        raise Malformed(line, "has a NUL character. Save the file as UTF-8.")
    return text


def _rows(text: str) -> Iterator[Row]:
    lines = io.StringIO(text)
    skipped = 0
    head = ""
    for head in lines:
        skipped += 1
        if head.strip() and not re.fullmatch(r'"?sep=.?"?\s*', head, re.IGNORECASE):
            break
    rest = io.StringIO(head + lines.read())
    found = csv.reader(
        rest, delimiter=max(_SEPARATORS, key=head.count), skipinitialspace=True, strict=True
    )
    before = max(0, skipped - 1)
    while True:
        line = before + found.line_num + 1
        try:
            cells = next(found)
        except StopIteration:
            return
        except csv.Error as error:
            why = next((ours for theirs, ours in _FAULTS if theirs in str(error)), f"({error}).")
            raise Malformed(line, why) from error
        if any(cell.strip() for cell in cells):
            yield line, cells


def _unprintable(cell: str) -> bool:
    return any(each < " " or "\x7f" <= each <= "\x9f" for each in cell.strip())


# Out --------------------------------------------------------------------------------------------


def csv_line(cells: Sequence[str]) -> bytes:
    """Cells that a spreadsheet would run as a formula begin with an apostrophe."""
    text = io.StringIO()
    csv.writer(text).writerow([f"'{cell}" if _FORMULA.match(cell) else cell for cell in cells])
    return text.getvalue().encode()


def unsafe(cell: str) -> str:
    """A cell as it was before `csv_line`."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


def download(name: str, lines: AsyncIterator[bytes]) -> Response:
    headers: Mapping[str, str] = {"Content-Disposition": f'attachment; filename="{name}"'}
    return StreamingResponse(lines, media_type="text/csv; charset=utf-8", headers=headers)
