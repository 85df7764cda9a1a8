"""The calls since the last reset, the newest hundred thousand of them."""

from collections import deque
from collections.abc import Mapping
from datetime import datetime

import msgspec


class Entry(msgspec.Struct, frozen=True):
    """One call. `operation` is None for a path that is none, `seller` for a caller unknown."""

    at: datetime
    method: str
    path: str
    operation: str | None
    seller: str | None
    status: int
    parameters: Mapping[str, str]


Log = deque[Entry]


def new_log() -> Log:
    return deque(maxlen=100_000)
