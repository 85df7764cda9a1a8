"""Validation of response bodies."""

import re
from collections.abc import Callable
from typing import TypeVar

import msgspec

from connectors.base import Retryable

UNREADABLE = (ValueError, OverflowError, RecursionError)
"""The exceptions that decoders raise for JSON or text that is not as documented: wrong types,
invalid UTF-8, dates out of range, excessive nesting."""

_UNPAIRED = re.compile(
    rb"((?:[^\\]++|\\[^u]|\\u(?![dD][89a-fA-F])|\\u[dD][89abAB]..\\u[dD][c-fC-F]..)*+)"
    rb"(\\u[dD][89a-fA-F]..)?",
    re.DOTALL,
)
"""Matches JSON up to the escape of an unpaired surrogate, and that escape."""

T = TypeVar("T")


def decode(body: bytes, shape: type[T], subject: str) -> T:
    """Decode a JSON response. Raises Retryable with the subject, never with the body."""
    decoder = msgspec.json.Decoder(shape)
    try:
        return tolerant(decoder.decode, body)
    except UNREADABLE as error:
        text = f"Amazon's response about {subject} cannot be read ({plain(str(error), 200)})."
        raise Retryable(text) from None


def tolerant(read: Callable[[bytes], T], body: bytes) -> T:
    """Call `read` with a body. Decoders refuse a whole response for one unpaired surrogate (an
    escape such as ud800). The escape is replaced by a byte that is not UTF-8, so that only its
    record is unreadable."""
    try:
        return read(body)
    except ValueError:
        repaired = _UNPAIRED.sub(lambda match: match[1] + b"\xff" * bool(match[2]), body)
        if repaired == body:
            raise
        return read(repaired)


def plain(text: str, most: int = 300) -> str:
    """Text of the source for use in a message: one line, valid UTF-8, of limited length."""
    valid = text[:most].encode("utf-8", "replace").decode()
    return "".join(character if character.isprintable() else " " for character in valid)
