"""What is done with the values of an answer before they are believed."""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from connectors.base import Retryable

UNREADABLE = (ValueError, OverflowError, RecursionError)
"""What decoders raise for JSON or text that is not what was promised: wrong types, no UTF-8,
numbers beyond the calendar, nesting without end."""

_UNPAIRED = re.compile(
    rb"((?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+)"
    rb"(\\u[dD][89a-fA-F]..)?",
    re.DOTALL,
)
"""JSON up to the escape of a surrogate without its other half, and that escape."""

T = TypeVar("T")


def decode(body: bytes, shape: type[T], what: str) -> T:
    """The JSON of an answer. Raises Retryable, naming what it is about; never with the body."""
    decoder = msgspec.json.Decoder(shape)
    try:
        return tolerant(decoder.decode, body)
    except UNREADABLE as error:
        text = f"Amazon's answer about {what} cannot be read ({plain(str(error), 200)})."
        raise Retryable(text) from None


def tolerant(read: Callable[[bytes], T], body: bytes) -> T:
    """What `read` makes of a body. Decoders refuse a whole answer for one unpaired surrogate
    (an escape such as ud800): that is passed on as a byte that is not UTF-8, which costs only the
    record that it is in."""
    try:
        return read(body)
    except ValueError:
        repaired = _UNPAIRED.sub(lambda found: found[1] + b"\xff" * bool(found[2]), body)
        if repaired == body:
            raise
        return read(repaired)


def plain(text: str, most: int = 300) -> str:
    """Text of the source for a message: on one line, storable as UTF-8, not longer than that."""
    found = text[:most].encode("utf-8", "replace").decode()
    return "".join(each if each.isprintable() else " " for each in found)
