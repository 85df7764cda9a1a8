"""Ids that grow: uuid7 (RFC 9562), each above the one before, whatever the clock does."""

from datetime import datetime

from uuid_utils import uuid7

_DIGITS = 12
"""Of an id that tell its time: milliseconds since 1970."""


def new_id(at: datetime, last: str = "") -> str:
    """An id of that moment; the next above `last`, if the clock was set back since that was made.
    32 hexadecimal digits, which sort as time does."""
    found = _of(milliseconds(at))
    return found if found > last else _of(int(last[:_DIGITS], 16) + 1)


def milliseconds(at: datetime) -> int:
    return max(0, int(at.timestamp() * 1000))


def time_of(id: str) -> int:
    """The milliseconds that an id tells: not before the moment that it was made at."""
    return int(id[:_DIGITS], 16)


def _of(time: int) -> str:
    return uuid7(nanoseconds=time * 1_000_000).hex


class Ids:
    """A maker of ids; it remembers the last one."""

    def __init__(self) -> None:
        self._last = ""

    def above(self, last: str) -> None:
        """From now on only such as are above this one."""
        self._last = max(self._last, last)

    def next(self, at: datetime) -> str:
        self._last = new_id(at, self._last)
        return self._last
