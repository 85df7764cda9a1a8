"""Pagination: opaque page tokens that carry a checksummed cursor."""

import base64
import binascii
import hashlib
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec

from connectors.amazon_sandbox.operations.query import Query
from connectors.amazon_sandbox.responses import invalid

Row = TypeVar("Row")

_CHECKSUM_SIZE = 8


class Paging(msgspec.Struct, frozen=True):
    """How an operation pages."""

    #: The token's parameter.
    parameter: str
    #: The token's lifetime in seconds.
    lifetime: float
    #: Parameters that may differ from those of the first page.
    changeable: frozenset[str] = frozenset()
    #: Whether the token carries the parameters of the first page; all others are then ignored.
    carries_parameters: bool = False
    #: Whether the token must be the only parameter.
    exclusive: bool = False
    #: Name and value of a parameter without which the token is ignored.
    enabled_by: tuple[str, str] | None = None


class Cursor(msgspec.Struct, frozen=True, array_like=True):
    """A position in a list of rows."""

    #: Identifies the reader and the parameters.
    fingerprint: str
    #: The moment of the first page. All pages show the data as of then, even after midnight.
    as_of: float
    issued_at: float
    position: int = 0
    page: int = 0
    #: 1 if the page is served a second time on purpose.
    duplicate: int = 0
    #: The parameters of the first page, if the token carries them.
    parameters: Mapping[str, str] = {}


def open_cursor(paging: Paging, query: Query, reader: str, now: float, lifetime: float) -> Cursor:
    """The cursor of the call's token, or of the first page without a token."""
    ignored = query.values if paging.carries_parameters else {paging.parameter, *paging.changeable}
    fingerprint = _fingerprint(reader, query.without(ignored))
    token = query.text(paging.parameter)
    if token is None or not _is_enabled(paging, query):
        parameters = query.values if paging.carries_parameters else {}
        return Cursor(fingerprint, as_of=now, issued_at=now, parameters=parameters)
    if paging.exclusive and len(query.values) > 1:
        raise invalid("NextToken cannot be specified with other input parameters")
    cursor = _decode_token(token)
    if cursor is None or now - cursor.issued_at > lifetime:
        raise invalid("Next token is invalid or expired")
    if cursor.fingerprint != fingerprint:
        raise invalid(f"All parameters must be those of the first page [{paging.parameter}]")
    return cursor


def continuation_token(
    operation: str, seller: str, now: float, position: int, parameters: Mapping[str, str]
) -> str:
    """A token with which another operation continues at `position`, as if `parameters` had been its
    first request. The tokens of that operation must carry their parameters."""
    fingerprint = _fingerprint(f"{seller} {operation}", [])
    return encode_token(Cursor(fingerprint, now, now, position, 1, 0, parameters))


def _is_enabled(paging: Paging, query: Query) -> bool:
    """Whether the token counts. Some operations ignore a token without its query type and repeat
    the first page forever."""
    if paging.enabled_by is None:
        return True
    name, value = paging.enabled_by
    return query.values.get(name) == value


def _fingerprint(reader: str, parameters: list[tuple[str, str]]) -> str:
    return hashlib.blake2b(msgspec.json.encode((reader, parameters)), digest_size=8).hexdigest()


def encode_token(cursor: Cursor) -> str:
    """The token as Base64 with `+` and `=`: like Amazon's, it must be URL-encoded once."""
    body = msgspec.msgpack.encode(cursor)
    return base64.b64encode(_checksum(body) + body).decode()


def _decode_token(token: str) -> Cursor | None:
    try:
        decoded = base64.b64decode(token, validate=True)
    except (binascii.Error, ValueError):
        return None
    checksum, body = decoded[:_CHECKSUM_SIZE], decoded[_CHECKSUM_SIZE:]
    return msgspec.msgpack.decode(body, type=Cursor) if checksum == _checksum(body) else None


def _checksum(body: bytes) -> bytes:
    return hashlib.blake2b(body, digest_size=_CHECKSUM_SIZE, person=b"sandbox page").digest()


def page_of(
    rows: Sequence[Row], start: int, size: int, keep: Callable[[Row], bool]
) -> tuple[list[Row], int | None]:
    """Up to `size` rows that pass the filter `keep`, from position `start` on, and the position of
    the next page, if one exists."""
    page: list[Row] = []
    for position in range(start, len(rows)):
        if keep(rows[position]):
            if len(page) == size:
                return page, position
            page.append(rows[position])
    return page, None
