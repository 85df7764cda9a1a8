"""Deterministic randomness: seeded random streams and unique ids."""

import hashlib
import random
import string

_STEP = 61_803_398_875_007  # shares no factor with a power of 10 or of 36
_ALPHABET = string.digits + string.ascii_uppercase


def seeded_random(*name: object) -> random.Random:
    """A random stream: the same for the same name, on every machine and Python version."""
    return random.Random(":".join(map(str, name)))


def decimal_id(number: int, start: int, width: int) -> str:
    """A decimal id, unique for each number below 10 to the `width`."""
    return f"{(start + number * _STEP) % 10**width:0{width}d}"


def alphanumeric_id(number: int, start: int, width: int) -> str:
    """An id of digits and capital letters, unique for each number below 36 to the `width`."""
    rest, text = (start + number * _STEP) % 36**width, ""
    for _ in range(width):
        rest, digit = divmod(rest, 36)
        text = _ALPHABET[digit] + text
    return text


def digest(*name: object) -> str:
    """A long opaque id, the same for the same name."""
    return hashlib.blake2b(":".join(map(str, name)).encode(), digest_size=20).hexdigest()
