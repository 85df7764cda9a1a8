"""What is done with the values of an answer before they are believed."""

from typing import TypeVar

import msgspec

from connectors.base import Retryable

UNREADABLE = (ValueError, OverflowError, RecursionError)
"""What decoders raise for JSON or text that is not what was promised: wrong types, no UTF-8,
numbers beyond the calendar, nesting without end."""

T = TypeVar("T")


def decode(body: bytes, shape: type[T], what: str) -> T:
    """The JSON of an answer. Raises Retryable, naming what it is about; never with the body."""
    try:
        return msgspec.json.decode(body, type=shape)
    except UNREADABLE as error:
        text = f"Amazon's answer about {what} cannot be read ({plain(str(error), 200)})."
        raise Retryable(text) from None


def plain(text: str, most: int = 300) -> str:
    """Text of the source for a message: on one line, storable as UTF-8, not longer than that."""
    found = text[:most].encode("utf-8", "replace").decode()
    return "".join(each if each.isprintable() else " " for each in found)
