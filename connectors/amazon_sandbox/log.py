"""The log of calls since the last reset; it holds the newest 100,000."""

from collections import deque
from collections.abc import Mapping
from datetime import datetime

import msgspec


class Entry(msgspec.Struct, frozen=True):
    at: datetime
    method: str
    path: str
    #: None for a path that names no operation.
    operation: str | None
    #: None for an unauthenticated caller.
    seller: str | None
    status: int
    parameters: Mapping[str, str]


Log = deque[Entry]


def new_log() -> Log:
    return deque(maxlen=100_000)
