"""The preferences of a request (RFC 7240): how long the client waits for a response."""

import re
from collections.abc import Sequence
from urllib.request import parse_http_list

MAX_WAIT = 60
"""Maximum seconds that a request waits."""

_SECONDS = re.compile(r"[0-9]+")


def read_wait(prefer: Sequence[str]) -> int | None:
    """The seconds of the preference `wait` in these Prefer headers, at most MAX_WAIT; None if it is
    missing or malformed. The first of several counts. Parameters are ignored."""
    for header in prefer:
        for preference in parse_http_list(header):
            name, _, value = preference.partition(";")[0].partition("=")
            if name.strip().lower() == "wait":
                return _seconds(value.strip())
    return None


def _seconds(value: str) -> int | None:
    if len(value) > 1 and value[0] == value[-1] == '"':
        value = value[1:-1]
    if not _SECONDS.fullmatch(value):
        return None
    digits = value.lstrip("0")  # of any length: longer ones are not numbers that Python reads
    return MAX_WAIT if len(digits) > len(str(MAX_WAIT)) else min(int(digits or "0"), MAX_WAIT)
