"""Files that users upload: valid lines are stored, and each invalid one is named."""

import re
from collections.abc import Callable, Iterable, Sequence
from operator import eq
from typing import Generic, TypeVar

import anyio
import msgspec

from service.errors import Invalid
from service.wire.csv_files import Row, no_valid_line

#: Files parsed at the same time. A megabyte takes half a second of processor time.
PARSERS = 2
#: Characters of the first cell of an invalid line that a response repeats.
LONGEST_NAME = 200
LONGEST_SKU = 200

parsers = anyio.CapacityLimiter(PARSERS)
K = TypeVar("K")
V = TypeVar("V")


class Parsed(msgspec.Struct, Generic[K, V]):
    """The valid lines of an upload, by their keys, and the invalid ones."""

    values: dict[K, V]
    #: The numbers of the lines of each key.
    lines: dict[K, list[int]]
    #: The number of valid lines.
    accepted: int
    #: Number, first cell and error of each invalid line.
    rejected: list[tuple[int, str, str]]

    def reject(self, key: K, name: str, fault: str) -> None:
        """Move the lines of a key to the invalid ones; `name` is their first cell."""
        del self.values[key]
        lines = self.lines.pop(key)
        self.accepted -= len(lines)
        self.rejected += [(line, name, fault) for line in lines]
        self.rejected.sort()

    def require_one(self) -> None:
        """Raises Invalid, which names the lines, if all of them are invalid."""
        if self.rejected and not self.accepted:
            raise no_valid_line([(line, fault) for line, _, fault in self.rejected])


def parse(
    lines: Iterable[Row],
    read: Callable[[Sequence[str]], tuple[K, V]],
    most: int,
    what: str,
    same: Callable[[V, V], bool] = eq,
) -> Parsed[K, V]:
    """Parse lines of cells. `read` raises ValueError with a text for the user. A key may occur
    twice only with the same value; `what` names values. Raises Invalid for over `most` lines."""
    parsed: Parsed[K, V] = Parsed({}, {}, 0, [])
    excess, first = 0, 0
    for count, (line, cells) in enumerate(lines):
        if count >= most:
            excess, first = excess + 1, first or line
            continue
        try:
            key, value = read(cells)
            if key in parsed.values and not same(parsed.values[key], value):
                name, first_line = cells[0].strip(), parsed.lines[key][0]
                raise ValueError(f"{name} is also on line {first_line}, with a different {what}")
            parsed.values.setdefault(key, value)
            parsed.lines.setdefault(key, []).append(line)
            parsed.accepted += 1
        except ValueError as error:
            parsed.rejected.append((line, cells[0][:LONGEST_NAME], str(error)))
    if excess:
        text = f"{excess:,} lines, from line {first} on, exceed the limit of {most:,} lines."
        fault = {"field": f"line {first}", "message": text}
        raise Invalid(f"{text} Nothing was changed.", errors=[fault])
    return parsed


def short_text(cell: str, name: str, longest: int, least: int = 1) -> str:
    """The text of a cell. Raises ValueError if it is too long, too short or not printable."""
    text = cell.strip()
    if not least <= len(text) <= longest:
        raise ValueError(f"{name} must have {least} to {longest} characters")
    if re.search(r"[\x00-\x1f\x7f-\x9f]", text):
        raise ValueError(f"{name} must not have control characters")
    return text
