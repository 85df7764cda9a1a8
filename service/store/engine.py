"""What the store needs of a database, whichever it is."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import msgspec

Values = Mapping[str, Any]


class Statement(msgspec.Struct, frozen=True):
    """SQL with `:name` parameters, for one row of values or for many.

    A `spare` one may fail without undoing the write it travels in."""

    sql: str
    rows: Sequence[Values]
    spare: bool = False


class Refused(Exception):
    """A unique index or a foreign key refuses the write. Nothing was changed."""


class Engine(Protocol):
    async def read(self, sql: str, values: Values) -> Sequence[Values]: ...

    async def write(self, guard: Statement, rest: Sequence[Statement]) -> bool:
        """All of it or nothing, as one indivisible call. The guard returns its rows; False, and
        nothing written, if there is none. Raises Refused."""

    async def close(self) -> None: ...
