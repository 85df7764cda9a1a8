"""Pagination: where a reader stands, sealed into a token that only this sandbox can read."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from connectors.amazon_sandbox.answers import invalid
from connectors.amazon_sandbox.operations.query import Query

Row = TypeVar("Row")

_SEAL = 8


class Paging(msgspec.Struct, frozen=True):
    """How an operation pages: the token's parameter, its life in seconds, what may change.

    A token that `carries` the parameters of the first page makes all others ignored, and `alone`
    has them refused. With `only_if`, a parameter's name and value, it counts only beside that.
    """

    parameter: str
    life: float
    free: frozenset[str] = frozenset()
    carries: bool = False
    alone: bool = False
    only_if: tuple[str, str] | None = None


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """Where a reader stands, and what it reads.

    `asked` is the moment of the first page: all pages are as of then, past midnight too.
    `copy` is 1 on a page that is handed out a second time on purpose. `values` are the parameters
    of the first page, if the token carries them.
    """

    reading: str
    asked: float
    born: float
    position: int = 0
    page: int = 0
    copy: int = 0
    values: Mapping[str, str] = {}


def open_cursor(paging: Paging, query: Query, reader: str, now: float, life: float) -> Cursor:
    """Where this call stands: at the beginning, or where its token says."""
    free = query.values if paging.carries else {paging.parameter, *paging.free}
    reading = _reading(reader, query.without(free))
    token = query.text(paging.parameter)
    if token is None or not _counts(paging, query):
        return Cursor(reading, asked=now, born=now, values=query.values if paging.carries else {})
    if paging.alone and len(query.values) > 1:
        raise invalid("NextToken cannot be specified with other input parameters")
    cursor = _unseal(token)
    if cursor is None or now - cursor.born > life:
        raise invalid("Next token is invalid or expired")
    if cursor.reading != reading:
        raise invalid(f"All parameters must be those of the first page [{paging.parameter}]")
    return cursor


def token_for(
    operation: str, seller: str, now: float, position: int, values: Mapping[str, str]
) -> str:
    """A token with which another operation, one whose tokens carry the parameters, goes on from
    `position` as if it had been asked for `values`."""
    return seal(Cursor(_reading(f"{seller} {operation}", []), now, now, position, 1, 0, values))


def _counts(paging: Paging, query: Query) -> bool:
    """Some operations read a token only if they are told to: else they begin again for ever."""
    return paging.only_if is None or query.values.get(paging.only_if[0]) == paging.only_if[1]


def _reading(reader: str, parameters: list[tuple[str, str]]) -> str:
    """A short name of who reads what."""
    return hashlib.blake2b(msgspec.json.encode((reader, parameters)), digest_size=8).hexdigest()


def seal(cursor: Cursor) -> str:
    """The token. Base64 with its `+` and `=`: it must be URL-encoded, once, as Amazon's must."""
    body = msgspec.msgpack.encode(cursor)
    return base64.b64encode(_checksum(body) + body).decode()


def _unseal(token: str) -> Cursor | None:
    try:
        sealed = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        return None
    checksum, body = sealed[:_SEAL], sealed[_SEAL:]
    return msgspec.msgpack.decode(body, type=Cursor) if checksum == _checksum(body) else None


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_SEAL, person=b"sandbox page").digest()


def take(
    rows: Sequence[Row], start: int, size: int, keep: Callable[[Row], bool]
) -> tuple[list[Row], int | None]:
    """Up to `size` rows that pass, from `start` on; and where the next page starts, if any."""
    found: list[Row] = []
    for position in range(start, len(rows)):
        if keep(rows[position]):
            if len(found) == size:
                return found, position
            found.append(rows[position])
    return found, None
