"""Deterministic randomness: dice, ids that never meet, and the text of a moment."""

import hashlib
import random
import string
from datetime import UTC, date, datetime

HOUR = 3_600
DAY = 24 * HOUR

_STEP = 61_803_398_875_007  # shares no factor with a power of 10 or of 36
_ALPHABET = string.digits + string.ascii_uppercase


def dice(*name: object) -> random.Random:
    """The same dice for the same name, on every machine and in every year."""
    return random.Random(":".join(map(str, name)))


def digits(number: int, start: int, width: int) -> str:
    """A decimal id: another one for each number below 10 to the `width`."""
    return f"{(start + number * _STEP) % 10**width:0{width}d}"


def letters(number: int, start: int, width: int) -> str:
    """An id of digits and capitals: another one for each number below 36 to the `width`."""
    rest, text = (start + number * _STEP) % 36**width, ""
    for _ in range(width):
        rest, place = divmod(rest, 36)
        text = _ALPHABET[place] + text
    return text


def digest(*name: object) -> str:
    """A long opaque id of that name."""
    return hashlib.blake2b(":".join(map(str, name)).encode(), digest_size=20).hexdigest()


def day(seconds: float) -> date:
    """The UTC day of that moment."""
    return datetime.fromtimestamp(int(seconds), UTC).date()


def stamp(seconds: float) -> str:
    """A moment as the API writes it, in UTC to the second."""
    return datetime.fromtimestamp(int(seconds), UTC).isoformat().replace("+00:00", "Z")
