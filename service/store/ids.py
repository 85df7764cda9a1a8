"""Ids that grow: uuid7 (RFC 9562), each above the one before, even if the clock is set back."""

from datetime import datetime

from uuid_utils import uuid7

_DIGITS = 12
"""Leading digits of an id that encode its time: milliseconds since 1970."""


def new_id(at: datetime, last: str = "") -> str:
    """An id for the given time: 32 hexadecimal digits that sort by time. If the clock was set back
    since `last` was created, the next id above `last`."""
    id = _of(milliseconds(at))
    return id if id > last else _of(int(last[:_DIGITS], 16) + 1)


def milliseconds(at: datetime) -> int:
    return max(0, int(at.timestamp() * 1000))


def time_of(id: str) -> int:
    """The milliseconds in an id, which are at or after its creation."""
    return int(id[:_DIGITS], 16)


def _of(time: int) -> str:
    return uuid7(nanoseconds=time * 1_000_000).hex


class Ids:
    """Creates ids, each above the last one."""

    def __init__(self) -> None:
        self._last = ""

    def above(self, last: str) -> None:
        """Create only ids above this one from now on."""
        self._last = max(self._last, last)

    def next(self, at: datetime) -> str:
        self._last = new_id(at, self._last)
        return self._last
