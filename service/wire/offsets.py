"""Offsets of feeds, as clients see them: opaque text that grows with every entry."""

import re

from service.errors import MalformedOffset, OffsetGone
from service.store.changes import BEGINNING, Position

FIRST, NOW = "-1", "now"
"""The offsets for a first read: all stored entries, and new entries only."""
_TOKEN = re.compile("[0-9a-f]{44}")


def to_token(epoch: int, position: Position) -> str:
    """44 characters: the epoch, the position of the row, and the entries of it that were read."""
    return f"{epoch:011x}{position.tx:016x}{position.seq:011x}{position.index:06x}"


def from_token(epoch: int, token: str) -> Position:
    """The position of an offset. Raises MalformedOffset, or OffsetGone for an earlier epoch."""
    if not _TOKEN.fullmatch(token):
        raise MalformedOffset
    of, position = _parsed(token)
    if of < epoch:
        raise OffsetGone
    if of > epoch:
        raise MalformedOffset
    return position if (position.tx, position.seq) != (0, 0) else BEGINNING


def before(event: str) -> str | None:
    """The offset just before an event, whose id is the offset after it; None if the id is of a
    test, which is in no feed."""
    if not _TOKEN.fullmatch(event):
        return None
    epoch, position = _parsed(event)
    return to_token(epoch, Position(position.tx, max(0, position.seq - 1)))


def _parsed(token: str) -> tuple[int, Position]:
    """The epoch and the position."""
    epoch, tx, seq, index = (
        int(token[begin:end], 16) for begin, end in ((0, 11), (11, 27), (27, 38), (38, 44))
    )
    return epoch, Position(tx, seq, index)
